"""Linear attention: a similarity that factorises, so that a text of any length is summed up in one matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from scaling_transformers.attention._inputs import (
    Array,
    broadcast_lead,
    check_qkv,
    group_heads,
    namespace,
    require_finite,
    require_floating,
    working_dtype,
)
from scaling_transformers.attention.masks import require_count


def linear_attention(q: Array, k: Array, v: Array, *, is_causal: bool = False, block_size: int = 64) -> Array:
    """Mean of the values, weighted by ``phi(q) . phi(k)`` in place of ``exp(q . k)``; ``phi = elu + 1``.

    All weights share the factor ``phi(q)``, so the sums over keys are formed once and serve every query:
    ``phi(q) sum(phi(k) v^T) / phi(q) . sum(phi(k))``. Time and memory grow with the number of tokens, not
    with its square. It is another function than softmax attention, no approximation of it.

    Parameters
    ----------
    q : array, shape (..., n_head, n_q, d)
        Queries. Leading axes are free and broadcast.
    k : array, shape (..., n_kv_head, n_k, d)
        Keys. With ``n_head`` a multiple of ``n_kv_head``, each key head serves a group of query heads.
    v : array, shape (..., n_kv_head, n_k, d_v)
        Values.
    is_causal : bool
        Query ``i`` sees keys ``0 .. i`` only: those of its own block weight by weight, all blocks before
        through their running sums.
    block_size : int
        Tokens in such a block. It changes the time and not the answer.

    Returns
    -------
    array, shape (..., n_head, n_q, d_v), of the inputs' dtype

    Raises
    ------
    ValueError
        On shapes that do not fit, mixed dtypes, devices or libraries, on NaN or infinity, and on numbers so
        large that a sum could overflow, or so far below zero that all weights of a query vanish.

    Source: Katharopoulos et al. 2020, section 3.2; causal: section 3.3.
    """
    xp = check_qkv(q, k, v)
    require_count(block_size=block_size)
    dtype, n_q = q.dtype, q.shape[-2]
    q, k, v = _prepare(xp, q, k, v)
    if not is_causal:
        return _divide(xp, q @ (k.mT @ v), dtype)
    state, parts = _empty_state(xp, k, v), []
    for start in range(0, n_q, block_size):
        block = slice(start, start + block_size)
        sums, state = _read_block(xp, state, q[..., block, :], k[..., block, :], v[..., block, :])
        parts.append(sums)
    return _divide(xp, xp.concat(parts, axis=-2), dtype)


def linear_attention_step(state: Array | None, q: Array, k: Array, v: Array) -> tuple[Array, Array]:
    """Causal linear attention for the next tokens of a text, all that came before summed up in ``state``.

    Parameters
    ----------
    state : array, shape (..., n_head, d, d_v + 1), or None at the start of a text
        Sums over the tokens so far: of ``phi(k) v^T``, and in the last column of ``phi(k)``. Its size does
        not depend on how many there were.
    q, k, v : arrays, shapes (..., n_head, n, d), (..., n_kv_head, n, d), (..., n_kv_head, n, d_v)
        The next ``n`` tokens; one when a text is written.

    Returns
    -------
    out : array, shape (..., n_head, n, d_v), of the inputs' dtype
        What `linear_attention` gives these tokens when it reads the whole text.
    state : array, in float64 for float64 inputs, else in float32
        To be handed to the next call.

    Raises
    ------
    ValueError
        As `linear_attention`; also if ``state`` does not fit, or q and k hold different numbers of tokens.

    Source: Katharopoulos et al. 2020, section 3.4.
    """
    xp = check_qkv(q, k, v)
    if q.shape[-2] != k.shape[-2]:
        raise ValueError(
            f"q and k must hold the same number of tokens; got q {tuple(q.shape)} and k {tuple(k.shape)}"
        )
    dtype = q.dtype
    q, k, v = _prepare(xp, q, k, v)
    empty = _empty_state(xp, k, v)
    if state is None:
        state = empty
    else:
        namespace(q=q, state=state)
        require_floating(q=q, state=state)
        require_finite(state=state)
        if state.shape != empty.shape:
            raise ValueError(f"state must have shape {tuple(empty.shape)}; got {tuple(state.shape)}")
    sums, state = _read_block(xp, state, q, k, v)
    return _divide(xp, sums, dtype), state


def _prepare(xp: Any, q: Array, k: Array, v: Array) -> tuple[Array, Array, Array]:
    """Features of q and k, and v with a column of ones, whose weighted sum is the sum of the weights."""
    largest_q, largest_k, largest_v = require_finite(q=q, k=k, v=v)
    work = working_dtype(xp, q.dtype)
    limit = float(xp.finfo(work).max) / (4 * k.shape[-2] * k.shape[-1])
    if (1 + largest_q) * (1 + largest_k) * max(1.0, largest_v) > limit:
        raise ValueError(
            f"q, k and v must have magnitudes whose product is at most {limit:.0e}; got up to "
            f"{largest_q:.2g} in q, {largest_k:.2g} in k and {largest_v:.2g} in v"
        )
    k, v = group_heads(xp, q, k, v)
    broadcast_lead(q.shape, k.shape, v.shape)
    q, k, v = (xp.astype(array, work, copy=False) for array in (q, k, v))
    return _features(xp, q), _features(xp, k), xp.concat([v, xp.ones_like(v[..., :1])], axis=-1)


def _features(xp: Any, x: Array) -> Array:
    """``elu(x) + 1``: the line ``x + 1`` above zero, the exponential below; positive everywhere."""
    return xp.where(x > 0, x + 1, xp.exp(xp.clip(x, max=0.0)))


def _empty_state(xp: Any, k: Array, v: Array) -> Array:
    """The state before the first token."""
    return xp.zeros_like(k[..., :1, :].mT @ v[..., :1, :])


def _read_block(xp: Any, state: Array, q: Array, k: Array, v: Array) -> tuple[Array, Array]:
    """Weighted sums for a block of queries, and the state after its keys."""
    return q @ state + xp.tril(q @ k.mT) @ v, state + k.mT @ v


def _divide(xp: Any, sums: Array, dtype: Any) -> Array:
    """Weighted sums of values over the sum of weights in the last column."""
    total = sums[..., -1:]
    least = float(xp.min(total if isinstance(total, np.ndarray) else total.detach()))
    smallest = float(xp.finfo(sums.dtype).smallest_normal)
    if least < smallest:
        raise ValueError(
            f"q and k must give every query a sum of weights of at least {smallest:.1e}; got {least:.1e}: "
            "all coordinates of a query, or of its keys, lie far below zero"
        )
    return xp.astype(sums[..., :-1] / total, dtype, copy=False)
