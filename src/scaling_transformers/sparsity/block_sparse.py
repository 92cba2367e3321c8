"""Attention that skips: tiles in which no pair may meet are never computed, weak keys get no weight."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from scaling_transformers.attention._inputs import (
    Array,
    broadcast_lead,
    check_mask,
    check_qkv,
    check_scale,
    group_heads,
    namespace,
    require_range,
    working_dtype,
)
from scaling_transformers.attention.core import apply_mask, masked_exponentials, shifted_exponentials
from scaling_transformers.attention.masks import causal_mask, require_count
from scaling_transformers.sparsity.patterns import TilePattern, TopK

_SCORES = 2**19  # scores that are held at once, all heads together: 2 MB in float32
_KEYS = 2**22  # numbers of keys gathered at once for torch's kernel, which holds no scores: 16 MB


def block_sparse_attention(
    q: Array, k: Array, v: Array, *, pattern: TilePattern, scale: float | None = None
) -> Array:
    """`scaled_dot_product_attention` under a pattern's mask, by the tiles that hold an allowed pair alone.

    Blocks of queries that see equally many tiles, alike masked, are computed together: their tiles of keys
    and values are gathered, and each block attends to its own. The scores computed are the
    ``pattern.n_computed(n)`` of the tiles, some at a time, so that the memory grows with ``n`` and not with
    its square; for a gradient torch also keeps the keys and values gathered.

    Parameters
    ----------
    q : array, shape (..., n_head, n, d)
    k : array, shape (..., n_kv_head, n, d)
    v : array, shape (..., n_kv_head, n, d_v)
        As for `scaled_dot_product_attention`, with as many keys as queries.
    pattern : TilePattern
        Any of this package but `TopK`; its ``block`` divides ``n``.
    scale : float, optional
        Factor on the scores; default ``1 / sqrt(d)``.

    Returns
    -------
    array, shape (..., n_head, n, d_v), of the inputs' dtype

    Raises
    ------
    ValueError
        As `scaled_dot_product_attention`, and if the pattern does not fit the text.

    Examples
    --------
    >>> from scaling_transformers.sparsity import Window
    >>> x = np.arange(8.0).reshape(4, 2)
    >>> block_sparse_attention(x, x, x, pattern=Window(1)).tolist() == x.tolist()
    True
    """
    xp = check_qkv(q, k, v)
    scale = check_scale(scale, q.shape[-1])
    if not isinstance(pattern, TilePattern) or isinstance(pattern, TopK):
        raise ValueError(f"pattern must be one with tiles, of scaling_transformers.sparsity; got {pattern!r}")
    if q.shape[-2] != k.shape[-2]:
        raise ValueError(f"q and k must hold the same tokens; got q {tuple(q.shape)} and k {tuple(k.shape)}")
    require_range(xp, scale, q, k, v)
    plan = tile_plan(pattern, q.shape[-2], None if isinstance(q, np.ndarray) else q.device)
    return attend_by_tiles(q, k, v, plan=plan, scale=scale)


class _Group(NamedTuple):
    """Blocks of queries that see equally many tiles, alike masked."""

    rows: Array  # whole numbers, (rows,)
    first: int | None  # the first of the rows, if they are neighbours
    tiles: Array  # whole numbers, (rows, tiles a row)
    masks: Array | None  # whole numbers, (tiles a row,): which mask each tile has; None: all are full


class TilePlan(NamedTuple):
    """What to gather for each block of queries, in arrays of the library that attends."""

    block: int
    groups: list[_Group]  #: Blocks of queries that see equally many tiles.
    masks: Array  #: boolean, (different tiles, block, block), the first of them full; tiles alike share one
    order: Array | None  #: where each block of the text stands among the groups; None: in its place


@lru_cache(maxsize=32)
def tile_plan(pattern: TilePattern, n: int, device: Any = None) -> TilePlan:
    """The plan for a text of ``n`` tokens, in NumPy arrays, or in torch tensors on a ``device``."""
    layout, block = pattern.layout(n), pattern.block
    places = {np.ones((block, block), dtype=bool).tobytes(): 0}
    within = np.arange(block)
    alike = defaultdict(list)
    for row, seen in enumerate(layout):
        tiles = np.flatnonzero(seen)
        queries = (row * block + within)[:, None]
        allowed = pattern.allows(queries, tiles[:, None, None] * block + within, n=n)
        masks = tuple(places.setdefault(tile.tobytes(), len(places)) for tile in allowed)
        alike[masks].append((row, tiles))
    groups = []
    for masks, members in alike.items():
        rows, keys = (np.array(part) for part in zip(*members, strict=True))
        first = int(rows[0]) if rows[-1] - rows[0] == len(rows) - 1 else None
        groups.append(_Group(rows, first, keys, np.array(masks) if any(masks) else None))
    table = np.frombuffer(bytearray().join(places), dtype=bool).reshape(-1, block, block)
    rows = np.concatenate([group.rows for group in groups])
    plan = TilePlan(block, groups, table, None if (rows[1:] > rows[:-1]).all() else np.argsort(rows))
    return plan if device is None else _on_device(plan, device)


def _on_device(plan: TilePlan, device: Any) -> TilePlan:
    import torch

    def move(part: Any) -> Any:
        return torch.from_numpy(part).to(device) if isinstance(part, np.ndarray) else part

    groups = [_Group(*(move(part) for part in group)) for group in plan.groups]
    return TilePlan(plan.block, groups, move(plan.masks), move(plan.order))


def attend_by_tiles(q: Array, k: Array, v: Array, *, plan: TilePlan, scale: float) -> Array:
    """`block_sparse_attention` of arguments that have been checked, with the plan for their tokens."""
    xp = namespace(q=q)
    k, v = group_heads(xp, q, k, v)
    n, block, lead = q.shape[-2], plan.block, broadcast_lead(q.shape, k.shape, v.shape)
    q, k, v = (_in_blocks(xp, array, lead, block) for array in (q, k, v))  # (all heads, blocks, block, width)
    outs = []
    for rows, first, tiles, masks in plan.groups:
        mask = None if masks is None else _side_by_side(xp, xp.take(plan.masks, masks, axis=0))
        n_row, n_key = rows.shape[0], tiles.shape[1] * block
        most, a_row = (_SCORES, block) if isinstance(q, np.ndarray) else (_KEYS, k.shape[-1])
        step = max(1, most // (q.shape[0] * n_key * a_row))
        for start in range(0, n_row, step):
            stop = min(start + step, n_row)
            if first is None:
                queries = xp.take(q, rows[start:stop], axis=1)
            else:
                queries = q[:, first + start : first + stop]
            shown = xp.reshape(tiles[start:stop], (-1,))
            keys, values = (
                xp.reshape(xp.take(array, shown, axis=1), (q.shape[0], stop - start, n_key, array.shape[-1]))
                for array in (k, v)
            )
            outs.append(_attend(xp, queries, keys, values, mask, scale))
    out = outs[0] if len(outs) == 1 else xp.concat(outs, axis=1)
    if plan.order is not None:
        out = xp.take(out, plan.order, axis=1)
    return xp.reshape(out, (*lead, n, v.shape[-1]))


def _in_blocks(xp: Any, array: Array, lead: tuple[int, ...], block: int) -> Array:
    """All leading axes in one, and the tokens in blocks: (heads, blocks, block, width)."""
    n, width = array.shape[-2:]
    if tuple(array.shape[:-2]) != lead:
        array = xp.broadcast_to(array, (*lead, n, width))
    return xp.reshape(array, (-1, n // block, block, width))


def _side_by_side(xp: Any, masks: Array) -> Array:
    """The masks of a row's tiles in one: (block, tiles * block)."""
    return xp.reshape(xp.permute_dims(masks, (1, 0, 2)), (masks.shape[1], -1))


