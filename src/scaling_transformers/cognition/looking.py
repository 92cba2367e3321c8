"""How far attention reaches, in the units of the page: words and letters. NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers.attention.masks import require_count

Array = NDArray[np.float64]


def token_places(pieces: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each token of a text stands: the number of its word, and of its first letter.

    A word begins with the first letter after white space. White space counts to the word after it.

    Parameters
    ----------
    pieces : the text of each token, in order

    Returns
    -------
    two integer arrays, shape (n,)
        Words and letters before the token, white space counted as letters, as in the studies of reading.

    Examples
    --------
    >>> [place.tolist() for place in token_places(["The", " qu", "ick", " fox"])]
    [[0, 1, 1, 2], [0, 4, 6, 10]]
    """
    words, letters = [], []
    word, letter, spaced = 0, 0, False
    started = False
    for piece in pieces:
        blank = len(piece) - len(piece.lstrip())
        if started and (blank or spaced) and piece.strip():
            word += 1
        spaced = (spaced and not piece.strip()) or (piece[-1:].isspace())
        started = started or bool(piece.strip())
        words.append(word)
        letters.append(letter + (blank if piece.strip() else 0))
        letter += len(piece)
    return np.array(words, dtype=np.int64), np.array(letters, dtype=np.int64)


def share_within(weights: ArrayLike, places: ArrayLike, *, reach: float) -> Array:
    """Share of a query's attention on keys at most ``reach`` away.

    Parameters
    ----------
    weights : array_like, shape (batch, ..., n, n)
        Each query's weights add up to 1.
    places : array_like, shape (batch, n)
        Where each token stands, in any unit.

    Returns
    -------
    array, shape (batch, ..., n)
    """
    weights, apart = _apart(weights, places)
    share: Array = (weights * (apart <= reach)).sum(axis=-1)
    return share


def mean_distance(weights: ArrayLike, places: ArrayLike) -> Array:
    """Mean distance between a query and what it attends to, in the unit of the places; (batch, ..., n)."""
    weights, apart = _apart(weights, places)
    distance: Array = (weights * apart).sum(axis=-1)
    return distance


def _apart(weights: ArrayLike, places: ArrayLike) -> tuple[Array, Array]:
    """The weights, and the distances of every two tokens, of shapes that go together."""
    weights, places = np.asarray(weights, dtype=float), np.asarray(places, dtype=float)
    n = weights.shape[-1]
    if weights.ndim < 3 or weights.shape[-2] != n or places.shape != (len(weights), n):
        raise ValueError(
            "weights must be (batch, ..., n, n) and places (batch, n); "
            f"got {weights.shape} and {places.shape}"
        )
    apart = np.abs(places[:, :, None] - places[:, None, :])
    return weights, apart.reshape(len(weights), *[1] * (weights.ndim - 3), n, n)


def uniform_attention(n: int) -> Array:
    """Weights of a causal head that attends to all it may alike; shape (n, n)."""
    return recent_attention(n, width=n)


def recent_attention(n: int, *, width: int) -> Array:
    """Weights of a causal head that attends to its own and the ``width - 1`` tokens before, alike; (n, n)."""
    require_count(n=n, width=width)
    seen = np.tri(n) - np.tri(n, k=-width)
    rows: Array = seen / seen.sum(axis=1, keepdims=True)
    return rows
