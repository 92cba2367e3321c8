"""Scaled dot-product attention: softmax(scale * q k^T + mask) v."""

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
    namespace,
    require_floating,
    require_range,
    working_dtype,
)
from scaling_transformers.attention.masks import causal_mask


def softmax(x: Array, *, axis: int = -1) -> Array:
    """Exponentials along an axis, divided by their sum; never overflows.

    The largest entry is subtracted first, which leaves the result unchanged and every exponent at most 0.
    Entries of minus infinity get weight 0, and a row of nothing else gets zeros.

    Parameters
    ----------
    x : array, any shape, real floating
        Scores, at least one. NaN and plus infinity are refused.

    Returns
    -------
    array, the shape of ``x``
        Non-negative, summing to 1 along ``axis`` (or to 0 where every score is minus infinity).

    Examples
    --------
    >>> softmax(np.array([1000.0, 1000.0])).tolist()
    [0.5, 0.5]
    """
    xp = namespace(x=x)
    require_floating(x=x)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis must be one of the {x.ndim} axes of x; got {axis}")
    if 0 in x.shape:
        raise ValueError(f"x must not be empty; got shape {tuple(x.shape)}")
    if bool(xp.any(xp.isnan(x) | (x == float("inf")))):
        raise ValueError("x must be finite or minus infinity; it holds NaN or plus infinity")
    work = working_dtype(xp, x.dtype)
    exponentials, total = shifted_exponentials(xp, xp.astype(x, work, copy=False), axis=axis)
    return xp.astype(exponentials / total, x.dtype, copy=False)


def attention_weights(
    q: Array, k: Array, *, mask: Array | None = None, is_causal: bool = False, scale: float | None = None
) -> Array:
    """How much each query attends to each key: ``softmax(scale * q k^T + mask)``.

    Parameters
    ----------
    q : array, shape (..., n_head, n_q, d)
    k : array, shape (..., n_kv_head, n_k, d)
    mask, is_causal, scale
        As for `scaled_dot_product_attention`.

    Returns
    -------
    array, shape (..., n_head, n_q, n_k)
        Each row sums to 1, or to 0 where the mask forbids every key.

    Source: Vaswani et al. 2017, equation 1.
    """
    xp = check_qkv(q, k)
    scale = check_scale(scale, q.shape[-1])
    require_range(xp, scale, q, k, mask=mask)
    (k,) = group_heads(xp, q, k)
    lead = broadcast_lead(q.shape, k.shape)
    exponentials, total = masked_exponentials(xp, q, k, lead, mask, is_causal, scale)
    return xp.astype(exponentials / total, q.dtype, copy=False)


