"""How many layers it takes until what a token says can have reached every later one."""

from __future__ import annotations

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
    require_count(n=n)
    if isinstance(pattern, TopK) or not isinstance(pattern, TilePattern):
        raise ValueError(
            f"pattern must be one of this package that does not depend on the text; got {pattern!r}"
        )
    seen = pattern.mask(n) | np.eye(n, dtype=bool)
    starts = np.concatenate([[0], np.cumsum(seen.sum(axis=1))])
    keys = np.nonzero(seen)[1]
    gathered = _pack(np.eye(n, dtype=bool))
    n_pairs = n * (n + 1) // 2 if pattern.causal else n * n
    counts = [n]
    while True:
        gathered = _one_layer(gathered, keys, starts)
        counts.append(int(np.bitwise_count(gathered).sum()))
        if counts[-1] == n_pairs:
            return Reach(len(counts) - 1, np.array(counts[1:]) / n_pairs)
        if counts[-1] == counts[-2]:  # what a layer adds nothing to, no later layer does
            return Reach(None, np.array(counts[1:]) / n_pairs)


def _pack(table: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Rows of booleans as rows of 64-bit words."""
    n_words = -(-table.shape[1] // 64)
    padded = np.zeros((table.shape[0], 64 * n_words), dtype=bool)
    padded[:, : table.shape[1]] = table
    return np.packbits(padded, axis=1).view(np.uint64)


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
