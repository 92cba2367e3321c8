"""A number with its interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers.attention.masks import require_count
from scaling_transformers.society.spread import require_level

# Student's t for 95 %, by degrees of freedom from 1 on.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


class Estimate(NamedTuple):
    """A value and the ends of its interval."""

    value: float
    low: float  #: Lower end.
    high: float  #: Upper end.


def bootstrap_mean(
    values: ArrayLike, *, n_bootstrap: int = 2000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """Mean of ``values`` with the interval of its bootstrap: the same number of values, drawn with return.

    Parameters
    ----------
    values : array_like, shape (n,), finite
    n_bootstrap : int
        How often to draw.
    level : float
        Share of the means of the draws that the interval holds, in the middle of them.
    seed : int

    Raises
    ------
    ValueError
        If ``values`` is empty, has more than one axis or is not finite, or an option is out of range.

    Examples
    --------
    >>> bootstrap_mean([2.0, 2.0, 2.0])
    Estimate(value=2.0, low=2.0, high=2.0)

    Source: Efron and Tibshirani 1993, the percentile interval.
    """
    values = np.asarray(values, dtype=float)
    require_count(n_bootstrap=n_bootstrap)
    require_level(level)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"values must be finite numbers on one axis; got shape {values.shape}")
    draws = np.random.default_rng(seed).integers(values.size, size=(n_bootstrap, values.size))
    low, high = np.quantile(values[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(values.mean()), float(low), float(high))


def wilson_interval(share: ArrayLike, n: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both ends of the 95 % interval of a share of ``n`` independent cases; the two broadcast.

    It lies between 0 and 1, and has a width even where all cases were alike.

    Raises
    ------
    ValueError
        If a share is not from 0 to 1, or there is no case.

    >>> low, high = wilson_interval(1.0, 16)
    >>> round(float(low), 3), round(float(high), 3)
    (0.806, 1.0)

    Source: Wilson 1927.
    """
    share, n = np.asarray(share, dtype=float), np.asarray(n, dtype=float)
    if not ((share >= 0) & (share <= 1)).all() or not (n >= 1).all():
        raise ValueError("share must lie from 0 to 1, and n must be at least 1")
    z2 = 1.959964**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return np.asarray(middle - half), np.asarray(middle + half)


def t_95(n: int) -> float:
    """Half the width of the 95 % interval of a mean of ``n`` numbers, in standard errors (Student's t).

    Raises
    ------
    ValueError
        If ``n`` is not from 2 to 11.
    """
    if not 2 <= n <= len(_T) + 1:
        raise ValueError(f"n must be from 2 to {len(_T) + 1} seeds; got {n}")
    return _T[n - 2]


def mean_and_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean of ``values``, one a seed, and half the width of its 95 % interval; errors as of `t_95`."""
    error = t_95(len(values)) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean()), float(error)
