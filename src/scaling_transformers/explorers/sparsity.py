"""Pairs are left out: what a pattern allows, what its tiles compute, and how many layers connect the rest."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_transformers.explorers.base import Control, Explorer
from scaling_transformers.sparsity import (
    BigBird,
    Blocks,
    Dilated,
    Fixed,
    Strided,
    TilePattern,
    TopK,
    Window,
    layers_apart,
    reach,
    top_k_attention,
)

KINDS = ("Window", "Dilated", "Strided", "Fixed", "BigBird", "TopK")
SIZES = ("4", "8", "16")  # names, for in between tiles would not fill the texts
LENGTHS = ("16", "32", "64")
DEPTHS = (1, 2, 5)  # five layers connect a text of four windows
LONGEST = int(LENGTHS[-1])
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"  # of a number of layers in the drawn table
NEVER = "."


def _pattern(kind: str, size: int) -> TilePattern:
    """A pattern of one size; its tiles are as wide as it repeats, as in the chapter."""
    patterns: dict[str, TilePattern] = {
        "Window": Window(size),
        "Dilated": Dilated(4, size),
        "Strided": Strided(size),
        "Fixed": Fixed(size, 1),
        "BigBird": BigBird(size, n_window=2, seed=3),
        "TopK": TopK(size),
    }
    return patterns[kind]


def _words(kind: str, size: int) -> str:
    """What a query sees."""
    return {
        "Window": f"the last {size} tokens",
        "Dilated": f"4 tokens, {size} apart",
        "Strided": f"the last {size} tokens and every {size}th before them",
        "Fixed": f"its own segment of {size} tokens and the last token of each before it",
        "BigBird": f"the last two blocks of {size} tokens, the first and a random one",
        "TopK": f"the {size} keys that match it best, for random queries and keys",
    }[kind]


@cache
def _chosen(k: int, n: int) -> NDArray[np.bool_]:
    """The keys that top-k attention takes for random queries and keys, shape (n, n)."""
    queries, keys = np.random.default_rng(0).standard_normal((2, 1, LONGEST, 4))[..., :n, :]
    picked: NDArray[np.bool_] = top_k_attention(queries, keys, np.eye(n)[None], k_top=k)[0] > 0
    return picked


def _flowing(kind: str, size: int, n: int) -> TilePattern:
    """The pattern as `reach` takes it: what TopK chose in this text stands as a table of single pairs."""
    if kind != "TopK":
        return _pattern(kind, size)
    # a token that does not choose itself still keeps what it has: the residual stream
    return Blocks(1, (_chosen(size, n) | np.eye(n, dtype=bool)).tolist())


def _allowed(kind: str, size: int, n: int) -> NDArray[np.bool_]:
    return _chosen(size, n) if kind == "TopK" else _pattern(kind, size).mask(n)


def _apart(kind: str, size: int) -> list[str]:
    """A string a query of the longest text, a digit a key up to it: layers until it is heard of.

    0 stands for the query itself where it is not among the keys that it sees.
    """
    apart = layers_apart(_flowing(kind, size, LONGEST), LONGEST)
    apart[_allowed(kind, size, LONGEST)] = 1
    digits = np.array([*DIGITS, NEVER])
    return ["".join(digits[row[: i + 1]]) for i, row in enumerate(apart)]


def _tiles(kind: str, size: int) -> list[str]:
    """A string a row of tiles, 1 where the tile is computed; of TopK all is one tile."""
    layout = np.ones((1, 1), bool) if kind == "TopK" else _pattern(kind, size).layout(LONGEST)
    return ["".join("01"[tile] for tile in row) for row in layout.astype(int)]


@cache
def _counts(kind: str, size: int, n: int) -> dict[str, Any]:
    """Shares of all pairs, and of the pairs that all layers together connect."""
    pattern = _pattern(kind, size)
    found = reach(_flowing(kind, size, n), n)
    return {
        "allowed": pattern.n_allowed(n) / n**2,
        "computed": pattern.n_computed(n) / n**2,
        "dense": Window(n, block=pattern.block).n_computed(n) / n**2,
        "layers": found.n_layer,
        "connected": found.fraction,
    }


def _percent(share: float) -> float:
    """A share in per cent, in the three digits that are shown."""
    return float(f"{100 * share:.3g}")


def _see(kind: str, size: str, length: str, depth: float) -> dict[str, Any]:
    """What a pattern saves in a layer, and what ``depth`` layers of it connect."""
    n, depth = int(length), int(depth)
    counts = _counts(kind, int(size), n)
    connected = counts["connected"][min(depth, len(counts["connected"])) - 1]
    layers, saved = counts["layers"], 1 - counts["computed"] / counts["dense"]
    allowed, computed, dense, less, heard = (
        _percent(share)
        for share in (*(counts[k] for k in ("allowed", "computed", "dense")), saved, connected)
    )
    return {
        "kind": kind,
        "size": size,
        "n": n,
        "depth": depth,
        "shares": [allowed, computed, dense],
        "saved": less,
        "connected": heard,
        "layers": layers or 0,
        "summary": (
            f"{kind}: each of {n} tokens sees {_words(kind, int(size))}. A layer allows "
            f"{allowed:g}% of all {n * n:,} pairs and computes {computed:g}%, "
            f"{f'{abs(less):g}% ' if less else 'no '}{'less' if less >= 0 else 'more'} than dense causal "
            f"attention. "
            f"Layers: {depth}, which connect {heard:g}% of the pairs of a token with itself or one "
            f"before. {f'To connect all takes {layers}.' if layers else 'No number of them connects all.'}"
        ),
    }


def sparsity_explorer() -> Explorer:
    """Choose a pattern of attention, its size, a length and a depth; see pairs saved and pairs connected."""
    return Explorer(
        title="What a layer leaves out, later layers must carry",
        controls=[
            Control("kind", "Pattern", KINDS),
            Control("size", "Size", SIZES, unit=" tokens", initial="8"),
            Control("length", "Text", LENGTHS, unit=" tokens", initial="64"),
            Control("depth", "Layers", DEPTHS),
        ],
        compute=_see,
        view="sparsity",
        fixed={
            "longest": LONGEST,
            "apart": {kind: {size: _apart(kind, int(size)) for size in SIZES} for kind in KINDS},
            "tiles": {kind: {size: _tiles(kind, int(size)) for size in SIZES} for kind in KINDS},
        },
    )
