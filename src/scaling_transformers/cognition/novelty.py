"""How much of a text is copied from another, exactly. NumPy only.

A word sequence is new to a source if it stands nowhere in it. Everything here follows from one number for
each place of a text: the length of the longest sequence from there that the source holds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers.attention.masks import require_count

Ints = NDArray[np.int64]


def words_of(text: str) -> list[str]:
    """Words, and marks of punctuation one by one, in small letters.

    Examples
    --------
    >>> words_of("It's new, isn't it?")
    ["it's", 'new', ',', "isn't", 'it', '?']
    """
    return re.findall(r"\w+(?:'\w+)*|[^\w\s]", text.lower())


def number_words(*texts: Sequence[str], numbers: dict[str, int] | None = None) -> list[Ints]:
    """Each text as whole numbers, the same number for the same word in all of them.

    Parameters
    ----------
    numbers : the numbers given so far, by word; new words are added to it
    """
    numbers = {} if numbers is None else numbers
    return [
        np.array([numbers.setdefault(word, len(numbers)) for word in text], dtype=np.int64) for text in texts
    ]


def copied_lengths(texts: Sequence[ArrayLike], source: ArrayLike) -> list[Ints]:
    """For each place of each text, the length of the longest sequence from there that the source holds.

    All suffixes of source and texts are sorted by doubling: the rank of a suffix by its first ``2 w``
    elements follows from the ranks by the first ``w`` of two suffixes. The longest match of a place stands
    right before or right after it among the suffixes of the source, and its length is read off the ranks.

    Parameters
    ----------
    texts : sequence of integer array_like, each of shape (n,), not negative
    source : integer array_like, shape (n_source,), not negative

    Returns
    -------
    list of integer arrays, of the shapes of the texts

    Raises
    ------
    ValueError
        If the source is empty, or an element is negative.

    Examples
    --------
    >>> copied_lengths([[1, 2, 9, 2, 3]], [1, 2, 3, 4])[0].tolist()
    [2, 1, 0, 2, 1]

    Source: Manber and Myers 1993, for suffixes sorted by doubling.
    """
    parts = [np.asarray(part, dtype=np.int64) for part in (source, *texts)]
    if parts[0].size == 0:
        raise ValueError("source must not be empty")
    if any(part.ndim != 1 or (part < 0).any() for part in parts):
        raise ValueError("source and texts must have one axis and no negative element")
    ends = [np.array([-1 - number]) for number in range(len(parts))]  # each end is unlike all else
    joined = np.concatenate([piece for pair in zip(parts, ends, strict=True) for piece in pair])
    ranks = _ranks(joined, longest=max((part.size for part in parts[1:]), default=1))
    place = np.arange(joined.size)
    of_source = place < parts[0].size
    order = np.argsort(ranks[-1], kind="stable")
    before = np.maximum.accumulate(np.where(of_source[order], np.arange(order.size), -1))
    after = np.minimum.accumulate(np.where(of_source[order], np.arange(order.size), order.size)[::-1])[::-1]
    length = np.zeros(joined.size, dtype=np.int64)
    for near in (before, after):
        found = (near >= 0) & (near < order.size) & ~of_source[order]
        here, there = order[found], order[near[found]]
        length[here] = np.maximum(length[here], _common(ranks, here, there))
    starts = np.cumsum([part.size + 1 for part in parts])
    return [length[start : start + part.size] for start, part in zip(starts, parts[1:], strict=False)]


def _ranks(joined: Ints, *, longest: int) -> list[Ints]:
    """Rank of the suffix at every place by its first 1, 2, 4, ... elements, up to ``longest`` at least."""
    ranks, width = [np.unique(joined, return_inverse=True)[1].astype(np.int64)], 1
    while width <= longest:
        last = ranks[-1]
        later = np.zeros_like(last)  # past the end: less than all, and the end itself is unlike all else
        later[:-width] = last[width:] + 1
        pairs = last * (last.max() + 2) + later
        ranks.append(np.unique(pairs, return_inverse=True)[1].astype(np.int64))
        width *= 2
    return ranks


def _common(ranks: list[Ints], first: Ints, second: Ints) -> Ints:
    """Length of what the suffixes at two arrays of places have in common."""
    length = np.zeros(first.size, dtype=np.int64)
    last = ranks[0].size - 1
    for power in range(len(ranks) - 1, -1, -1):
        a, b = np.minimum(first + length, last), np.minimum(second + length, last)
        length += (ranks[power][a] == ranks[power][b]) * 2**power
    return length


def new_share(lengths: Sequence[ArrayLike], *, n: int, known_elements: bool = False) -> float:
    """Share of the sequences of ``n`` elements in texts that are new to the source.

    Parameters
    ----------
    lengths : as of `copied_lengths`
    n : int
    known_elements : bool
        Count a sequence as new only if each of its elements stands in the source: known words, newly joined.

    Raises
    ------
    ValueError
        If no text has ``n`` elements.

    Source: McCoy et al. 2023 (n-gram novelty).
    """
    require_count(n=n)
    parts = [np.asarray(part) for part in lengths if np.asarray(part).size >= n]
    if not parts:
        raise ValueError(f"n must be at most the length of a text; got {n}")
    found = [np.lib.stride_tricks.sliding_window_view(part, n) for part in parts]
    new = [windows[:, 0] < n for windows in found]
    if known_elements:
        new = [flags & (windows >= 1).all(axis=1) for flags, windows in zip(new, found, strict=True)]
    return float(np.concatenate(new).mean())


def longest_copied(lengths: ArrayLike) -> int:
    """Length of the longest sequence of a text that the source holds, from its `copied_lengths`."""
    return int(np.max(np.asarray(lengths), initial=0))


def repeated_share(text: ArrayLike, *, n: int) -> float:
    """Share of the sequences of ``n`` elements of a text that stood before in the same text.

    Raises
    ------
    ValueError
        If the text has fewer than ``n`` elements.
    """
    text = np.asarray(text)
    require_count(n=n)
    if text.size < n:
        raise ValueError(f"n must be at most the length of the text, {text.size}; got {n}")
    sequences = np.lib.stride_tricks.sliding_window_view(text, n)
    return 1 - len(np.unique(sequences, axis=0)) / len(sequences)
