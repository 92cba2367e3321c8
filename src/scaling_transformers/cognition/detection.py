"""Telling signal from noise: the sensitivity of a yes-or-no task, and a linear readout that does one."""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

_NORMAL = NormalDist()


def d_prime(hits: float, misses: float, false_alarms: float, correct_rejections: float) -> float:
    """Sensitivity d' of a yes-or-no task: how far signal and noise lie apart, in standard deviations.

    Half a trial is added to each count, so that d' is finite where nobody erred.

    Parameters
    ----------
    hits, misses : "yes" and "no" where "yes" is right (counts)
    false_alarms, correct_rejections : "yes" and "no" where "no" is right (counts)

    Raises
    ------
    ValueError
        If a count is negative or not finite.

    Examples
    --------
    >>> d_prime(50, 50, 50, 50)
    0.0

    Source: Green and Swets 1966; the correction: Hautus 1995.
    """
    counts = {
        "hits": hits,
        "misses": misses,
        "false_alarms": false_alarms,
        "correct_rejections": correct_rejections,
    }
    for name, count in counts.items():
        if not 0 <= count < float("inf"):
            raise ValueError(f"{name} must be a finite count of at least 0; got {count!r}")
    hit_rate = (hits + 0.5) / (hits + misses + 1)
    alarm_rate = (false_alarms + 0.5) / (false_alarms + correct_rejections + 1)
    return _NORMAL.inv_cdf(hit_rate) - _NORMAL.inv_cdf(alarm_rate)


class Readout(NamedTuple):
    """Says yes where ``features @ weights`` is above ``threshold``."""

    weights: NDArray[np.float64]
    threshold: float

    def __call__(self, features: ArrayLike) -> NDArray[np.bool_]:
        """Answers for features of shape (..., n_feature)."""
        answers: NDArray[np.bool_] = np.asarray(features, dtype=float) @ self.weights > self.threshold
        return answers


def fit_readout(features: ArrayLike, targets: ArrayLike, *, penalty: float = 1e-3) -> Readout:
    """A linear readout of a yes-or-no target: Fisher's discriminant with a ridge.

    The weights point from the mean of the no's to that of the yes's, in the measure of the scatter within
    both. The threshold lies half way between the two means.

    Parameters
    ----------
    features : array_like, shape (n, n_feature)
    targets : boolean array_like, shape (n,), with both answers
    penalty : float, positive
        Added to the scatter, as a share of its mean diagonal.

    Raises
    ------
    ValueError
        If the shapes do not fit, an answer is missing or the penalty is not positive.

    Source: Fisher 1936.
    """
    features, targets = np.asarray(features, dtype=float), np.asarray(targets, dtype=bool)
    if features.ndim != 2 or targets.shape != features.shape[:1]:
        raise ValueError(
            f"features must be (n, n_feature) and targets (n,); got {features.shape} and {targets.shape}"
        )
    if targets.all() or not targets.any():
        raise ValueError("targets must hold both answers")
    if not penalty > 0:
        raise ValueError(f"penalty must be positive; got {penalty!r}")
    yes, no = features[targets].mean(axis=0), features[~targets].mean(axis=0)
    within = features - np.where(targets[:, None], yes, no)
    scatter = within.T @ within / len(features)
    ridge = penalty * np.trace(scatter) / len(scatter) + 1e-12
    weights = np.linalg.solve(scatter + ridge * np.eye(len(scatter)), yes - no)
    return Readout(weights, float((yes + no) @ weights / 2))


def sensitivity(answers: ArrayLike, targets: ArrayLike) -> float:
    """`d_prime` of boolean answers to boolean targets of the same shape."""
    answers, targets = np.asarray(answers, dtype=bool), np.asarray(targets, dtype=bool)
    if answers.shape != targets.shape:
        raise ValueError(f"answers and targets must have one shape; got {answers.shape}, {targets.shape}")
    return d_prime(
        float((answers & targets).sum()),
        float((~answers & targets).sum()),
        float((answers & ~targets).sum()),
        float((~answers & ~targets).sum()),
    )
