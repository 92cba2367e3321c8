"""One true instance of each frontier: a quantum circuit, spiking neurons, cheap arithmetic, other fields.

Nothing here imports torch; what trains a tensor is imported by its own name: `spiking_model`, `spiking_runs`.
"""

from scaling_transformers.frontiers.spiking import Neuron, heaviside, lif, lif_step
from scaling_transformers.frontiers.spiking_energy import (
    Chip,
    Prices,
    Work,
    break_even_spikes,
    energy_pj,
    neuromorphic_chips,
    prices,
)

__all__ = [
    "Chip",
    "Neuron",
    "Prices",
    "Work",
    "break_even_spikes",
    "energy_pj",
    "heaviside",
    "lif",
    "lif_step",
    "neuromorphic_chips",
    "prices",
]