def scaled_dot_product_attention(
    q: Array,
    k: Array,
    v: Array,
    *,
    mask: Array | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Array:
    """Mean of the values, weighted by how well each key matches the query.

    NumPy arrays go through the five lines below. torch tensors go, after the same checks, to torch's own
    fused kernel, which computes the same without storing the weights. Tests hold the two against each other.

    Parameters
    ----------
    q : array, shape (..., n_head, n_q, d)
        Queries. Leading axes are free and broadcast.
    k : array, shape (..., n_kv_head, n_k, d)
        Keys. With ``n_head`` a multiple of ``n_kv_head``, each key head serves a group of query heads.
    v : array, shape (..., n_kv_head, n_k, d_v)
        Values.
    mask : array, broadcasts to (..., n_head, n_q, n_k), optional
        Boolean, True where a query may attend; or floating, added to the scores.
    is_causal : bool
        Query ``i`` sees keys ``0 .. i`` only. Goes together with ``mask``.
    scale : float, optional
        Factor on the scores; default ``1 / sqrt(d)``.

    Returns
    -------
    array, shape (..., n_head, n_q, d_v), of the inputs' dtype
        A query whose every key is forbidden gets zeros.

    Raises
    ------
    ValueError
        On shapes that do not fit, mixed dtypes, devices or libraries, on NaN or infinity, and on numbers so
        large that a score could overflow.

    Source: Vaswani et al. 2017, equation 1; grouped queries: Ainslie et al. 2023.
    """
    xp = check_qkv(q, k, v)
    scale = check_scale(scale, q.shape[-1])
    require_range(xp, scale, q, k, v, mask=mask)
    k, v = group_heads(xp, q, k, v)
    if not isinstance(q, np.ndarray):
        return _torch_kernel(xp, q, k, v, mask, is_causal, scale)
    lead = broadcast_lead(q.shape, k.shape, v.shape)
    exponentials, total = masked_exponentials(xp, q, k, lead, mask, is_causal, scale)
    # Dividing after the product touches n_q * d_v numbers in place of n_q * n_k.
    out = exponentials @ xp.astype(v, exponentials.dtype, copy=False) / total
    return xp.astype(out, q.dtype, copy=False)


def masked_exponentials(
    xp: Any, q: Array, k: Array, lead: tuple[int, ...], mask: Array | None, is_causal: bool, scale: float
) -> tuple[Array, Array]:
    """Exponentials of the scores and their row sums; the quotient is the weights."""
    work, n_q, n_k = working_dtype(xp, q.dtype), q.shape[-2], k.shape[-2]
    mask = check_mask(xp, mask, lead, n_q, n_k, work)
    scores = (xp.astype(q, work, copy=False) * scale) @ xp.astype(k, work, copy=False).mT
    scores = apply_mask(xp, scores, mask, causal_mask(n_q, n_k, like=q) if is_causal else None)
    return shifted_exponentials(xp, scores, axis=-1, in_place=True)


def apply_mask(xp: Any, scores: Array, *masks: Array | None) -> Array:
    """Add floating masks to the scores and put minus infinity where a boolean mask is False."""
    for mask in masks:
        if mask is None:
            continue
        if xp.isdtype(mask.dtype, "bool"):
            scores = xp.where(mask, scores, -float("inf"))
        else:
            scores = scores + mask_in(xp, mask, scores.dtype)
    return scores


def mask_in(xp: Any, mask: Array, dtype: Any) -> Array:
    """A floating mask in the dtype of the scores; what lies below its range becomes minus infinity."""
    with np.errstate(over="ignore"):
        return xp.astype(mask, dtype, copy=False)


def shifted_exponentials(xp: Any, scores: Array, *, axis: int, in_place: bool = False) -> tuple[Array, Array]:
    """``exp(scores - max)`` and its sum along an axis, safe for rows that are all minus infinity."""
    top = xp.max(scores, axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, 0.0)  # a row wholly forbidden: exp(-inf - 0) = 0
    with np.errstate(over="ignore"):  # a difference below the range is minus infinity: weight 0
        exponentials = exponentials_above(xp, scores, top) if in_place else xp.exp(scores - top)
    total = xp.sum(exponentials, axis=axis, keepdims=True)
    return exponentials, xp.where(total > 0, total, 1.0)


def exponentials_above(xp: Any, scores: Array, top: Array) -> Array:
    """``exp(scores - top)``; NumPy writes it over the scores, torch keeps them for the gradient."""
    if isinstance(scores, np.ndarray):
        return np.exp(np.subtract(scores, top, out=scores), out=scores)
    return xp.exp(scores - top)


def _torch_kernel(
    xp: Any, q: Array, k: Array, v: Array, mask: Array | None, is_causal: bool, scale: float
) -> Array:
    """The same through torch's fused attention, which takes four axes and no wholly forbidden row."""
    import torch

    work, n_q, n_k = working_dtype(xp, q.dtype), q.shape[-2], k.shape[-2]
    lead = broadcast_lead(q.shape, k.shape, v.shape)
    mask = check_mask(xp, mask, lead, n_q, n_k, work)
    seen = None
    if mask is not None and mask.dtype != torch.bool:
        mask = mask_in(xp, mask, work)  # float32 also beside a narrow q, in whose dtype a mask could overflow
    # The kernel's causal flag does not go with a mask, nor with a scale of 0 or less: it multiplies the minus
    # infinity of a forbidden key by the scale.
    if is_causal and (mask is not None or scale < 1e-30):
        causal, is_causal = causal_mask(n_q, n_k, like=q), False
        if mask is None:
            mask = causal
        else:
            mask = mask & causal if mask.dtype == torch.bool else apply_mask(xp, mask, causal)
    if mask is not None:
        allowed = mask if mask.dtype == torch.bool else mask > -float("inf")
        seen = allowed.any(dim=-1, keepdim=True)
        # A row that forbids every key gets an open mask here, so that the kernel can divide, and zeros below.
        mask = mask | ~seen if mask.dtype == torch.bool else torch.where(seen, mask, 0.0)
        mask = _four_axes(mask.expand(*lead, n_q, n_k), lead)
    q, k, v = (_four_axes(array, lead) for array in (q, k, v))
    out = torch.nn.functional.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=mask,
        is_causal=is_causal,
        scale=scale,
    )
    if len(lead) != 2:
        out = out.reshape(*lead, n_q, v.shape[-1])
    return out if seen is None else torch.where(seen, out, 0.0)


def _four_axes(array: Array, lead: tuple[int, ...]) -> Array:
    """The array spread over the leading axes ``lead``, with exactly two of them."""
    if array.shape[:-2] != lead:
        array = array.expand(*lead, *array.shape[-2:])
    if array.ndim < 4:
        return array[(None,) * (4 - array.ndim)]
    return array if array.ndim == 4 else array.reshape(-1, *array.shape[-3:])
