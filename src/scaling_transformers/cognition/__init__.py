"""How far a transformer is like a reader: surprisal, memory, attention, novelty and calibration, measured.

Nothing here imports torch; what runs a model is imported by its own name, such as `surprisal`, `memory` or
`novelty_runs`.
"""

from scaling_transformers.cognition.calibration import (
    Reliability,
    accuracy_above,
    calibration_error,
    reliability,
    softmax_confidence,
)
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
    "FORMS",
    "Published",
    "PublishedReading",
    "Reader",
    "ReadingCorpus",
    "ReadingFit",
    "Readout",
    "Reliability",
    "Retention",
    "accuracy_above",
    "calibration_error",
    "compare_forms",
    "copied_lengths",
    "d_prime",
    "detection_rate",
    "dundee",
    "fit_reading",
    "fit_readout",
    "fit_retention",
    "human_attention",
    "human_memory",
    "longest_copied",
    "mean_distance",
    "natural_stories",
    "new_share",
    "number_words",
    "published_reader",
    "published_reading",
    "recent_attention",
    "reliability",
    "repeated_share",
    "sensitivity",
    "share_within",
    "simulate_reading",
    "softmax_confidence",
    "token_places",
    "uniform_attention",
    "words_of",
]
