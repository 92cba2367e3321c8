"""The maths of attention, written once for NumPy and torch arrays.

Every function takes arrays of either library and answers in kind; torch is imported only where a torch
tensor comes in.
"""

from scaling_transformers.attention.core import attention_weights, scaled_dot_product_attention, softmax
from scaling_transformers.attention.flash import flash_attention
from scaling_transformers.attention.heads import merge_heads, multi_head_attention, split_heads
from scaling_transformers.attention.latent import latent_attention
from scaling_transformers.attention.linear import linear_attention, linear_attention_step
from scaling_transformers.attention.masks import causal_mask, padding_mask, window_mask
from scaling_transformers.attention.positions import (
    alibi_bias,
    alibi_slopes,
    apply_rotary,
    rotary_table,
    rotate_pairs,
    sinusoidal_positions,
    sinusoidal_shift,
)
from scaling_transformers.attention.statistics import (
    attention_distance,
    attention_entropy,
    induction_score,
    offset_score,
)

__all__ = [
    "alibi_bias",
    "alibi_slopes",
    "apply_rotary",
    "attention_distance",
    "attention_entropy",
    "attention_weights",
    "causal_mask",
    "flash_attention",
    "induction_score",
    "latent_attention",
    "linear_attention",
    "linear_attention_step",
    "merge_heads",
    "multi_head_attention",
    "offset_score",
    "padding_mask",
    "rotary_table",
    "rotate_pairs",
    "scaled_dot_product_attention",
    "sinusoidal_positions",
    "sinusoidal_shift",
    "softmax",
    "split_heads",
    "window_mask",
]
