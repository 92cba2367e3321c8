"""Ways to skip work: fewer pairs, fewer steps, fewer tokens, fewer parameters for each token.

The patterns of attention, here, need no torch. The other ways are in modules of their own: ``routing`` and
``depths``, ``halting`` and ``early_exit``, ``hierarchy`` and ``merging``.
"""

from scaling_transformers.sparsity.block_sparse import block_sparse_attention, top_k_attention
from scaling_transformers.sparsity.patterns import (
    BigBird,
    Blocks,
    Dilated,
    Fixed,
    Strided,
    TilePattern,
    TopK,
    Window,
)
from scaling_transformers.sparsity.reach import Reach, layers_apart, reach

__all__ = [
    "BigBird",
    "Blocks",
    "Dilated",
    "Fixed",
    "Reach",
    "Strided",
    "TilePattern",
    "TopK",
    "Window",
    "block_sparse_attention",
    "layers_apart",
    "reach",
    "top_k_attention",
]
