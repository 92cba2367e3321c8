"""Power laws and their look-alikes: fits of a tail, and tests between them, by the package ``powerlaw``.

What that package prints and warns is held back: a fit that it doubts is one that a test here decides.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers.attention.masks import require_count

Floats = NDArray[np.float64]
RIVALS = {
    "log-normal": "lognormal",
    "cut-off": "truncated_power_law",
    "exponential": "exponential",
}
"""What a tail is compared with: our names, and those of ``powerlaw``. "cut-off" is a power law with one."""
_N_BIN = 30  # of the histogram through which a line is laid


class Tail(NamedTuple):
    """A power law fitted to the values from ``x_min`` on: their density falls as ``x ** -exponent``.

    ``n_tail`` values lie there. ``distance`` is the largest gap between their distribution and the law's.
    """

    exponent: float
    x_min: float
    n_tail: int
    distance: float


class Comparison(NamedTuple):
    """The power law against a rival on the same tail, by the ratio of likelihoods.

    ``ratio`` is the sum of log-likelihood ratios in its own standard deviations (of the cut-off, whose family
    holds the power law, the plain sum): above 0 speaks for the power law. ``p`` is the probability of a ratio
    as far from 0 if both fit alike.
    """

    ratio: float
    p: float

    def verdict(self, *, level: float = 0.05) -> str:
        """``"power law"``, ``"rival"``, or ``"undecided"`` where ``p`` is not below ``level``."""
        if not self.p < level:
            return "undecided"
        return "power law" if self.ratio > 0 else "rival"


def fit_tail(data: ArrayLike, *, discrete: bool, x_min: float | tuple[float, float] | None = None) -> Tail:
    """Fit a power law to a tail by maximum likelihood.

    Parameters
    ----------
    data : array, shape (n,), positive; whole numbers if ``discrete``
    x_min : where the tail begins, or two ends between which to look; None looks everywhere. The best is that
        from which the law lies nearest to the data.

    Raises
    ------
    ValueError
        If data are not positive and finite on one axis, or hold fewer than 10 different values.

    Source: Clauset, Shalizi and Newman 2009.
    """
    values = _require_data(data)
    with _silent():
        law = _fit(values, discrete=discrete, x_min=x_min).power_law
        return Tail(float(law.alpha), float(law.xmin), int((values >= law.xmin).sum()), float(law.D))


def compare(data: ArrayLike, *, discrete: bool, x_min: float) -> dict[str, Comparison]:
    """Test the power law against each of the `RIVALS`, all fitted to the values from ``x_min`` on.

    Source: Clauset, Shalizi and Newman 2009; the test of forms not nested is Vuong's.
    """
    values = _require_data(data)
    found = {}
    with _silent():
        fit = _fit(values, discrete=discrete, x_min=x_min)
        for name, theirs in RIVALS.items():
            nested = name == "cut-off"
            ratio, p = fit.distribution_compare(
                "power_law", theirs, nested=nested, normalized_ratio=not nested
            )
            found[name] = Comparison(float(ratio), float(p))
    return found


class Bootstrap(NamedTuple):
    """Ends ``low`` and ``high`` of the 95 % interval of the exponent, and how well the law fits.

    ``plausibility`` is the share of samples of the fitted law that lie further from their own fit.
    """

    low: float
    high: float
    plausibility: float


def bootstrap_tail(
    data: ArrayLike, tail: Tail, *, discrete: bool, n_draw: int = 50, search: float = 3.0, seed: int = 0
) -> Bootstrap:
    """Interval of the exponent, and goodness of the fit, each from ``n_draw`` draws fitted as the data were.

    For the interval the data are drawn with return. For the goodness a value comes from the fitted law with
    the probability of a value in the tail, else from the data below it. In every draw ``x_min`` is sought
    anew, from 1/``search`` to ``search`` times that of the data.

    Source: Clauset, Shalizi and Newman 2009, who rule the law out where the share is 0.1 or less.
    """
    require_count(n_draw=n_draw, least=2)
    values, rng = _require_data(data), np.random.default_rng(seed)
    ends = (tail.x_min / search, tail.x_min * search)
    body = values[values < tail.x_min]
    exponents, further = np.empty(n_draw), 0
    for i in range(n_draw):
        exponents[i] = fit_tail(rng.choice(values, len(values)), discrete=discrete, x_min=ends).exponent
        n_tail = int(rng.binomial(len(values), tail.n_tail / len(values)))
        drawn = sample("power law", n_tail, exponent=tail.exponent, x_min=tail.x_min, rng=rng)
        if discrete:
            drawn = _whole(n_tail, exponent=tail.exponent, x_min=int(tail.x_min), rng=rng)
        rest = rng.choice(body, len(values) - n_tail) if len(body) else np.empty(0)
        refit = fit_tail(np.concatenate([rest, drawn]), discrete=discrete, x_min=ends)
        further += refit.distance > tail.distance
    low, high = np.quantile(exponents, [0.025, 0.975])
    return Bootstrap(float(low), float(high), further / n_draw)


def sample(
    kind: str,
    n: int,
    *,
    rng: np.random.Generator,
    exponent: float = 2.5,
    x_min: float = 1.0,
    sigma: float = 1.5,
    cut_off: float = 30.0,
) -> Floats:
    """Values from ``x_min`` on of a known kind; shape (n,).

    Parameters
    ----------
    kind : ``"power law"``; ``"log-normal"``, the part from ``x_min`` on of one whose logarithm has mean
        ln ``x_min`` and standard deviation ``sigma``; or ``"cut-off"``, a power law times
        exp(-x / (``cut_off`` ``x_min``))

    Raises
    ------
    ValueError
        If there is no such kind, or ``exponent`` is not above 1.
    """
    require_count(n=n, least=0)
    if not exponent > 1:
        raise ValueError(f"exponent must be above 1; got {exponent!r}")
    if kind == "log-normal":
        return x_min * np.exp(sigma * np.abs(rng.standard_normal(n)))
    if kind == "power law":
        return x_min * (1.0 - rng.random(n)) ** (-1.0 / (exponent - 1.0))
    if kind != "cut-off":
        raise ValueError(f"kind must be 'power law', 'log-normal' or 'cut-off'; got {kind!r}")
    kept = np.empty(0)
    while len(kept) < n:  # draws of the power law, each kept with the probability of the cut-off
        drawn = sample("power law", n, rng=rng, exponent=exponent)
        kept = np.concatenate([kept, drawn[rng.random(n) < np.exp(-(drawn - 1.0) / cut_off)]])
    return x_min * kept[:n]


def line_exponent(data: ArrayLike, *, x_min: float) -> float:
    """Exponent by a straight line through the histogram on logarithmic axes: common, and biased.

    Bins are equally wide, as a histogram's mostly are; empty ones, which have no logarithm, are left out.

    Raises
    ------
    ValueError
        If fewer than two bins hold a value.
    """
    values = _require_data(data)
    counts, edges = np.histogram(values[values >= x_min], bins=_N_BIN)
    held = counts > 0
    if held.sum() < 2:
        raise ValueError(f"data must fill at least two bins from x_min on; got {int(held.sum())}")
    middle = np.log((edges[1:] + edges[:-1]) / 2)[held]
    return -float(np.polyfit(middle, np.log(counts[held]), 1)[0])


def survival(data: ArrayLike) -> tuple[Floats, Floats]:
    """The different values, rising, and the share of the data that is as large or larger."""
    values = np.sort(_require_data(data))
    different, first = np.unique(values, return_index=True)
    return different, 1.0 - first / len(values)


def _whole(n: int, *, exponent: float, x_min: int, rng: np.random.Generator) -> Floats:
    """Whole numbers from ``x_min`` on with probability in proportion to ``x ** -exponent``.

    Up to 100,000 by the exact table; above, where the step from one to the next is nothing, rounded.
    """
    table = np.arange(x_min, max(100_000, 10 * x_min) + 1, dtype=float)
    weights = table**-exponent
    edge = table[-1] + 0.5
    above = edge ** (1.0 - exponent) / (exponent - 1.0)
    cumulative = np.cumsum(weights) / (weights.sum() + above)
    u = rng.random(n)
    drawn = table[np.minimum(np.searchsorted(cumulative, u), len(table) - 1)]
    beyond = u > cumulative[-1]
    drawn[beyond] = np.round(sample("power law", int(beyond.sum()), rng=rng, exponent=exponent, x_min=edge))
    return drawn


def _require_data(data: ArrayLike) -> Floats:
    values = np.asarray(data, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all() or (values <= 0).any():
        raise ValueError(f"data must be positive and finite on one axis; got shape {values.shape}")
    if len(np.unique(values)) < 10:
        raise ValueError(f"data must hold at least 10 different values; got {len(np.unique(values))}")
    return values


def _fit(values: Floats, *, discrete: bool, x_min: float | tuple[float, float] | None) -> Any:
    from powerlaw import Fit  # here: it brings matplotlib, and only chapters need it

    return Fit(values, discrete=discrete, xmin=x_min, verbose=0)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Hold back what is printed and warned within."""
    with (
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
