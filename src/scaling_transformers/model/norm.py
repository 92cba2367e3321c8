"""The two norms of a transformer."""

from __future__ import annotations

from torch import nn

from scaling_transformers.config import TransformerConfig


def make_norm(config: TransformerConfig) -> nn.Module:
    """LayerNorm or RMSNorm over the width.

    Source: Ba et al. 2016, equation 4; Zhang and Sennrich 2019, equation 4.
    """
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.d_model, eps=config.norm_eps)
    return nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=config.bias)
