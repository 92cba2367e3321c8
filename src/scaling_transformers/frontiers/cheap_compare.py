"""Losses of ways to save beside those of the dense model, at equal FLOPs and at equal joules a token."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Gap(NamedTuple):
    """Loss of a way less that of the dense model, in nats per token, and half its 95 % interval."""

    less: float
    margin: float

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


def _spread(cells: dict[tuple[str, int], _Cell], *, quantile: Callable[[int], float]) -> float:
    """Student's quantile times the spread between seeds, pooled over all runs of a budget."""
    degrees = sum(cell.n - 1 for cell in cells.values())
    pooled = sum((cell.n - 1) * cell.variance for cell in cells.values()) / degrees
    return quantile(min(degrees + 1, 11)) * float(np.sqrt(pooled))


def gap_at_equal_flops(
    table: NDArray[Any], way: str, *, budget: float, d_model: int, quantile: Callable[[int], float]
) -> Gap:
    """Compare a way with the dense model of the same width and training FLOPs.

    Parameters
    ----------
    table : structured array
        Of `cheap_runs.recorded`, with ``way``, ``budget``, ``d_model`` and ``loss``, a row a seed.
    quantile : callable
        `scaling_transformers.training.ablation.t_95`. The spread between seeds is pooled over all runs of
        the budget; beyond ten degrees of freedom the quantile of ten is taken.

    Raises
    ------
    ValueError
        If a run has one seed.
    KeyError
        If the table has no such run.
    """
    cells = _cells(table, budget=budget)
    one, dense = cells[way, d_model], cells["dense", d_model]
    margin = _spread(cells, quantile=quantile) * (1 / one.n + 1 / dense.n) ** 0.5
    return Gap(one.mean - dense.mean, float(margin))


def gap_at_equal_joules(
    table: NDArray[Any],
    way: str,
    *,
    budget: float,
    d_model: int,
    joules: Callable[[str, int], float],
    quantile: Callable[[int], float],
) -> Gap | None:
    """Compare a way with the best dense model that writes a token with no more joules, trained alike.

    The dense models are those of the table with the same training FLOPs, and one in between that costs just
    as many joules: its loss is taken from the line between the two widths whose joules lie on either side,
    in the logarithm of the joules. Where training is short, the best is narrower than the joules allow.

    Parameters
    ----------
    joules : callable
        Of a way and a width, to write a token.
    table, quantile, errors : as for `gap_at_equal_flops`

    Returns
    -------
    Gap, or None where the table has no dense model that is cheaper, or none that is dearer
    """
    cells = _cells(table, budget=budget)
    one, at = cells[way, d_model], np.log(joules(way, d_model))
    curve = sorted(
        (float(np.log(joules("dense", d))), cell) for (w, d), cell in cells.items() if w == "dense"
    )
    dense = []  # mean, and variance in units of the spread between seeds
    for (low, left), (high, right) in pairwise(curve):
        if low <= at:
            dense.append((left.mean, 1 / left.n))
        if low <= at <= high:
            share = (at - low) / (high - low)
            between = (1 - share) * left.mean + share * right.mean
            dense.append((between, (1 - share) ** 2 / left.n + share**2 / right.n))
    if not curve[0][0] <= at <= curve[-1][0]:
        return None
    mean, variance = min(dense)
    margin = _spread(cells, quantile=quantile) * (1 / one.n + variance) ** 0.5
    return Gap(float(one.mean - mean), float(margin))
