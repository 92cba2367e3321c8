"""Whether a stated confidence can be taken at its word: of all predictions at 70 %, are 70 % right?

Plain NumPy: probabilities or logits in, numbers out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers.attention.masks import require_count
from scaling_transformers.society.estimates import Estimate

Floats = NDArray[np.float64]


class Reliability(NamedTuple):
    """Predictions sorted by confidence and cut into bins of equal size.

    Attributes
    ----------
    confidence, accuracy : mean stated confidence, and the share that was right, in each bin, shape (n_bin,)
    size : predictions in each bin, shape (n_bin,)
    """

    confidence: Floats
    accuracy: Floats
    size: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of the two, weighted by their size."""
        return float(np.average(np.abs(self.confidence - self.accuracy), weights=self.size))


def reliability(confidence: ArrayLike, correct: ArrayLike, *, n_bin: int = 15) -> Reliability:
    """The diagram of stated confidence against the share that was right.

    Parameters
    ----------
    confidence : probabilities, shape (n,)
    correct : whether each prediction was right, shape (n,)
    n_bin : bins of as equal a size as can be

    Raises
    ------
    ValueError
        If shapes differ, a confidence is no probability, or there are fewer predictions than bins.

    >>> reliability([0.9, 0.9, 0.5, 0.5], [True, True, True, False], n_bin=2).accuracy.tolist()
    [0.5, 1.0]

    Source: Guo et al. 2017, section 2, with bins of equal size in place of equal width.
    """
    confidence, correct = _pairs(confidence, correct)
    require_count(n_bin=n_bin)
    if len(confidence) < n_bin:
        raise ValueError(f"n_bin must be at most the {len(confidence)} predictions; got {n_bin}")
    order = np.argsort(confidence, kind="stable")
    groups = np.array_split(order, n_bin)
    return Reliability(
        np.array([confidence[group].mean() for group in groups]),
        np.array([correct[group].mean() for group in groups]),
        np.array([len(group) for group in groups]),
    )


def calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bin: int = 15,
    block: int = 1,
    n_bootstrap: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Expected calibration error with a bootstrap interval that is corrected for its own bias.

    A bin's share of right predictions strays from its expectation, and so the error is above 0 even for a
    perfect forecaster; among redrawn predictions it strays twice. The interval is therefore the basic one:
    the value less what the draws lie above it.

    Parameters
    ----------
    block : neighbours that are drawn together, where they are not independent (tokens of one text)

    Raises
    ------
    ValueError
        As `reliability`.
    """
    confidence, correct = _pairs(confidence, correct)
    require_count(n_bootstrap=n_bootstrap, block=block)
    value = reliability(confidence, correct, n_bin=n_bin).error
    n_block = max(1, len(confidence) // block)
    pieces = np.array_split(np.arange(len(confidence)), n_block)
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(n_bootstrap):
        chosen = np.concatenate([pieces[index] for index in generator.integers(n_block, size=n_block)])
        draws.append(reliability(confidence[chosen], correct[chosen], n_bin=n_bin).error)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(max(0.0, min(value, 2 * value - high))), float(max(value, 2 * value - low)))


def softmax_confidence(
    logits: ArrayLike, targets: ArrayLike, *, temperature: float = 1.0
) -> tuple[Floats, NDArray[np.bool_]]:
    """The probability of the likeliest token, and whether it was the target: each of shape (n,).

    Parameters
    ----------
    logits : shape (n, vocab)
    targets : shape (n,)
    temperature : divides the logits; above 1 it makes every confidence smaller

    Raises
    ------
    ValueError
        If shapes do not fit or the temperature is not positive.
    """
    logits, targets = _logits(logits, targets)
    logs = _log_softmax(logits, temperature)
    best = logits.argmax(axis=1)
    return np.exp(logs[np.arange(len(best)), best]), best == targets


def accuracy_above(confidence: ArrayLike, correct: ArrayLike, *, least: ArrayLike) -> tuple[Floats, Floats]:
    """What a person gets who takes a prediction only where its stated confidence is at least ``least``.

    Returns
    -------
    the share of predictions taken, and the share of those that are right (NaN if none is taken); each of the
    shape of ``least``

    >>> taken, right = accuracy_above([0.9, 0.8, 0.4], [True, False, False], least=[0.0, 0.85])
    >>> taken.round(2).tolist(), right.round(2).tolist()
    ([1.0, 0.33], [0.33, 1.0])
    """
    confidence, correct = _pairs(confidence, correct)
    least = np.asarray(least, dtype=float)
    taken = confidence >= least[..., None]
    count = taken.sum(axis=-1)
    right = np.where(count > 0, (taken * correct).sum(axis=-1) / np.maximum(count, 1), np.nan)
    return np.asarray(count / len(confidence)), right


def _pairs(confidence: ArrayLike, correct: ArrayLike) -> tuple[Floats, Floats]:
    confidence, correct = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=float)
    if confidence.ndim != 1 or confidence.shape != correct.shape or not len(confidence):
        raise ValueError(
            f"confidence and correct must have one shape (n,); got {confidence.shape} and {correct.shape}"
        )
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError("confidence must lie from 0 to 1")
    if not np.isin(correct, (0, 1)).all():
        raise ValueError("correct must be true or false")
    return confidence, correct


def _logits(logits: ArrayLike, targets: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    logits, targets = np.asarray(logits, dtype=float), np.asarray(targets, dtype=np.int64)
    if logits.ndim != 2 or targets.shape != logits.shape[:1] or not len(targets):
        raise ValueError(
            f"logits must have shape (n, vocab) and targets (n,); got {logits.shape} and {targets.shape}"
        )
    return logits, targets


def _log_softmax(logits: Floats, temperature: float) -> Floats:
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature must be positive and finite; got {temperature!r}")
    scaled = logits / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True)))
