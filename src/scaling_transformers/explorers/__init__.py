"""The interactive figures: computed by the package's own maths, moved by the reader with no server."""

from scaling_transformers.explorers.attention import attention_explorer
from scaling_transformers.explorers.base import Control, Explorer
from scaling_transformers.explorers.budget import budget_explorer
from scaling_transformers.explorers.cost import cost_explorer
from scaling_transformers.explorers.footprint import footprint_explorer
from scaling_transformers.explorers.mesh import mesh_explorer
from scaling_transformers.explorers.router import router_explorer
from scaling_transformers.explorers.scaling import scaling_explorer
from scaling_transformers.explorers.sparsity import sparsity_explorer
from scaling_transformers.explorers.spikes import spikes_explorer
from scaling_transformers.explorers.surprisal import surprisal_explorer
from scaling_transformers.explorers.thresholds import thresholds_explorer
from scaling_transformers.explorers.variants import variants_explorer

__all__ = [
    "Control",
    "Explorer",
    "attention_explorer",
    "budget_explorer",
    "cost_explorer",
    "footprint_explorer",
    "mesh_explorer",
    "router_explorer",
    "scaling_explorer",
    "sparsity_explorer",
    "spikes_explorer",
    "surprisal_explorer",
    "thresholds_explorer",
    "variants_explorer",
]
