"""The attention layer of a block: projections around the maths of `scaling_transformers.attention`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling_transformers.attention import attention_weights, merge_heads, rotate_pairs, split_heads
from scaling_transformers.attention.masks import causal_mask, key_offsets
from scaling_transformers.config import TransformerConfig
from scaling_transformers.model.cache import LayerCache
from scaling_transformers.model.merging import Merging
from scaling_transformers.model.trace import Trace
from scaling_transformers.sparsity.block_sparse import TilePlan, attend_by_tiles, tile_plan, top_k_scores
from scaling_transformers.sparsity.patterns import TilePattern, TopK


class Context(NamedTuple):
    """What attention reads beside its input."""

    #: Broadcasts to (batch, n_head, n, n_k). None: by the tiles of the pattern; causal or all, by the kind.
    mask: Tensor | None = None
    rotary: tuple[Tensor, Tensor] | None = None  #: cosines and sines, each (..., n, d_head / 2)
    head_gate: Tensor | None = None  #: (n_head,)
    cache: LayerCache | None = None  #: Keys and values of earlier tokens, which are added to.
    return_attention: bool = False  #: Whether the weights are answered.
    trace: Trace | None = None  #: Takes notes of what was computed.
    merging: Merging | None = None  #: is told the keys, by which the block goes on to merge tokens


class Attention(nn.Module):
    """Multi-head (or grouped-query) self-attention with its four projections."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        d_query, d_key = config.n_head * config.d_head, config.n_kv_head * config.d_head
        self.query = nn.Linear(config.d_model, d_query, bias=config.qkv_bias)
        self.key = nn.Linear(config.d_model, d_key, bias=config.qkv_bias)
        self.value = nn.Linear(config.d_model, d_key, bias=config.qkv_bias)
        self.out = nn.Linear(d_query, config.d_model, bias=config.bias)

    def forward(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor | None]:
        """What the heads find for ``x`` (batch, n, d_model), in that shape, and their weights on request."""
        config, mask = self.config, context.mask
        queries, keys, values = self.query(x), self.key(x), self.value(x)
        # Heads are counted by their width: where the layer is split among devices, each has some of them.
        q, k, v = (  # (batch, n_head, n, d_head), k and v with n_kv_head
            split_heads(part, n_head=part.shape[-1] // config.d_head) for part in (queries, keys, values)
        )
        if context.merging is not None:
            context.merging.keys = keys
        if context.rotary is not None:
            q, k = (rotate_pairs(part, *context.rotary) for part in (q, k))
        if context.cache is not None:
            k, v = context.cache.append(k, v)  # older tokens come before the n new ones
        tiles = tiled_pattern(config) if mask is None else None
        if tiles is not None and context.return_attention:
            mask, tiles = _pattern_mask(tiles, x.shape[1], x.shape[1], x.device), None
        # A single token may see all that came before it, so only several need the causal mask.
        # (An expression of the length would be a symbol to torch.compile, and the fused kernel takes none.)
        is_causal = True if mask is None and config.kind == "decoder" and x.shape[1] > 1 else False  # noqa: SIM210
        groups, scale, weights = config.n_head // config.n_kv_head, config.d_head**-0.5, None
        if isinstance(config.pattern, TopK):
            shown = k.repeat_interleave(groups, dim=1)
            causal = causal_mask(x.shape[1], like=x) if is_causal else None
            scores = top_k_scores(q, shown, mask, causal, k_top=config.pattern.k, scale=scale)
            weights = scores.softmax(dim=-1).to(v.dtype)
        elif context.return_attention:
            weights = attention_weights(q, k, mask=mask, is_causal=is_causal)
        if weights is not None:
            out = weights @ v.repeat_interleave(groups, dim=1)
        elif tiles is not None:
            out = attend_by_tiles(q, k, v, plan=_plan(tiles, x.shape[1], x.device), scale=scale)
        else:
            out = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=is_causal, enable_gqa=groups > 1
            )
        if context.head_gate is not None:
            out = out * context.head_gate[:, None, None]
        return self.out(merge_heads(out)), weights if context.return_attention else None


def tiled_pattern(config: TransformerConfig) -> TilePattern | None:
    """The pattern whose tiles a model skips, if it has one; the choice of `TopK` needs the scores."""
    if config.pattern is None or isinstance(config.pattern, TopK):
        return None
    if not isinstance(config.pattern, TilePattern):
        raise ValueError(f"pattern must be one of scaling_transformers.sparsity; got {config.pattern!r}")
    return config.pattern


# What follows from the pattern alone is a constant to torch.compile, which cannot look into it.
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _plan(pattern: TilePattern, n: int, device: torch.device) -> TilePlan:
    return tile_plan(pattern, n, device)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _pattern_mask(pattern: TilePattern, n: int, n_k: int, device: torch.device) -> Tensor:
    """What the last ``n`` of ``n_k`` tokens may see, boolean, shape (n, n_k)."""
    places = np.arange(n_k)
    allowed = pattern.allows(places[n_k - n :, None], places[None, :], n=n_k)
    return torch.from_numpy(allowed).to(device)


def attention_mask(
    config: TransformerConfig, x: Tensor, *, n_k: int, real: Tensor | None, slopes: Tensor | None
) -> Tensor | None:
    """What the fused kernel's plain causal flag does not say: window, pattern, padding, distance penalty.

    Parameters
    ----------
    x : tensor, shape (batch, n, d_model)
        Its tokens are the queries, the last ``n`` of ``n_k`` tokens.
    real : boolean tensor, shape (batch, n_k), optional
        False for padding.
    slopes : tensor, shape (n_head,), optional
        ALiBi's penalty, in score a token.

    Returns
    -------
    tensor that broadcasts to (batch, n_head, n, n_k), or None
        Boolean, True where a query may attend; with ``slopes`` floating, to be added to the scores. None with
        a pattern where its tiles can be skipped: for a text of whole tiles, read at once, without padding.
    """
    n, pattern = x.shape[1], tiled_pattern(config)
    if pattern is not None and real is None and n == n_k and n % pattern.block == 0:
        return None
    causal = config.kind == "decoder"
    window = config.window if config.window is not None and config.window < n_k else None
    plain = pattern is None and real is None and window is None and slopes is None
    if plain and (not causal or n in (1, n_k)):
        return None
    offsets = key_offsets(n, n_k, like=x) - (n_k - n)  # key's position less query's
    allowed = torch.ones_like(offsets, dtype=torch.bool)
    if causal:
        allowed = offsets <= 0
    if window is not None:
        allowed = allowed & (offsets > -window)
    if pattern is not None:
        allowed = _pattern_mask(pattern, n, n_k, x.device)
    if real is not None:
        allowed = allowed & real[:, None, None, :]
        if causal:  # padding before a text sees itself, for a row must not be empty
            allowed = allowed | (offsets == 0)
    if slopes is None:
        return allowed
    penalty = -slopes[:, None, None] * offsets.abs()
    return torch.where(allowed, penalty, -float("inf")).to(x.dtype)
