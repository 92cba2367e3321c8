"""A block that reads some tokens and lets the others pass: a mixture of depths."""

from __future__ import annotations

from torch import Tensor, nn

from scaling_transformers.accounting.flops import kept_tokens
from scaling_transformers.config import TransformerConfig
from scaling_transformers.model.attention import Context
from scaling_transformers.model.block import Block
from scaling_transformers.sparsity.depths import (
    add_at,
    keep_largest,
    keep_positive,
    keeping_loss,
    places_of,
    take,
)


class RoutedBlock(Block):
    """A block that a router gives some of the tokens; what it adds to them is multiplied by their logit.

    In training the share ``depth_keep`` of each text is read, those with the largest logits, which looks
    ahead. With ``model.eval()`` it is the tokens whose logit is above 0, which does not.

    Tokens read keep their order and their positions, and attend to each other alone. Their logit as a factor
    is what gives the router a gradient. The cross-entropy that teaches it to tell on its own who is kept
    (`Trace.losses`) reads the states without sending them a gradient. In eval mode the texts of a batch
    differ in length and are filled up with other tokens, which cost time, count in the load of experts
    (`Trace.routing`) and change nothing else.

    Source: Raposo et al. 2024 (Mixture-of-Depths).
    """

    def __init__(self, config: TransformerConfig):
        super().__init__(config)
        self.config = config
        self.depth_router = nn.Linear(config.d_model, 1, bias=False)

    def forward(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        """``x`` (batch, n, d_model) with what the block adds to the tokens it reads, and no weights."""
        trace = context.trace
        logits = self.depth_router(x)[..., 0]  # (batch, n)
        if self.training:
            kept = keep_largest(logits, n_keep=kept_tokens(self.config, x.shape[1]))
            if trace is not None:
                guess = self.depth_router(x.detach())[..., 0]
                trace.losses.append(keeping_loss(guess, kept) / (self.config.n_layer // 2))
        else:
            kept = keep_positive(logits)
        if trace is not None:
            trace.kept.append(kept)
        places, real = places_of(kept)
        if not places.shape[1]:  # no token of any text is read
            return x, None
        if context.rotary is not None:  # of each text's own places: (batch, 1, m, d_head / 2)
            cos, sin = (table[places][:, None] for table in context.rotary)
            context = context._replace(rotary=(cos, sin))
        read = take(x, places)
        # Rows are filled up at their ends, which the causal mask hides from the tokens before.
        out, _ = super().forward(read, context)
        factor = (logits.gather(1, places) * real)[..., None]
        return add_at(x, places, factor * (out - read)), None


def make_block(config: TransformerConfig, layer: int) -> Block:
    """The block at a place: with ``depth_keep`` every second one is routed."""
    return RoutedBlock(config) if config.depth_keep < 1 and layer % 2 else Block(config)