def _attend(xp: Any, q: Array, k: Array, v: Array, mask: Array | None, scale: float) -> Array:
    """Each block of queries with the keys gathered for it; a mask leaves no query without a key."""
    if isinstance(q, np.ndarray):
        exponentials, total = masked_exponentials(xp, q, k, q.shape[:2], mask, False, scale)
        out = exponentials @ xp.astype(v, exponentials.dtype, copy=False) / total
        return xp.astype(out, q.dtype, copy=False)
    from torch.nn.functional import scaled_dot_product_attention as fused

    return fused(q, k, v, attn_mask=mask, scale=scale)


def top_k_attention(
    q: Array,
    k: Array,
    v: Array,
    *,
    k_top: int,
    mask: Array | None = None,
    is_causal: bool = True,
    scale: float | None = None,
) -> Array:
    """Mean of the values of the ``k_top`` keys that match a query best, weighted by how well they do.

    All scores are computed, for only they tell which are largest; the softmax is over the ones kept. Of equal
    scores at the edge any may be kept, so that never more than ``k_top`` are. The choice has no gradient.

    Parameters
    ----------
    q, k, v, mask, scale
        As for `scaled_dot_product_attention`.
    k_top : int
        Keys that each query keeps; with fewer allowed, all of them.
    is_causal : bool
        Whether query ``i`` sees keys ``0 .. i`` only, as it does by default.

    Returns, raises: as `scaled_dot_product_attention`.

    Source: Gupta et al. 2021.
    """
    xp = check_qkv(q, k, v)
    scale = check_scale(scale, q.shape[-1])
    require_count(k_top=k_top)
    require_range(xp, scale, q, k, v, mask=mask)
    k, v = group_heads(xp, q, k, v)
    lead, n_q, n_k = broadcast_lead(q.shape, k.shape, v.shape), q.shape[-2], k.shape[-2]
    mask = check_mask(xp, mask, lead, n_q, n_k, working_dtype(xp, q.dtype))
    causal = causal_mask(n_q, n_k, like=q) if is_causal else None
    scores = top_k_scores(q, k, mask, causal, k_top=k_top, scale=scale)
    exponentials, total = shifted_exponentials(xp, scores, axis=-1)
    out = exponentials @ xp.astype(v, exponentials.dtype, copy=False) / total
    return xp.astype(out, q.dtype, copy=False)


def top_k_scores(q: Array, k: Array, *masks: Array | None, k_top: int, scale: float) -> Array:
    """The scores of `top_k_attention`, of arguments that have been checked; minus infinity if not kept."""
    xp = namespace(q=q)
    work = working_dtype(xp, q.dtype)
    scores = (xp.astype(q, work, copy=False) * scale) @ xp.astype(k, work, copy=False).mT
    scores = apply_mask(xp, scores, *masks)
    return scores if k_top >= k.shape[-2] else xp.where(_largest(scores, k_top), scores, -float("inf"))


def _largest(scores: Array, k_top: int) -> Array:
    """True at the ``k_top`` largest scores of each row."""
    if isinstance(scores, np.ndarray):
        kept = np.zeros(scores.shape, dtype=bool)
        np.put_along_axis(kept, np.argpartition(scores, -k_top, axis=-1)[..., -k_top:], True, axis=-1)
        return kept
    import torch

    places = scores.detach().topk(k_top, dim=-1).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter(-1, places, True)
