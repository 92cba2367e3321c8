"""One true instance of each frontier: a quantum circuit, spiking neurons, cheap arithmetic, other fields."""

from scaling_transformers.frontiers.counts import (
    import_counts,
    word_counts,
)
from scaling_transformers.frontiers.heavy_tails import (
    Bootstrap,
    Comparison,
    Tail,
    bootstrap_tail,
    compare,
    fit_tail,
    line_exponent,
    sample,
    survival,
)
from scaling_transformers.frontiers.manifold import (
    Dimension,
    Teacher,
    local_linear_values,
    log_slope,
    nearest,
    neighbour_values,
    resolution_exponent,
    teacher,
    torus,
    two_nearest_dimension,
)
from scaling_transformers.frontiers.quanta import (
    exponent_of_examples,
    exponent_of_size,
    loss_from_examples,
    loss_when_learned,
    sampled_loss,
    zipf_frequencies,
)

__all__ = [
    "Bootstrap",
    "Comparison",
    "Dimension",
    "Tail",
    "Teacher",
    "bootstrap_tail",
    "compare",
    "exponent_of_examples",
    "exponent_of_size",
    "fit_tail",
    "import_counts",
    "line_exponent",
    "local_linear_values",
    "log_slope",
    "loss_from_examples",
    "loss_when_learned",
    "nearest",
    "neighbour_values",
    "resolution_exponent",
    "sample",
    "sampled_loss",
    "survival",
    "teacher",
    "torus",
    "two_nearest_dimension",
    "word_counts",
    "zipf_frequencies",
]
