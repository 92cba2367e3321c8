"""How far a transformer is like a reader: surprisal, memory, attention, novelty and calibration, measured."""
