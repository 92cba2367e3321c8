"""An encoder's tokens on their way through blocks that merge them."""

from __future__ import annotations

import torch
from torch import Tensor

from scaling_transformers.config import TransformerConfig
from scaling_transformers.sparsity.merging import merge_tokens, unmerge_tokens


class Merging:
    """Which tokens have become one so far, and what attention has to know of it.

    Each block merges `TransformerConfig.n_merge` pairs between attention and feed-forward. A merged token
    attends from the place of one of its tokens, and counts as often as it has tokens.

    Attributes
    ----------
    group : integer tensor, shape (batch, n)
        Which of the tokens left each token of the text went into.
    size : tensor, shape (batch, n_left)
        How many tokens of the text each stands for.
    places : integer tensor, shape (batch, n_left)
        Where each stands in the text.
    keys : tensor, shape (batch, n_left, n_kv_head * d_head)
        The keys of the last attention, before any rotation: what tokens are, not where.

    Source: Bolya et al. 2023 (Token Merging).
    """

    keys: Tensor

    def __init__(self, config: TransformerConfig, x: Tensor):
        self.config, self.size = config, x.new_ones(x.shape[:2])
        self.group = self.places = torch.arange(x.shape[1], device=x.device).expand(x.shape[:2])

    def merge(self, x: Tensor) -> Tensor:
        """The states left after another merge, by the keys of the last attention."""
        config = self.config
        merged = merge_tokens(x, self.keys, self.size, r=config.n_merge, keep_first=config.pooler)
        self.size, self.group = merged.size, merged.group.gather(1, self.group)
        self.places = self.places.gather(1, merged.kept)
        return merged.x

    def unmerge(self, x: Tensor) -> Tensor:
        """For each token of the text the state of the one it went into."""
        return unmerge_tokens(x, self.group)

    def mask(self, penalty: Tensor | None) -> Tensor | None:
        """What is added to the scores: the log of each key's size, and ALiBi's penalty, (n_head, n, n)."""
        if self.size.shape == self.group.shape:  # nothing has been merged yet
            return penalty
        logs = self.size.log()[:, None, None, :]
        if penalty is None:
            return logs
        pairs = penalty[:, self.places[:, :, None], self.places[:, None, :]]  # (n_head, batch, left, left)
        return pairs.transpose(0, 1) + logs

    def rotary(self, table: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor] | None:
        """The angles of the tokens left, (batch, 1, n_left, d_head / 2)."""
        if table is None:
            return None
        cos, sin = (part[self.places][:, None] for part in table)
        return cos, sin
