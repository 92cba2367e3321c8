"""Work that a transformer can skip: which pairs of tokens meet, and what it costs them to.

What is described, counted or computed on arrays here needs no torch.
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
from scaling_transformers.sparsity.reach import Reach, reach

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
    "reach",
    "top_k_attention",
]
