"""Who bears it: bias that was planted and is therefore known, how it is measured, and what removing it costs.

Nothing here imports torch; what reads or trains a model is imported by its own name: `language_bias`,
`mitigation`, `bias_runs`.
"""

from scaling_transformers.society.association import Association, effect_size, permutation_test, weat
from scaling_transformers.society.estimates import Estimate, bootstrap_mean
from scaling_transformers.society.planted import PlantedLanguage, planted_language

__all__ = [
    "Association",
    "Estimate",
    "PlantedLanguage",
    "bootstrap_mean",
    "effect_size",
    "permutation_test",
    "planted_language",
    "weat",
]
