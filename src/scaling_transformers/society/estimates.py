"""A number with its interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from scaling_transformers.attention.masks import require_count
from scaling_transformers.society.spread import require_level


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
