"""How far a transformer is like a reader: surprisal, memory, attention, novelty and calibration, measured.

Nothing here imports torch; what runs a model is imported by its own name, such as `surprisal` or
`model_runs`.
"""

from scaling_transformers.cognition.calibration import (
    Reliability,
    accuracy_above,
    calibration_error,
    fit_temperature,
    reliability,
    softmax_confidence,
)
from scaling_transformers.cognition.reading import (
    PublishedReading,
    Reader,
    ReadingFit,
    compare_forms,
    detection_rate,
    fit_reading,
    published_reader,
    published_reading,
    simulate_reading,
)
from scaling_transformers.cognition.reading_corpora import ReadingCorpus, dundee, natural_stories

__all__ = [
    "PublishedReading",
    "Reader",
    "ReadingCorpus",
    "ReadingFit",
    "Reliability",
    "accuracy_above",
    "calibration_error",
    "compare_forms",
    "detection_rate",
    "dundee",
    "fit_reading",
    "fit_temperature",
    "natural_stories",
    "published_reader",
    "published_reading",
    "reliability",
    "simulate_reading",
    "softmax_confidence",
]
