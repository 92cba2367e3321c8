"""Four ways to tell attention where a token stands. (The fourth, a learned table, needs no formula.)"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scaling_transformers.attention._inputs import Array, namespace, require_finite, require_floating
from scaling_transformers.attention.masks import key_offsets, require_count


def _frequencies(d: int, theta: float, what: str) -> NDArray[np.float64]:
    """Angular frequencies in radians a token, ``theta**(-2 i / d)`` for i = 0 .. d/2 - 1."""
    if d % 2:
        raise ValueError(f"{what} must be even; got {d}")
    if not 0 < theta < math.inf:
        raise ValueError(f"theta must be positive and finite; got {theta!r}")
    return theta ** (-np.arange(0, d, 2) / d)


def sinusoidal_positions(n: int, d_model: int, *, theta: float = 10_000.0) -> NDArray[np.float64]:
    """A fixed vector for each position: sines and cosines of falling frequency.

    Returns
    -------
    NumPy array, shape (n, d_model)
        Even columns ``sin(p w_i)``, odd columns ``cos(p w_i)``, with ``w_i = theta**(-2 i / d_model)``.

    Source: Vaswani et al. 2017, section 3.5.
    """
    require_count(n=n, d_model=d_model)
    angles = np.arange(n)[:, None] * _frequencies(d_model, theta, "d_model")
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(n, d_model)


def sinusoidal_shift(d_model: int, *, offset: int, theta: float = 10_000.0) -> NDArray[np.float64]:
    """The matrix that moves every sinusoidal position by ``offset`` tokens, whatever the position.

    With ``S`` this matrix and ``P`` the table of `sinusoidal_positions`, ``P[p + offset] == S @ P[p]``: a
    relative shift is a rotation, one angle for each pair of columns.

    Returns
    -------
    NumPy array, shape (d_model, d_model)
    """
    require_count(d_model=d_model)
    if not math.isfinite(offset):
        raise ValueError(f"offset must be finite; got {offset!r}")
    angles = offset * _frequencies(d_model, theta, "d_model")
    matrix = np.zeros((d_model, d_model))
    even, odd = np.arange(0, d_model, 2), np.arange(1, d_model, 2)
    matrix[even, even] = matrix[odd, odd] = np.cos(angles)
    matrix[even, odd], matrix[odd, even] = np.sin(angles), -np.sin(angles)
    return matrix


def apply_rotary(x: Array, *, positions: Array | None = None, theta: float = 10_000.0) -> Array:
    """Turn each pair of coordinates by an angle proportional to the token's position.

    Coordinate ``i`` pairs with ``i + d/2`` (the layout of Llama in the transformers library; the paper pairs
    neighbours, which is the same up to a fixed permutation of the width). The dot product of a rotated query
    and a rotated key then depends on their positions only through the distance.

    Parameters
    ----------
    x : array, shape (..., n, d), d even
        Queries or keys of one head.
    positions : array, shape (n,), optional
        Position of each token; default ``0 .. n - 1``.
    theta : float
        Base of the frequencies.

    Returns
    -------
    array, the shape and dtype of ``x``

    Source: Su et al. 2021 (RoFormer), equation 34.
    """
    namespace(x=x)
    require_floating(x=x)
    if x.ndim < 2:
        raise ValueError(f"x must have token and width axes; got shape {tuple(x.shape)}")
    n, d = x.shape[-2:]
    _frequencies(d, theta, "the width of x")  # for its message
    if positions is None:
        positions = key_offsets(1, n, like=x)[0]
    namespace(x=x, positions=positions)
    if tuple(positions.shape) != (n,):
        raise ValueError(f"positions must have shape ({n},); got {tuple(positions.shape)}")
    require_finite(positions=positions)
    return rotate_pairs(x, *rotary_table(positions, d=d, theta=theta))


def rotary_table(positions: Array, *, d: int, theta: float = 10_000.0) -> tuple[Array, Array]:
    """Cosines and sines of the angles of `apply_rotary`, to be computed once for all heads and layers.

    Parameters
    ----------
    positions : array, shape (n,)
        Position of each token, in tokens.
    d : int
        Width of a head, even.

    Returns
    -------
    arrays, each of shape (n, d / 2), float64
    """
    xp = namespace(positions=positions)
    frequencies = xp.asarray(_frequencies(d, theta, "d"), device=positions.device)
    angles = xp.astype(positions, xp.float64)[:, None] * frequencies  # float64: a long text has large angles
    return xp.cos(angles), xp.sin(angles)


def rotate_pairs(x: Array, cos: Array, sin: Array) -> Array:
    """Turn coordinates ``i`` and ``i + d/2`` of each token by an angle.

    Parameters
    ----------
    x : array, shape (..., n, d), d even
    cos, sin : arrays, shape (n, d / 2)
        As `rotary_table` returns them.

    Returns
    -------
    array, the shape and dtype of ``x``; types narrower than float32 are computed in float32
    """
    xp = namespace(x=x, cos=cos, sin=sin)
    work = xp.float64 if x.dtype == xp.float64 else xp.float32
    half = x.shape[-1] // 2
    cos, sin = xp.astype(cos, work, copy=False), xp.astype(sin, work, copy=False)
    first, second = xp.astype(x[..., :half], work, copy=False), xp.astype(x[..., half:], work, copy=False)
    turned = xp.concat([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return xp.astype(turned, x.dtype, copy=False)


def alibi_slopes(n_head: int) -> NDArray[np.float64]:
    """How steeply each head is drawn to the near: 2^(-8/n), 2^(-16/n), ..., 2^-8 for n a power of two.

    For other ``n_head`` the slopes of the power of two below are followed by every other slope of the power
    of two above.

    Returns
    -------
    NumPy array, shape (n_head,), in score per token

    Source: Press et al. 2022, section 3 and its published code.
    """
    require_count(n_head=n_head)
    below = 2 ** int(math.log2(n_head))
    slopes = 2.0 ** (-8.0 * np.arange(1, below + 1) / below)
    between = 2.0 ** (-8.0 * np.arange(1, 2 * below + 1, 2) / (2 * below))
    return np.concatenate([slopes, between[: n_head - below]])


def alibi_bias(n_head: int, n_q: int, n_k: int | None = None) -> NDArray[np.float64]:
    """A penalty that grows with distance, to be passed as the ``mask`` of attention: ``-slope * |i - j|``.

    Returns
    -------
    NumPy array, shape (n_head, n_q, n_k)

    Source: Press et al. 2022, section 3.
    """
    offsets = key_offsets(n_q, n_q if n_k is None else n_k)
    return np.asarray(-alibi_slopes(n_head)[:, None, None] * np.abs(offsets))
