"""Best splits of a budget read off runs, with no law of the loss: parabolas at equal FLOPs, an envelope."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_transformers._counts import require_count
from scaling_transformers._numpy import ArrayLike, np
from scaling_transformers.accounting._inputs import require_all_positive
from scaling_transformers.scaling._inputs import plain, require_runs
from scaling_transformers.scaling._solver import Array
from scaling_transformers.scaling.fits import t_quantile
from scaling_transformers.scaling.laws import Number


@dataclass(frozen=True)
class Frontier:
    """The best sizes found for some budgets, and the power of the budget that runs through them.

    Attributes
    ----------
    flops, n_params, n_tokens, loss : ndarray, shape (n_budget,)
        Budgets, lowest first, and of each the best parameters, tokens and loss.
    exponent : float
        a of ``n_params`` ~ ``flops**a``, by least squares on logarithms; that of ``n_tokens`` is 1 - a.
    coefficient : float
        Of the same line, in parameters: ``n_params = coefficient * flops**exponent``.
    standard_error, interval
        Of ``exponent``, from how far the best sizes lie off the line, and its 95 % interval; None where the
        best sizes share runs, so that their scatter says nothing of the error, and infinite where
        ``converged`` is False.
    converged : bool
        Whether every best size lies among the sizes tried. If not, ``message`` names the budgets.
    message : str
        What is wrong, or "converged".
    """

    flops: Array
    n_params: Array
    n_tokens: Array
    loss: Array
    exponent: float
    coefficient: float
    standard_error: float | None
    interval: tuple[float, float] | None
    converged: bool
    message: str

    def optimal_params(self, *, flops: ArrayLike) -> Number:
        """Best parameters of budgets of ``flops``, on the line; the best tokens are ``flops / 6`` of these.

        Raises `ValueError` if a budget is not positive and finite.
        """
        return plain(self.coefficient * require_all_positive(flops, name="flops") ** self.exponent)


def fit_isoflop(flops: ArrayLike, n_params: ArrayLike, loss: ArrayLike) -> Frontier:
    """The best size of each budget, least of a parabola through loss against log size, and how it grows.

    Parameters
    ----------
    flops, n_params, loss : array_like, shape (n_run,)
        Budget, parameters and final loss of each run. Runs of one budget share the very same ``flops``: at
        least 4 different sizes each, and at least 4 budgets.

    Raises
    ------
    ValueError
        If the lists differ in length, a number is not positive and finite, there are too few budgets, or a
        budget has too few sizes, or a loss that has no least value (it bends down, or not at all).

    Examples
    --------
    >>> import numpy as np
    >>> budgets = np.repeat(np.geomspace(1e18, 1e21, 4), 5)
    >>> sizes = np.tile(np.geomspace(0.25, 4, 5), 4) * 0.1 * budgets**0.5
    >>> losses = 2 + np.log(sizes / (0.1 * budgets**0.5)) ** 2
    >>> round(fit_isoflop(budgets, sizes, losses).exponent, 6)
    0.5

    Source: Hoffmann et al. 2022, section 3.2 (approach 2).
    """
    c, n, y = require_runs(least=16, flops=flops, n_params=n_params, loss=loss)
    budgets = np.unique(c)
    if budgets.size < 4:
        raise ValueError(f"flops must hold at least 4 different budgets; got {budgets.size}")
    best, least, outside = np.empty(budgets.size), np.empty(budgets.size), []
    for i, budget in enumerate(budgets):
        x, own = np.log(n[c == budget]), y[c == budget]
        if np.unique(x.round(9)).size < 4:
            raise ValueError(
                f"n_params must take at least 4 values at each budget; fewer at {budget:.3g} FLOPs"
            )
        middle = x.mean()
        bend, slope, level = np.polyfit(x - middle, own, 2)
        if bend <= 1e-12 * np.abs(own).max():
            raise ValueError(
                f"loss must have a least value over n_params; at {budget:.3g} FLOPs it bends down"
            )
        lowest = -slope / (2 * bend)
        best[i], least[i] = middle + lowest, level - slope**2 / (4 * bend)
        if not x.min() <= best[i] <= x.max():
            outside.append(f"{budget:.3g}")
            best[i] = np.clip(best[i], x.min() - 10, x.max() + 10)  # a flat parabola's is out of all bounds
    exponent, coefficient, error = _line(np.log(budgets), best)
    margin = t_quantile(budgets.size - 2) * error
    sizes = np.exp(best)
    if outside:
        error = margin = np.inf
    return Frontier(
        flops=budgets,
        n_params=sizes,
        n_tokens=budgets / 6 / sizes,
        loss=least,
        exponent=exponent,
        coefficient=coefficient,
        standard_error=error,
        interval=(exponent - margin, exponent + margin),
        converged=not outside,
        message=f"the best size is beyond those tried at {', '.join(outside)} FLOPs"
        if outside
        else "converged",
    )


def fit_envelope(
    n_params: ArrayLike, n_tokens: ArrayLike, loss: ArrayLike, *, n_budget: int = 1500
) -> Frontier:
    """The size whose training curve is lowest at each budget, and how it grows with the budget.

    Along a curve the budget is ``6 * n_params * n_tokens``; between its points log loss is a straight line in
    the log of the budget. Budgets at which the lowest curve is that of the smallest or the largest size that
    gets there are left out: the best size may lie beyond.

    Parameters
    ----------
    n_params : array_like, shape (n_run,)
        Parameters of each run, at least 4 different.
    n_tokens, loss : array_like, shape (n_run, n_point)
        Tokens seen so far, rising along each run, and the loss there.
    n_budget : int
        Budgets looked at, evenly spaced in their logarithms over all that some run reaches.

    Raises
    ------
    ValueError
        If the shapes do not fit, a number is not positive and finite, tokens do not rise, or fewer than 2
        sizes are ever best with a smaller and a larger one to show it.

    Source: Hoffmann et al. 2022, section 3.1 (approach 1).
    """
    n = require_all_positive(n_params, name="n_params")
    d, y = require_all_positive(n_tokens, name="n_tokens"), require_all_positive(loss, name="loss")
    if n.ndim != 1 or d.ndim != 2 or d.shape != y.shape or len(d) != len(n):
        raise ValueError(
            "n_params, n_tokens and loss must be of shapes (n_run,), (n_run, n_point) and (n_run, n_point); "
            f"got {n.shape}, {d.shape} and {y.shape}"
        )
    if np.unique(n).size < 4:
        raise ValueError(f"n_params must take at least 4 different values; got {np.unique(n).size}")
    if d.shape[1] < 2 or (np.diff(d, axis=1) <= 0).any():
        raise ValueError("n_tokens must rise along each run, over 2 points or more")
    require_count(n_budget=n_budget, least=10)
    log_c = np.log(6 * n[:, None] * d)
    budgets = np.linspace(log_c.min(), log_c.max(), n_budget)
    curves = np.stack(
        [
            np.interp(budgets, own, values, left=np.inf, right=np.inf)
            for own, values in zip(log_c, np.log(y), strict=True)
        ]
    )
    lowest = curves.argmin(axis=0)
    sizes = n[lowest]
    there = np.isfinite(curves)
    smallest = np.where(there, n[:, None], np.inf).min(axis=0)
    largest = np.where(there, n[:, None], 0.0).max(axis=0)
    inner = (smallest < sizes) & (sizes < largest)
    if np.unique(sizes[inner]).size < 2:
        raise ValueError(
            "n_params must hold at least 2 sizes that are best at some budget, with a smaller and a larger "
            f"one beside them; got {np.unique(sizes[inner]).size}"
        )
    exponent, coefficient, _ = _line(budgets[inner], np.log(sizes[inner]))
    flops = np.exp(budgets[inner])
    return Frontier(
        flops=flops,
        n_params=sizes[inner],
        n_tokens=flops / 6 / sizes[inner],
        loss=np.exp(curves.min(axis=0)[inner]),
        exponent=exponent,
        coefficient=coefficient,
        standard_error=None,
        interval=None,
        converged=True,
        message="converged",
    )


def _line(x: Array, y: Array) -> tuple[float, float, float]:
    """Slope, exponential of the intercept, and standard error of the slope of the least-squares line."""
    dx, dy = x - x.mean(), y - y.mean()
    slope = dx @ dy / (dx @ dx)
    scatter = ((dy - slope * dx) ** 2).sum() / (x.size - 2)
    return float(slope), float(np.exp(y.mean() - slope * x.mean())), float(np.sqrt(scatter / (dx @ dx)))
