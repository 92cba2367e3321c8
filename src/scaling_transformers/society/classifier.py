"""Decisions on people of two groups: applicants whose truth is known, and metrics by group with intervals.

The metrics are fairlearn's. They depend on a table of eight counts alone (group, truth, decision), so that
their bootstrap draws that table, in place of the rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers.attention.masks import require_count
from scaling_transformers.society.estimates import Estimate, wilson_interval
from scaling_transformers.society.spread import require_level

GROUPS = ("K", "R")


class Applicants(NamedTuple):
    """People who apply, shape (n,) each, but for the features.

    Attributes
    ----------
    group : 0 for K, 1 for R
    features : (n, 2): a score that tells the qualified, alike in both groups; one that tells the groups
    qualified : the truth, 0 or 1
    label : what was written down, 0 or 1: some of the qualified of R were written down as not qualified
    """

    group: NDArray[np.int64]
    features: NDArray[np.float64]
    qualified: NDArray[np.int64]
    label: NDArray[np.int64]


def planted_applicants(
    n: int,
    *,
    seed: int,
    base_rates: tuple[float, float] = (0.5, 0.3),
    separation: float = 1.5,
    proxy: float = 1.0,
    label_bias: float = 0.0,
) -> Applicants:
    """Draw applicants, half of them of each group or nearly so, with planted base rates and a planted wrong.

    Parameters
    ----------
    n, seed : int
    base_rates : two numbers between 0 and 1
        How many of K and of R are qualified.
    separation : float
        Mean score of the qualified; the others' is 0, and the deviation 1. At least 0.
    proxy : float
        The second feature has mean ``proxy`` in K and ``-proxy`` in R, and deviation 1.
    label_bias : float
        Share of R's qualified that were written down as not qualified, from 0 to 1.

    Raises
    ------
    ValueError
        If an argument is outside what is said above.
    """
    require_count(n=n)
    if len(base_rates) != 2 or not all(0 < rate < 1 for rate in base_rates):
        raise ValueError(f"base_rates must be two numbers between 0 and 1; got {base_rates!r}")
    if not (math.isfinite(separation) and separation >= 0 and math.isfinite(proxy)):
        raise ValueError(f"separation must be at least 0, and proxy finite; got {separation!r}, {proxy!r}")
    if not 0 <= label_bias <= 1:
        raise ValueError(f"label_bias must be from 0 to 1; got {label_bias!r}")
    generator = np.random.default_rng(seed)
    group = generator.integers(2, size=n)
    qualified = (generator.random(n) < np.asarray(base_rates)[group]).astype(np.int64)
    score = separation * qualified + generator.standard_normal(n)
    hint = np.where(group == 0, proxy, -proxy) + generator.standard_normal(n)
    overlooked = (group == 1) & (generator.random(n) < label_bias)
    return Applicants(group, np.stack([score, hint], axis=1), qualified, np.where(overlooked, 0, qualified))


def true_probability(
    applicants: Applicants, *, base_rates: tuple[float, float], separation: float = 1.5
) -> NDArray[np.float64]:
    """Probability that each is qualified, given score and group: Bayes' rule on the planted numbers, (n,)."""
    prior = np.log(np.asarray(base_rates) / (1 - np.asarray(base_rates)))[applicants.group]
    evidence = separation * applicants.features[:, 0] - separation**2 / 2
    probability: NDArray[np.float64] = 1 / (1 + np.exp(-(prior + evidence)))
    return probability


class Rates(NamedTuple):
    """What a rule of decision does to one group, each a share.

    Attributes
    ----------
    selection : of all who are accepted
    true_positive : of the qualified who are accepted
    false_positive : of the others who are accepted
    precision : of the accepted who are qualified
    """

    selection: float
    true_positive: float
    false_positive: float
    precision: float


def true_rates(*, base_rate: float, separation: float, cut: float) -> Rates:
    """Exact rates of accepting all whose score is above ``cut``, in a group of `planted_applicants`.

    Examples
    --------
    >>> rates = true_rates(base_rate=0.5, separation=0.0, cut=0.0)
    >>> rates.true_positive, rates.false_positive, rates.precision
    (0.5, 0.5, 0.5)
    """
    if not 0 < base_rate < 1:
        raise ValueError(f"base_rate must be between 0 and 1; got {base_rate!r}")
    true, false = (math.erfc((cut - mean) / math.sqrt(2)) / 2 for mean in (separation, 0.0))
    selection = base_rate * true + (1 - base_rate) * false
    return Rates(selection, true, false, base_rate * true / selection)


