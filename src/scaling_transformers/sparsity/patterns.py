"""Which keys a query may see: patterns that leave out most pairs of tokens.

A machine does not skip single pairs, it skips tiles: squares of ``block`` queries by ``block`` keys. Each
pattern says which pairs it allows and which tiles hold one; the rest of the package reads nothing else.

Every pattern lets each query see itself, is causal unless told otherwise, is hashable, and compares by value.
A causal pattern of a text is that of a longer text cut short, as decoding needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scaling_transformers.attention.masks import require_count

Mask = NDArray[np.bool_]
Places = NDArray[np.integer]


@dataclass(frozen=True)
class TilePattern:
    """What all patterns share.

    Parameters
    ----------
    block : int, optional
        Side of a tile, in tokens. Default: the size at which the pattern repeats.
    causal : bool
        Whether queries see no key after them. ``False`` is for encoders.
    """

    block: int = field(default=None, kw_only=True)  # type: ignore[assignment]  # an int after __post_init__
    causal: bool = field(default=True, kw_only=True)

    def _check(self, *, block: int) -> None:
        if self.block is None:
            object.__setattr__(self, "block", block)
        require_count(block=self.block)
        if not isinstance(self.causal, bool):
            raise ValueError(f"causal must be True or False; got {self.causal!r}")

    def allows(self, queries: Places, keys: Places, *, n: int) -> Mask:
        """Whether the queries at some places may see the keys at others, in a text of ``n`` tokens.

        The two arrays of whole numbers below ``n`` broadcast.
        """
        raise NotImplementedError

    def mask(self, n: int) -> Mask:
        """Every pair of a text of ``n`` tokens, shape (n, n): True where the query (row) may see the key."""
        require_count(n=n)
        places = np.arange(n)
        return self.allows(places[:, None], places[None, :], n=n)

    def n_allowed(self, n: int) -> int:
        """Pairs of query and key that may meet in a text of ``n`` tokens."""
        raise NotImplementedError

    def layout(self, n: int) -> Mask:
        """Which tiles hold an allowed pair, shape (n / block, n / block).

        Raises
        ------
        ValueError
            If ``block`` does not divide ``n``.
        """
        n_block = self._n_block(n)
        tiles = self._tiles(n_block)
        return np.tri(n_block, dtype=bool) & tiles if self.causal else tiles.copy()

    def n_computed(self, n: int) -> int:
        """Pairs whose scores are computed: all those of a tile of which one is allowed.

        Raises
        ------
        ValueError
            If ``block`` does not divide ``n``.
        """
        return int(self.layout(n).sum()) * self.block**2

    def _tiles(self, n_block: int) -> Mask:
        """Tiles on or below the diagonal that hold an allowed pair, and without ``causal`` those above."""
        raise NotImplementedError

    def _n_block(self, n: int) -> int:
        require_count(n=n)
        if n % self.block:
            raise ValueError(f"n must be a multiple of the pattern's block of {self.block} tokens; got {n}")
        return n // self.block


class _ByDistance(TilePattern):
    """A pattern that looks at nothing but how far a key lies from the query."""

    def _sees(self, distance: Places) -> Mask:
        raise NotImplementedError

    def allows(self, queries: Places, keys: Places, *, n: int) -> Mask:
        distance = queries - keys
        seen = self._sees(np.abs(distance))
        return seen & (distance >= 0) if self.causal else seen

    def n_allowed(self, n: int) -> int:
        require_count(n=n)
        seen = self._sees(np.arange(n))
        pairs = int((n - np.arange(n))[seen].sum())  # at distance t there are n - t
        return pairs if self.causal else 2 * pairs - n  # every query sees itself, once

    def n_computed(self, n: int) -> int:
        n_block = self._n_block(n)
        tiles = int((n_block - np.arange(n_block))[self._holds(n_block)].sum())
        return (tiles if self.causal else 2 * tiles - n_block) * self.block**2

    def _tiles(self, n_block: int) -> Mask:
        t = np.arange(n_block)
        return np.asarray(self._holds(n_block)[np.abs(t[:, None] - t[None, :])])

    def _holds(self, n_block: int) -> Mask:
        """Whether a tile 0, 1, ... blocks from the diagonal holds an allowed pair."""
        # At t blocks a tile holds the distances from (t - 1) block + 1 to (t + 1) block - 1.
        up_to = np.concatenate([[0], np.cumsum(self._sees(np.arange(n_block * self.block)))])
        t = np.arange(n_block)
        return np.asarray(up_to[(t + 1) * self.block] > up_to[np.maximum((t - 1) * self.block + 1, 0)])


@dataclass(frozen=True)
class Window(_ByDistance):
    """A query sees itself and the ``window - 1`` keys before it (and, without ``causal``, after it).

    Tiles are as wide as the window unless ``block`` is given; smaller ones follow its edge more closely.

    Source: Child et al. 2019; Jiang et al. 2023 (Mistral 7B), section 2.

    Examples
    --------
    >>> Window(2).mask(4).astype(int).tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    >>> Window(2).n_allowed(4), Window(2).n_computed(4)
    (7, 12)
    """

    window: int

    def __post_init__(self) -> None:
        require_count(window=self.window)
        self._check(block=self.window)

    def _sees(self, distance: Places) -> Mask:
        return np.asarray(distance < self.window)


@dataclass(frozen=True)
class Dilated(_ByDistance):
    """A window with gaps: ``window`` keys, ``dilation`` tokens apart, the query's own the last of them.

    The gaps save arithmetic only where a tile fits into one, with ``block`` below ``dilation``: by default,
    with tiles as wide as a gap, none is empty that a window of the same extent would fill.

    Source: Beltagy et al. 2020 (Longformer).

    Examples
    --------
    >>> Dilated(2, 2).mask(4).astype(int).tolist()
    [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1]]
    """

    window: int
    dilation: int

    def __post_init__(self) -> None:
        require_count(window=self.window, dilation=self.dilation)
        self._check(block=self.dilation)

    def _sees(self, distance: Places) -> Mask:
        return np.asarray((distance % self.dilation == 0) & (distance < self.window * self.dilation))


@dataclass(frozen=True)
class Strided(_ByDistance):
    """The last ``stride`` keys, and every ``stride``-th before them: both heads of the paper in one mask.

    With tiles as wide as the stride no tile is empty; a ``block`` below it skips some.

    Source: Child et al. 2019 (Sparse Transformers), strided attention.

    Examples
    --------
    >>> Strided(2).mask(5)[4].astype(int).tolist()
    [1, 0, 1, 1, 1]
    """

    stride: int

    def __post_init__(self) -> None:
        require_count(stride=self.stride)
        self._check(block=self.stride)

    def _sees(self, distance: Places) -> Mask:
        return np.asarray((distance < self.stride) | (distance % self.stride == 0))


@dataclass(frozen=True)
class Fixed(TilePattern):
    """The query's own segment of ``stride`` tokens, and the last ``n_summary`` keys of every segment.

    Both heads of the paper in one mask: what a segment has to say later ones must read from its last tokens.
    With tiles as wide as a segment every tile holds a summary; a ``block`` below that skips some.

    Source: Child et al. 2019 (Sparse Transformers), fixed attention.

    Examples
    --------
    >>> Fixed(3, 1).mask(7)[6].astype(int).tolist()
    [0, 0, 1, 0, 0, 1, 1]
    """

    stride: int
    n_summary: int

    def __post_init__(self) -> None:
        require_count(stride=self.stride, n_summary=self.n_summary)
        if self.n_summary > self.stride:
            raise ValueError(f"n_summary must be at most stride={self.stride}; got {self.n_summary}")
        self._check(block=self.stride)

    def allows(self, queries: Places, keys: Places, *, n: int) -> Mask:
        """Whether queries may see keys, as in `TilePattern.allows`."""
        seen = np.asarray((queries // self.stride == keys // self.stride) | self._is_summary(keys))
        return seen & (keys <= queries) if self.causal else seen

    def n_allowed(self, n: int) -> int:
        """Pairs of a text of ``n`` tokens that the pattern allows."""
        require_count(n=n)
        places = np.arange(n)
        if self.causal:
            return int((places % self.stride + 1 + places // self.stride * self.n_summary).sum())
        segments = -(-n // self.stride)
        summaries = np.bincount(places[self._is_summary(places)] // self.stride, minlength=segments)
        sizes = np.bincount(places // self.stride)
        return int((sizes * (sizes + summaries.sum() - summaries)).sum())

    def _is_summary(self, keys: Places) -> Mask:
        return np.asarray(keys % self.stride >= self.stride - self.n_summary)

    def _tiles(self, n_block: int) -> Mask:
        places = np.arange(n_block * self.block).reshape(n_block, self.block)
        first, last = places[:, 0] // self.stride, places[:, -1] // self.stride  # segments of a block's ends
        meet = (first[:, None] <= last) & (first <= last[:, None])
        return np.asarray(meet | self._is_summary(places).any(axis=1))


class _ByBlock(TilePattern):
    """A pattern of whole tiles, but for those that ``causal`` cuts at the diagonal."""

    def allows(self, queries: Places, keys: Places, *, n: int) -> Mask:
        seen = self._tiles(-(-n // self.block))[queries // self.block, keys // self.block]
        return seen & (keys <= queries) if self.causal else seen

    def n_allowed(self, n: int) -> int:
        require_count(n=n)
        sizes = np.full(-(-n // self.block), self.block)
        sizes[-1] = n - (len(sizes) - 1) * self.block
        tiles = self._tiles(len(sizes))
        if not self.causal:
            return int(sizes @ tiles @ sizes)
        below = int(sizes @ np.tril(tiles, -1) @ sizes)
        return below + int((sizes * (sizes + 1) // 2)[np.diagonal(tiles)].sum())


@dataclass(frozen=True)
class BigBird(_ByBlock):
    """Blocks of three kinds: near the query, at the start of the text, and drawn at random.

    A block of queries sees

    - the ``n_window`` blocks that end with its own; without ``causal``, those around its own (an odd number);
    - the first ``n_global`` blocks;
    - ``n_random`` others, or as many as there are: drawn from those before it, without ``causal`` from all.

    Without ``causal`` the first ``n_global`` blocks also see the whole text. That half of "global" is lost
    once the future is masked: they are read by all that follow, but have read nothing but the start, so no
    text is gathered there and handed on. What lies far back is reached by windows and random blocks alone.

    Source: Zaheer et al. 2020 (Big Bird), for encoders; the causal form is this book's.

    Examples
    --------
    >>> BigBird(1, n_window=2, n_global=1, n_random=0).mask(5)[4].astype(int).tolist()
    [1, 0, 0, 1, 1]
    """

    block: int = field(kw_only=False)
    n_window: int = field(default=3, kw_only=True)
    n_global: int = field(default=1, kw_only=True)
    n_random: int = field(default=1, kw_only=True)
    seed: int = field(default=0, kw_only=True)  #: Of the blocks drawn at random.

    def __post_init__(self) -> None:
        self._check(block=self.block)
        require_count(n_window=self.n_window)
        require_count(least=0, n_global=self.n_global, n_random=self.n_random, seed=self.seed)
        if not self.causal and self.n_window % 2 == 0:
            raise ValueError(f"n_window must be odd with causal=False; got {self.n_window}")

    def _tiles(self, n_block: int) -> Mask:
        return _big_bird_tiles(self, n_block)


@lru_cache(maxsize=32)
def _big_bird_tiles(pattern: BigBird, n_block: int) -> Mask:
    before, after = pattern.n_window - 1, 0
    if not pattern.causal:
        before = after = pattern.n_window // 2
    row, column = np.arange(n_block)[:, None], np.arange(n_block)[None, :]
    tiles = (column >= row - before) & (column <= row + after)
    tiles |= (column < pattern.n_global) & ((column <= row) | (not pattern.causal))
    if not pattern.causal:
        tiles |= row < pattern.n_global
    for r in range(n_block):
        others = np.flatnonzero(~tiles[r, : r if pattern.causal else n_block])
        # A stream of its own for each row, so that a longer text draws the same for the rows it shares.
        generator = np.random.default_rng([pattern.seed, r])
        tiles[r, generator.choice(others, min(pattern.n_random, len(others)), replace=False)] = True
    tiles.setflags(write=False)
    return tiles


@dataclass(frozen=True)
class Blocks(_ByBlock):
    """Whatever tiles a square table names: ``tiles[r][c]`` where block ``r`` of queries sees block ``c``.

    A boolean array or nested sequence is kept as a nested tuple. With ``causal`` what stands above the
    diagonal is passed over, and a shorter text uses the table's corner.

    Examples
    --------
    >>> Blocks(2, [[1, 0], [1, 1]]).mask(4).astype(int).tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    """

    block: int = field(kw_only=False)
    tiles: Sequence[Sequence[bool]]

    def __post_init__(self) -> None:
        self._check(block=self.block)
        try:
            tiles = np.asarray(self.tiles)
        except ValueError:  # rows of different lengths
            raise ValueError(f"tiles must be a square table; got {self.tiles!r}") from None
        if tiles.ndim != 2 or tiles.shape[0] != tiles.shape[1] or not tiles.size:
            raise ValueError(f"tiles must be a square table; got shape {tiles.shape}")
        if not np.isin(tiles, [0, 1]).all():
            raise ValueError("tiles must hold True and False, or 1 and 0, only")
        tiles = tiles.astype(bool)
        seen = np.tril(tiles) if self.causal else tiles
        if not np.diagonal(seen).all():
            first = int(np.diagonal(seen).argmin())
            raise ValueError(f"tiles must let each block see itself; block {first} does not")
        object.__setattr__(self, "tiles", tuple(tuple(row) for row in seen.tolist()))

    def _tiles(self, n_block: int) -> Mask:
        if n_block > len(self.tiles) or (n_block < len(self.tiles) and not self.causal):
            least = "at most " * self.causal
            raise ValueError(
                f"n must be {least}{len(self.tiles) * self.block}, the tokens that the tiles cover; "
                f"got {n_block} blocks of {self.block}"
            )
        return _as_table(self)[:n_block, :n_block]


@lru_cache(maxsize=32)
def _as_table(pattern: Blocks) -> Mask:
    table = np.array(pattern.tiles)
    table.setflags(write=False)
    return table


@dataclass(frozen=True)
class TopK(TilePattern):
    """The ``k`` keys that match a query best, of all that it may see: the content decides, not the place.

    `mask` has the candidates. To find the best, every score is computed, so that no tile is empty: what is
    saved is values to read, not scores. Tiles are single pairs.

    Source: Gupta et al. 2021 (top-k attention).

    Examples
    --------
    >>> TopK(2).n_allowed(4), TopK(2).n_computed(4)
    (7, 16)
    """

    k: int

    def __post_init__(self) -> None:
        require_count(k=self.k)
        self._check(block=1)
        if self.block != 1:
            raise ValueError(f"block must be 1, for TopK skips no tile; got {self.block}")

    def allows(self, queries: Places, keys: Places, *, n: int) -> Mask:
        """Whether keys are candidates of queries, as in `TilePattern.allows`."""
        seen = keys <= queries
        return seen if self.causal else np.ones_like(seen)

    def n_allowed(self, n: int) -> int:
        """Pairs of a text of ``n`` tokens that are kept, ``k`` at most for a query."""
        require_count(n=n)
        if not self.causal:
            return n * min(n, self.k)
        return int(np.minimum(np.arange(1, n + 1), self.k).sum())

    def layout(self, n: int) -> Mask:
        """All tiles, (n, n) of True: which keys are best is known only when all scores are."""
        require_count(n=n)
        return np.ones((n, n), dtype=bool)

    def n_computed(self, n: int) -> int:
        """Pairs whose scores are computed: all of them."""
        require_count(n=n)
        return n * n
