"""One block of a transformer."""

from __future__ import annotations

from torch import Tensor, nn

from scaling_transformers.config import TransformerConfig
from scaling_transformers.model.attention import Attention, Context
from scaling_transformers.model.feed_forward import make_feed_forward
from scaling_transformers.model.norm import make_norm


class Block(nn.Module):
    """Attention, then feed-forward, each added to the residual stream."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.pre_norm = config.norm_placement == "pre"
        self.attention_norm, self.attention = make_norm(config), Attention(config)
        self.feed_forward_norm, self.feed_forward = make_norm(config), make_feed_forward(config)

    def forward(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        """``x`` (batch, n, d_model) after both layers, in that shape, and the weights if asked for."""
        if self.pre_norm:
            out, weights = self.attention(self.attention_norm(x), context)
            x = x + out
            if context.merging is not None:
                x = context.merging.merge(x)
            return x + self.feed_forward(self.feed_forward_norm(x), context.trace), weights
        out, weights = self.attention(x, context)
        x = self.attention_norm(x + out)
        return self.feed_forward_norm(x + self.feed_forward(x, context.trace)), weights
