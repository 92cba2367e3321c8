"""Transformers whose blocks mix tokens in another way than by softmax attention."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from scaling_transformers.attention import linear_attention, merge_heads, rotate_pairs, split_heads
from scaling_transformers.config import TransformerConfig
from scaling_transformers.frontiers.cheap_counts import BLOCK, require_way
from scaling_transformers.frontiers.state_space import StateSpace
from scaling_transformers.frontiers.ternary import ROUNDINGS, round_in_training
from scaling_transformers.model import Transformer
from scaling_transformers.model.attention import Attention, Context
from scaling_transformers.model.block import Block
from scaling_transformers.training.parameterisation import initialise_for_transfer


class LinearAttention(Attention):
    """The projections of attention around `scaling_transformers.attention.linear_attention`.

    Queries and keys are rotated before their features are taken, where the model has rotary positions.

    Source: Katharopoulos et al. 2020.
    """

    def forward(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        """The layer's answer, as of `Attention`, and no weights, for there are none."""
        given = (context.mask, context.head_gate, context.cache, context.merging)
        if context.return_attention or any(part is not None for part in given):
            raise ValueError("context must hold nothing but angles for linear attention")
        q, k, v = (
            split_heads(part, n_head=part.shape[-1] // self.config.d_head)
            for part in (self.query(x), self.key(x), self.value(x))
        )
        if context.rotary is not None:
            q, k = (rotate_pairs(part, *context.rotary) for part in (q, k))
        out = linear_attention(q, k, v, is_causal=self.config.kind == "decoder", block_size=BLOCK)
        return cast(Tensor, self.out(merge_heads(out))), None


def make_model(config: TransformerConfig, way: str) -> Transformer:
    """A transformer that saves in one of the `WAYS`, initialised so that learning rates transfer over width.

    ``"ternary"``, ``"int4"``: weights of the blocks rounded in training. ``"linear"``, ``"state space"``: the
    attention of every block replaced.

    Raises
    ------
    ValueError
        If there is no such way, or the config ties its embeddings.
    """
    require_way(way)
    model = initialise_for_transfer(Transformer(config))
    if way in ROUNDINGS:
        return round_in_training(model, rounding=way)
    for block in cast("list[Block]", list(model.blocks)):
        if way == "linear":
            mixer = LinearAttention(config)
            mixer.load_state_dict(block.attention.state_dict())
            block.attention = mixer
        elif way == "state space":
            block.attention = StateSpace(config)  # type: ignore[assignment]
    return model
