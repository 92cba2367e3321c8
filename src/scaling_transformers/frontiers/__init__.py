"""One true instance of each frontier: a quantum circuit, spiking neurons, cheap arithmetic, other fields."""

from scaling_transformers.frontiers.cheap_compare import Gap, gap_at_equal_flops, gap_at_equal_joules
from scaling_transformers.frontiers.cheap_counts import (
    WAYS,
    Decoding,
    Work,
    crossover,
    decoding,
    forward_flops_of,
    mixer_flops,
    training_flops_of,
)

__all__ = [
    "WAYS",
    "Decoding",
    "Gap",
    "Work",
    "crossover",
    "decoding",
    "forward_flops_of",
    "gap_at_equal_flops",
    "gap_at_equal_joules",
    "mixer_flops",
    "training_flops_of",
]
