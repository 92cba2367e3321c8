"""Masks: which key each query may attend to. True means allowed, as in torch."""

from __future__ import annotations

import numpy as np

from scaling_transformers._counts import require_count as require_count
from scaling_transformers.attention._inputs import Array, namespace


def places(n_q: int, n_k: int, *, like: Array | None = None) -> tuple[Array, Array]:
    """Places of the queries, shape (n_q, 1), and of the keys, (1, n_k); library and device as of ``like``."""
    require_count(n_q=n_q, n_k=n_k)
    xp = np if like is None else namespace(like=like)
    device = {} if xp is np or like is None else {"device": like.device}
    return xp.arange(n_q, **device)[:, None], xp.arange(n_k, **device)[None, :]


def key_offsets(n_q: int, n_k: int, *, like: Array | None = None) -> Array:
    """``j - i`` for query ``i`` and key ``j``, shape (n_q, n_k); library and device as of ``like``."""
    queries, keys = places(n_q, n_k, like=like)
    return keys - queries


def causal_mask(n_q: int, n_k: int | None = None, *, like: Array | None = None) -> Array:
    """Query ``i`` sees keys ``0 .. i``: no token looks at one that comes after it.

    Parameters
    ----------
    n_q, n_k : int
        Number of queries and keys; ``n_k`` defaults to ``n_q``.
    like : array, optional
        The mask comes in this array's library and on its device; default NumPy.

    Returns
    -------
    boolean array, shape (n_q, n_k)

    Examples
    --------
    >>> causal_mask(3).astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    queries, keys = places(n_q, n_q if n_k is None else n_k, like=like)
    return keys <= queries  # no difference in between: it would take eight times the memory of the mask


def window_mask(n_q: int, n_k: int | None = None, *, window: int, like: Array | None = None) -> Array:
    """Query ``i`` sees itself and the ``window - 1`` keys before it.

    Parameters, result: as `causal_mask`, with ``window`` a number of tokens.

    Source: Jiang et al. 2023 (Mistral 7B), section 2.

    Examples
    --------
    >>> window_mask(4, window=2).astype(int).tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    """
    require_count(window=window)
    offsets = key_offsets(n_q, n_q if n_k is None else n_k, like=like)
    return (offsets <= 0) & (offsets > -window)


def padding_mask(lengths: Array, *, n_k: int) -> Array:
    """Texts of different lengths in one batch: every query sees the first ``lengths[b]`` keys.

    Parameters
    ----------
    lengths : integer array, shape (batch,)
        Number of real tokens in each text, from 0 to ``n_k``.
    n_k : int
        Number of keys, padding included.

    Returns
    -------
    boolean array, shape (batch, 1, 1, n_k)
        Ready for scores of shape (batch, n_head, n_q, n_k).

    Examples
    --------
    >>> padding_mask(np.array([1, 3]), n_k=3)[:, 0, 0].astype(int).tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    xp = namespace(lengths=lengths)
    require_count(n_k=n_k)
    if lengths.ndim != 1 or not xp.isdtype(lengths.dtype, "integral"):
        raise ValueError(
            f"lengths must be whole numbers with one axis; got dtype {lengths.dtype}, "
            f"shape {tuple(lengths.shape)}"
        )
    if bool(xp.any((lengths < 0) | (lengths > n_k))):
        raise ValueError(f"lengths must lie between 0 and n_k={n_k}; got {lengths.tolist()}")
    keys = key_offsets(1, n_k, like=lengths)
    return (keys < lengths[:, None])[:, None, None, :]
