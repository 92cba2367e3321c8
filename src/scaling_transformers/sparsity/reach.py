"""How many layers it takes until what a token says can have reached every later one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_transformers.attention.masks import require_count
from scaling_transformers.sparsity.patterns import TilePattern, TopK

_WORDS = 2**22  # 64-bit words gathered at once: 32 MB


@dataclass(frozen=True, eq=False)
class Reach:
    """What `reach` found.

    Attributes
    ----------
    n_layer : int or None
        Layers until every token can have read every token before it (without ``causal``: every token), or
        None if no number of layers is enough.
    fraction : array, shape (layers,)
        Share of those pairs, each token with itself among them, that are connected after 1, 2, ... layers, up
        to the first that connects all or adds nothing.
    """

    n_layer: int | None
    fraction: NDArray[np.float64]


def reach(pattern: TilePattern, n: int) -> Reach:
    """How far a pattern lets a text of ``n`` tokens flow, layer by layer.

    A layer hands to each query what the keys that it sees have gathered so far, and what it has itself: the
    residual stream goes past attention.

    Returns
    -------
    Reach
        ``n_layer`` and ``fraction``.

    Raises
    ------
    ValueError
        If the pattern is `TopK`, whose pairs depend on the text.

    Examples
    --------
    >>> from scaling_transformers.sparsity import Window
    >>> reach(Window(3), 7).n_layer
    3
    """
    _require_fixed(pattern, n)
    n_pairs = n * (n + 1) // 2 if pattern.causal else n * n
    counts = [n]
    for gathered in _layers(pattern, n):
        counts.append(int(np.bitwise_count(gathered).sum()))
        if counts[-1] == n_pairs:
            return Reach(len(counts) - 1, np.array(counts[1:]) / n_pairs)
        if counts[-1] == counts[-2]:  # what a layer adds nothing to, no later layer does
            break
    return Reach(None, np.array(counts[1:]) / n_pairs)


def layers_apart(pattern: TilePattern, n: int) -> NDArray[np.int64]:
    """Of each pair of tokens, after how many layers the query (row) can have heard of the key (column).

    Returns
    -------
    array of int, shape (n, n)
        0 for a token and itself, 1 for a key that the query sees, and -1 if no number of layers is enough.

    Raises
    ------
    ValueError
        As `reach`.

    Examples
    --------
    >>> from scaling_transformers.sparsity import Window
    >>> layers_apart(Window(2), 4).tolist()
    [[0, -1, -1, -1], [1, 0, -1, -1], [2, 1, 0, -1], [3, 2, 1, 0]]
    """
    _require_fixed(pattern, n)
    apart = np.full((n, n), -1)
    np.fill_diagonal(apart, 0)
    for layer, gathered in enumerate(_layers(pattern, n), start=1):
        new = (apart < 0) & _unpack(gathered)
        if not new.any():
            break
        apart[new] = layer
    return apart


def _require_fixed(pattern: TilePattern, n: int) -> None:
    """Raise `ValueError` unless the pairs of ``n`` tokens are known without the text."""
    require_count(n=n)
    if isinstance(pattern, TopK) or not isinstance(pattern, TilePattern):
        raise ValueError(
            f"pattern must be one of this package that does not depend on the text; got {pattern!r}"
        )


def _layers(pattern: TilePattern, n: int) -> Iterator[NDArray[np.uint64]]:
    """What each query has gathered after 1, 2, ... layers, without end, as rows of 64-bit words."""
    seen = pattern.mask(n) | np.eye(n, dtype=bool)
    starts = np.concatenate([[0], np.cumsum(seen.sum(axis=1))])
    keys = np.nonzero(seen)[1]
    gathered = _pack(np.eye(n, dtype=bool))
    while True:
        gathered = _one_layer(gathered, keys, starts)
        yield gathered


def _pack(table: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Rows of booleans as rows of 64-bit words."""
    n_words = -(-table.shape[1] // 64)
    padded = np.zeros((table.shape[0], 64 * n_words), dtype=bool)
    padded[:, : table.shape[1]] = table
    return np.packbits(padded, axis=1).view(np.uint64)


def _unpack(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """The square table of booleans that `_pack` packed."""
    return np.unpackbits(words.view(np.uint8), axis=1)[:, : len(words)].astype(bool)


def _one_layer(
    gathered: NDArray[np.uint64], keys: NDArray[np.integer], starts: NDArray[np.integer]
) -> NDArray[np.uint64]:
    """For each query the union of what the keys that it sees have gathered, some queries at a time."""
    out = np.empty_like(gathered)
    first, n = 0, len(gathered)
    while first < n:
        most = starts[first] + max(1, _WORDS // gathered.shape[1])
        last = max(first + 1, int(np.searchsorted(starts, most, side="right")) - 1)
        part = gathered[keys[starts[first] : starts[last]]]
        out[first:last] = np.bitwise_or.reduceat(part, starts[first:last] - starts[first], axis=0)
        first = last
    return out
