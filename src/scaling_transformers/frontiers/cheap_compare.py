"""Losses of ways to save beside those of the dense model, at equal FLOPs and at equal joules a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scaling_transformers.society.estimates import t_95


class Gap(NamedTuple):
    """Loss of a way less that of the dense model, with its 95 % interval, in nats per token."""

    less: float  #: The difference; below zero where the way is better.
    margin: float  #: Half of the interval.

    @property
    def word(self) -> str:
        """``"better"`` or ``"worse"``, or ``"not told apart"`` where the interval holds zero."""
        if abs(self.less) <= self.margin:
            return "not told apart"
        return "better" if self.less < 0 else "worse"


class _Cell(NamedTuple):
    mean: float
    variance: float
    n: int


def _cells(table: NDArray[Any], *, budget: float) -> dict[tuple[str, int], _Cell]:
    """Mean and variance of the loss over the seeds, of each way and width at a budget."""
    rows = table[table["budget"] == budget]
    cells = {}
    for way, width in dict.fromkeys(zip(rows["way"].tolist(), rows["d_model"].tolist(), strict=True)):
        losses = rows["loss"][(rows["way"] == way) & (rows["d_model"] == width)]
        if len(losses) < 2:
            raise ValueError(f"table must have two seeds of each run; {way!r} of width {width} has one")
        cells[str(way), int(width)] = _Cell(float(losses.mean()), float(losses.var(ddof=1)), len(losses))
    return cells


def _spread(cells: dict[tuple[str, int], _Cell]) -> float:
    """Student's quantile times the spread between seeds, pooled over all runs of a budget."""
    degrees = sum(cell.n - 1 for cell in cells.values())
    pooled = sum((cell.n - 1) * cell.variance for cell in cells.values()) / degrees
    return t_95(min(degrees + 1, 11)) * float(np.sqrt(pooled))


def gap_at_equal_flops(table: NDArray[Any], way: str, *, budget: float, d_model: int) -> Gap:
    """Compare a way with the dense model of the same width and training FLOPs.

    The spread between seeds is pooled over all runs of the budget; beyond ten degrees of freedom Student's
    quantile of ten is taken.

    Parameters
    ----------
    table : structured array
        Of `cheap_runs.recorded`, with ``way``, ``budget``, ``d_model`` and ``loss``, a row a seed.

    Raises
    ------
    ValueError
        If a run has one seed.
    KeyError
        If the table has no such run.
    """
    cells = _cells(table, budget=budget)
    one, dense = cells[way, d_model], cells["dense", d_model]
    margin = _spread(cells) * (1 / one.n + 1 / dense.n) ** 0.5
    return Gap(one.mean - dense.mean, float(margin))


def gap_at_equal_joules(
    table: NDArray[Any],
    way: str,
    *,
    budget: float,
    joules: Callable[[str, int], float],
) -> Gap:
    """Compare a way with the best dense model, both trained with the same FLOPs, at no more joules a token.

    The best dense model of the budget is the one of the width with the lowest mean loss. It is set against
    the best model of the way, of any width, that writes a token for no more joules than it does.

    Parameters
    ----------
    joules : callable
        Of a way and a width, to write a token.
    table, budget : as for `gap_at_equal_flops`

    Raises
    ------
    ValueError
        If a run has one seed, or the table has no dense model, or no model of the way that is as cheap.
    """
    cells = _cells(table, budget=budget)
    dense = {d: cell for (w, d), cell in cells.items() if w == "dense"}
    if not dense:
        raise ValueError(f"table must have a dense model with the budget {budget:g}")
    width = min(dense, key=lambda d: dense[d].mean)
    allowed = joules("dense", width)
    cheap = [cell for (w, d), cell in cells.items() if w == way and joules(w, d) <= allowed]
    if not cheap:
        raise ValueError(f"table must have a {way!r} model that writes a token for {allowed:g} J or less")
    one, best = min(cheap, key=lambda cell: cell.mean), dense[width]
    margin = _spread(cells) * (1 / one.n + 1 / best.n) ** 0.5
    return Gap(one.mean - best.mean, float(margin))
