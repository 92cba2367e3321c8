"""Exact attention without the n x n matrix: one tile at a time, with a softmax that corrects itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from scaling_transformers.attention._inputs import (
    Array,
    broadcast_lead,
    check_mask,
    check_qkv,
    check_scale,
    group_heads,
    require_range,
    working_dtype,
)
from scaling_transformers.attention.core import apply_mask, exponentials_above
from scaling_transformers.attention.masks import places, require_count


def flash_attention(
    q: Array,
    k: Array,
    v: Array,
    *,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    block_size: int = 384,
) -> Array:
    """`scaled_dot_product_attention` with memory linear in the number of tokens; exact up to rounding.

    For each tile of queries it walks over tiles of keys and keeps three things a query: the largest score so
    far, the sum of exponentials, and the weighted sum of values. When a larger score turns up, the last two
    are rescaled.

    Parameters
    ----------
    q, k, v, mask, is_causal, scale
        As for `scaled_dot_product_attention`.
    block_size : int
        Side of a tile, in tokens. Extra memory is ``block_size**2`` scores a head; by default 0.6 MB in
        float32, which a processor core holds in its second-level cache.

    Returns, raises: as `scaled_dot_product_attention`.

    Source: Milakov and Gimelshein 2018 (the running maximum); Dao et al. 2022, algorithm 1.
    """
    xp = check_qkv(q, k, v)
    require_count(block_size=block_size)
    scale = check_scale(scale, q.shape[-1])
    require_range(xp, scale, q, k, v, mask=mask)
    k, v = group_heads(xp, q, k, v)
    n_q, n_k = q.shape[-2], k.shape[-2]
    lead = broadcast_lead(q.shape, k.shape, v.shape)
    work = working_dtype(xp, q.dtype)
    mask = check_mask(xp, mask, lead, n_q, n_k, work)
    tiles = []
    for start in range(0, n_q, block_size):
        rows = slice(start, min(start + block_size, n_q))
        n_visible = min(rows.stop, n_k) if is_causal else n_k  # later keys are forbidden to all these rows
        tile = _one_query_tile(
            xp,
            xp.astype(q[..., rows, :], work, copy=False) * scale,
            k,
            v,
            mask,
            is_causal,
            rows,
            n_visible,
            block_size,
        )
        tiles.append(xp.astype(tile, q.dtype, copy=False))
    return xp.concat(tiles, axis=-2)


def _one_query_tile(
    xp: Any,
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None,
    is_causal: bool,
    rows: slice,
    n_visible: int,
    block_size: int,
) -> Array:
    top, total, out = xp.full_like(q[..., :1], -float("inf")), 0.0, 0.0
    for start in range(0, n_visible, block_size):
        columns = slice(start, min(start + block_size, n_visible))
        scores = q @ xp.astype(k[..., columns, :], q.dtype, copy=False).mT
        scores = apply_mask(
            xp, scores, _tile_of(mask, rows, columns), _causal_tile(q, is_causal, rows, columns)
        )
        new_top = xp.maximum(top, xp.max(scores, axis=-1, keepdims=True))
        finite_top = xp.where(xp.isfinite(new_top), new_top, 0.0)  # nothing allowed yet: all weights stay 0
        with np.errstate(over="ignore"):  # a difference below the range is minus infinity: weight 0
            exponentials = exponentials_above(xp, scores, finite_top)
            correction = xp.exp(top - finite_top)
        total = total * correction + xp.sum(exponentials, axis=-1, keepdims=True)
        out = out * correction + exponentials @ xp.astype(v[..., columns, :], q.dtype, copy=False)
        top = new_top
    return out / xp.where(total > 0, total, 1.0)


def _causal_tile(q: Array, is_causal: bool, rows: slice, columns: slice) -> Array | None:
    """The causal mask of one tile, or None where every key comes before every query."""
    if not is_causal or columns.stop <= rows.start + 1:
        return None
    queries, keys = places(rows.stop - rows.start, columns.stop - columns.start, like=q)
    return keys + columns.start <= queries + rows.start


def _tile_of(mask: Array | None, rows: slice, columns: slice) -> Array | None:
    """The part of a mask that covers a tile; axes of length 1 broadcast and stay."""
    if mask is None:
        return None
    row_part = rows if mask.shape[-2] > 1 else slice(None)
    column_part = columns if mask.shape[-1] > 1 else slice(None)
    return mask[..., row_part, column_part]
