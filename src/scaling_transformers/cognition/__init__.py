"""How far a transformer is like a reader: surprisal, memory, attention, novelty and calibration, measured.

Nothing here imports torch; what runs a model is imported by its own name, such as `memory` or
`novelty_runs`.
"""

from scaling_transformers.cognition.detection import Readout, d_prime, fit_readout, sensitivity
from scaling_transformers.cognition.forgetting import (
    FORMS,
    Published,
    Retention,
    fit_retention,
    human_attention,
    human_memory,
)
from scaling_transformers.cognition.looking import (
    mean_distance,
    recent_attention,
    share_within,
    token_places,
    uniform_attention,
)
from scaling_transformers.cognition.novelty import (
    copied_lengths,
    longest_copied,
    new_share,
    number_words,
    repeated_share,
    words_of,
)

__all__ = [
    "FORMS",
    "Published",
    "Readout",
    "Retention",
    "copied_lengths",
    "d_prime",
    "fit_readout",
    "fit_retention",
    "human_attention",
    "human_memory",
    "longest_copied",
    "mean_distance",
    "new_share",
    "number_words",
    "recent_attention",
    "repeated_share",
    "sensitivity",
    "share_within",
    "token_places",
    "uniform_attention",
    "words_of",
]
