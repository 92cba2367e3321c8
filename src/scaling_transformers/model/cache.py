"""What decoding keeps of the tokens already read: their keys and values."""

from __future__ import annotations

import torch
from torch import Tensor

from scaling_transformers.config import TransformerConfig


class LayerCache:
    """Keys and values of one layer, (batch, n_kv_head, tokens, d_head), in a buffer allocated once.

    With a window the buffer holds two windows at most. When it is full, the tokens that no later query may
    see are dropped, so that its size does not grow with the text.
    """

    def __init__(self, config: TransformerConfig, *, batch: int, n_tokens: int, like: Tensor):
        self.n_keep = n_tokens if config.window is None else config.window - 1
        capacity = n_tokens if config.window is None else min(n_tokens, 2 * config.window)
        shape = (batch, config.n_kv_head, capacity, config.d_head)
        self.keys, self.values = like.new_zeros(shape), like.new_zeros(shape)
        self.length = 0  # slots in use

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store the keys and values of new tokens; return these after all older ones they may see."""
        start = max(0, self.length - self.n_keep)
        end = self.length + k.shape[2]
        if end <= self.keys.shape[2]:
            self.keys[:, :, self.length : end], self.values[:, :, self.length : end] = k, v
            self.length = end
            return self.keys[:, :, start:end], self.values[:, :, start:end]
        k = torch.cat([self.keys[:, :, start : self.length], k], dim=2)
        v = torch.cat([self.values[:, :, start : self.length], v], dim=2)
        self.length = min(self.n_keep, k.shape[2])
        first = k.shape[2] - self.length
        self.keys[:, :, : self.length], self.values[:, :, : self.length] = k[:, :, first:], v[:, :, first:]
        return k, v


class Cache:
    """The keys and values of every layer, and the number of tokens read so far.

    Made by `Transformer.new_cache` and filled by ``model(tokens, cache=cache)``.

    Attributes
    ----------
    n_seen : int
        Tokens read so far: the position of the next one.
    n_tokens : int
        Tokens there is room for.
    layers : list of LayerCache
    """

    def __init__(self, config: TransformerConfig, *, batch: int, n_tokens: int, like: Tensor):
        self.batch, self.n_tokens, self.n_seen = batch, n_tokens, 0
        self.layers = [
            LayerCache(config, batch=batch, n_tokens=n_tokens, like=like) for _ in range(config.n_layer)
        ]