def implied_false_positive_rate(*, base_rate: float, precision: float, true_positive: float) -> float:
    """The false positive rate that follows from the three others, whatever the rule of decision.

    Two groups with different base rates, equal precision and equal true positive rates have different false
    positive rates: arithmetic leaves no choice.

    Source: Chouldechova 2017.
    """
    for name, value in (("base_rate", base_rate), ("precision", precision)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must be between 0 and 1; got {value!r}")
    return base_rate / (1 - base_rate) * (1 - precision) / precision * true_positive


class GroupMetrics(NamedTuple):
    """How much the groups differ, and the rates of each.

    Attributes
    ----------
    demographic_parity : difference of the rates of selection
    equalised_odds : the larger of the differences of true positive and of false positive rates
    precision : difference of the precision
    rates : of each group, in the order of `GROUPS`
    """

    demographic_parity: Estimate
    equalised_odds: Estimate
    precision: Estimate
    rates: tuple[Rates, Rates]


def group_metrics(
    truth: ArrayLike,
    decision: ArrayLike,
    group: ArrayLike,
    *,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> GroupMetrics:
    """Differences between two groups by fairlearn, each with the interval of a bootstrap over the people.

    All differences are without sign, so that where there is none their interval lies above 0, not around it.

    Parameters
    ----------
    truth, decision, group : array_like of 0 and 1, shape (n,) each

    Raises
    ------
    ValueError
        If they are not such arrays of one length, or a group lacks qualified or other people, or accepted.
    """
    from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

    require_count(n_bootstrap=n_bootstrap)
    require_level(level)
    columns = [_binary(name, v) for name, v in (("truth", truth), ("decision", decision), ("group", group))]
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"truth, decision and group must have one length; got {[len(c) for c in columns]}")
    y, chosen, g = columns
    counts = np.bincount(4 * g + 2 * y + chosen, minlength=8)
    table = counts.reshape(2, 2, 2)  # group, truth, decision
    if not (table.sum(axis=2).all() and table[:, :, 1].sum(axis=1).all()):
        raise ValueError(f"each group must have qualified, other and accepted people; got {table.tolist()}")
    draws = np.random.default_rng(seed).multinomial(len(y), counts / len(y), size=n_bootstrap)
    resampled = _rates(draws.reshape(-1, 2, 2, 2))
    apart = np.abs(resampled[..., 0] - resampled[..., 1])  # (rate, draw)
    ends = [(1 - level) / 2, (1 + level) / 2]
    intervals = [np.quantile(values, ends) for values in (apart[0], apart[1:3].max(axis=0), apart[3])]
    by_group = _rates(table)
    values = (
        demographic_parity_difference(y, chosen, sensitive_features=g),
        equalized_odds_difference(y, chosen, sensitive_features=g),
        abs(by_group[3, 0] - by_group[3, 1]),
    )
    one, two, three = (
        Estimate(float(value), *map(float, interval))
        for value, interval in zip(values, intervals, strict=True)
    )
    first, second = (Rates(*map(float, by_group[:, i])) for i in range(2))
    return GroupMetrics(one, two, three, (first, second))


class Calibration(NamedTuple):
    """Of those who got about the same probability, how many were qualified; shape (n_bin,) each.

    Attributes
    ----------
    predicted : mean probability in the bin
    observed : share of the qualified
    low, high : ends of the interval of the share
    n_people : in the bin
    """

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n_people: NDArray[np.int64]


def calibration(truth: ArrayLike, probability: ArrayLike, *, n_bin: int = 8) -> Calibration:
    """Calibration in bins of equal width, with Wilson's 95 % interval; empty bins are left out.

    Parameters
    ----------
    truth : array_like of 0 and 1, shape (n,)
    probability : array_like from 0 to 1, shape (n,)
    n_bin : int

    Raises
    ------
    ValueError
        If the arguments are not such arrays of one length.
    """
    require_count(n_bin=n_bin)
    y, p = _binary("truth", truth), np.asarray(probability, float)
    if p.shape != y.shape or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"probability must be {len(y)} numbers from 0 to 1; got shape {p.shape}")
    place = np.minimum((p * n_bin).astype(int), n_bin - 1)
    count = np.bincount(place, minlength=n_bin)
    filled = count > 0
    n = count[filled]
    observed = np.bincount(place, y, minlength=n_bin)[filled] / n
    predicted = np.bincount(place, p, minlength=n_bin)[filled] / n
    return Calibration(predicted, observed, *wilson_interval(observed, n), n)


def _rates(table: NDArray[np.int64]) -> NDArray[np.float64]:
    """`Rates` of counts by group, truth and decision, (..., 2, 2, 2): array of (4, ..., 2), last the group.

    A draw that leaves nobody to divide by counts as one without a difference from 0.
    """
    accepted, each = table[..., 1], table.sum(axis=-1)
    parts = (
        (accepted.sum(axis=-1), each.sum(axis=-1)),
        (accepted[..., 1], each[..., 1]),
        (accepted[..., 0], each[..., 0]),
        (accepted[..., 1], accepted.sum(axis=-1)),
    )
    return np.stack([part / np.maximum(whole, 1) for part, whole in parts])


def _binary(name: str, values: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name} must be zeros and ones on one axis; got shape {array.shape}")
    return array.astype(np.int64)
