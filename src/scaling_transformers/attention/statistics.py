"""What a matrix of attention weights says: how sharp, how far, and which pattern."""

from __future__ import annotations

from typing import Any

from scaling_transformers.attention._inputs import Array, namespace, require_finite, require_floating
from scaling_transformers.attention.masks import key_offsets, require_count


def _check_weights(weights: Array) -> Any:
    xp = namespace(weights=weights)
    require_floating(weights=weights)
    if weights.ndim < 2:
        raise ValueError(f"weights must have query and key axes; got shape {tuple(weights.shape)}")
    require_finite(weights=weights)
    if bool(xp.any((weights < 0) | (weights > 1.001))):  # some slack for the rounding of means
        raise ValueError("weights must lie between 0 and 1")
    return xp


def attention_entropy(weights: Array) -> Array:
    """Entropy of each query's weights, in nats: 0 for one key alone, ``log(n_k)`` for all alike.

    Parameters
    ----------
    weights : array, shape (..., n_q, n_k)

    Returns
    -------
    array, shape (..., n_q)
    """
    xp = _check_weights(weights)
    logs = xp.log(xp.where(weights > 0, weights, 1.0))
    return xp.abs(xp.sum(weights * logs, axis=-1))  # each term is <= 0; abs also turns -0.0 into 0.0


def attention_distance(weights: Array) -> Array:
    """Mean distance, in tokens, between a query and what it attends to: ``sum_j w_ij |i - j|``.

    Parameters
    ----------
    weights : array, shape (..., n_q, n_k)

    Returns
    -------
    array, shape (..., n_q)
    """
    xp = _check_weights(weights)
    offsets = key_offsets(*weights.shape[-2:], like=weights)
    return xp.sum(weights * xp.astype(xp.abs(offsets), weights.dtype), axis=-1)


def offset_score(weights: Array, *, offset: int) -> Array:
    """Mean weight that a query gives to the key ``offset`` tokens before it; offset 1: a previous-token head.

    Parameters
    ----------
    weights : array, shape (..., n, n)
    offset : int, from 0 to n - 1

    Returns
    -------
    array, shape (...)
        Mean over the queries that have such a key.
    """
    xp = _check_weights(weights)
    n_q, n_k = weights.shape[-2:]
    require_count(offset=offset, least=0)
    chosen = key_offsets(n_q, n_k, like=weights) == -offset
    count = int(xp.sum(xp.astype(chosen, xp.int64)))
    if count == 0:
        raise ValueError(f"offset must be less than the number of queries, {n_q}; got {offset}")
    return xp.sum(xp.where(chosen, weights, 0.0), axis=(-2, -1)) / count


def induction_score(weights: Array, *, period: int) -> Array:
    """Mean weight on the token that followed the same token one period ago.

    For a text that repeats itself after ``period`` tokens, an induction head at query ``i`` attends to key
    ``i - period + 1``: the successor of the earlier copy of the token at ``i``, and so the token to predict.
    Only queries in the repeated part (``i >= period``) are counted.

    Parameters
    ----------
    weights : array, shape (..., n, n)
    period : int, from 1 to n - 1

    Returns
    -------
    array, shape (...)

    Source: Olsson et al. 2022, "prefix matching".
    """
    _check_weights(weights)
    require_count(period=period)
    if period >= weights.shape[-2]:
        raise ValueError(f"period must be less than the number of queries, {weights.shape[-2]}; got {period}")
    return offset_score(weights[..., period:, 1:], offset=0)
