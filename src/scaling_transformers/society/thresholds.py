"""Compute thresholds in law: which training runs are above one, how surely, and how algorithms erode it.

The rows say what the texts say, with the article; they are no legal advice.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from scaling_transformers._names import by_name
from scaling_transformers._tables import read_rows
from scaling_transformers.society.spread import Spread, require_level, require_positive

if TYPE_CHECKING:
    from scaling_transformers.accounting import TrainingRun
    from scaling_transformers.config import TransformerConfig

STATUSES = ("in force", "enacted", "guidance", "revoked", "vetoed")

ALGORITHMIC_HALVING = Spread(8.0, 2.0, 22.0, level=0.9)
"""Months in which the compute to reach a set performance of language models halved, from 2012 to 2023.

Source: Ho et al. 2024, abstract of the version at NeurIPS (about 8 months, 90 % interval 2 to 22).
"""

ALGORITHMIC_HALVING_PREPRINT = Spread(8.0, 5.0, 14.0, level=0.95)
"""The same in the preprint. Source: Ho et al. 2024, arXiv:2403.05812v1, abstract (95 % interval 5 to 14)."""

MODIFICATION_SHARE = 1 / 3
"""Share of a model's training compute above which who modifies it counts as provider of a new model.

An indicative criterion. Source: European Commission, guidelines of 18 July 2025, C(2025) 5045 final.
"""

STATED_INTERVALS = {"GPT-4": (8.2e24, 4.4e25), "GPT-4.5": (2.7e26, 5.4e26)}
"""Intervals of FLOPs that Epoch AI states for its two estimates, as in ``data/training_compute.csv``.

That of GPT-4 is one of 90 %; that of GPT-4.5 is given without a level, and taken for one of 90 %.
"""


@dataclass(frozen=True)
class Threshold:
    """One number of ``data/thresholds.csv``; ``status`` is one of `STATUSES`, ``date`` a year and month."""

    name: str  #: Short name.
    flops: float  #: The number, in FLOPs.
    scope: str  #: Whom it concerns.
    status: str
    date: str
    source: str  #: Article or section of the text.


@cache
def thresholds() -> tuple[Threshold, ...]:
    """The thresholds of the table, in its order.

    Source: the column ``source`` of ``data/thresholds.csv``, row by row.
    """
    return tuple(
        Threshold(row["name"], float(row["flops"]), row["scope"], row["status"], row["date"], row["source"])
        for row in read_rows("thresholds.csv")
    )


def threshold(name: str) -> Threshold:
    """The threshold of that name, in capitals or not.

    Raises
    ------
    ValueError
        If none has that name.

    Examples
    --------
    >>> threshold("EU systemic risk").flops
    1e+25
    """
    return by_name(thresholds(), name, what="a threshold")


def crosses(
    flops: float, *, threshold: float, interval: tuple[float, float] | float, level: float = 0.9
) -> float:
    """Probability that a run estimated at ``flops`` took more than ``threshold``.

    Parameters
    ----------
    flops : float
        The estimate, the median of what it may be.
    threshold : float
        In FLOPs.
    interval : (float, float) or float
        A central interval around ``flops``, or the factor above 1 that it goes down and up.
    level : float
        Probability that the interval holds.

    Returns
    -------
    float
        Between 0 and 1; 1/2 for an estimate on the threshold. The logarithm of the FLOPs is taken as normal
        on either side of the estimate (`Spread`).

    Raises
    ------
    ValueError
        If a number is not positive, ``flops`` is outside the interval, or the level is no probability.

    Examples
    --------
    >>> crosses(2e25, threshold=2e25, interval=3.0)
    0.5
    """
    spread = (
        Spread(flops, *interval, level)
        if isinstance(interval, tuple)
        else Spread.factor(flops, interval, level=level)
    )
    return spread.chance_above(threshold)


def planned_flops(
    *,
    n_params: float | None = None,
    n_tokens: float,
    config: TransformerConfig | None = None,
    seq_len: int | None = None,
) -> float:
    """FLOPs to train a planned model: 6 an active parameter and token, or counted exactly from a config.

    Parameters
    ----------
    n_params : float
        Parameters that a token visits. Either these or ``config``.
    n_tokens : float
        Tokens of training, repeats included.
    config, seq_len : TransformerConfig, int
        The model and the length of its texts; ``training_flops`` counts them.

    Raises
    ------
    ValueError
        Unless exactly one of ``n_params`` and ``config`` is given, and the numbers are positive.
    """
    require_positive(n_tokens, name="n_tokens")
    if (n_params is None) == (config is None):
        raise ValueError("give either n_params or config")
    if config is not None:
        from scaling_transformers.accounting import training_flops  # with NumPy, which the rest does without

        return float(training_flops(config, n_tokens=round(n_tokens), seq_len=seq_len))
    assert n_params is not None
    return 6.0 * require_positive(n_params, name="n_params") * n_tokens


def convention_factor(runs: Iterable[TrainingRun], *, since: float = 2020.0, level: float = 0.9) -> float:
    """The factor by which reported FLOPs and 6 N D differ, at ``level``: how wide a known run still is.

    With r the reported FLOPs over 6 N D, exp(z s), where s is the root mean square of ln r (the two should
    agree, so no mean is taken off) and z the normal quantile of the level. It covers what is counted
    (attention, recomputed activations, restarts), not that sizes or tokens are unknown.

    Parameters
    ----------
    runs : iterable of TrainingRun
        Those without both figures are passed over.
    since : float
        First year counted. The two of 2017 in the book's table report a rate times hours, for a model of two
        stacks.

    Raises
    ------
    ValueError
        If fewer than 3 runs have both figures, or all agree exactly.
    """
    require_level(level)
    logs = [
        math.log(run.reported_flops / run.six_nd)
        for run in runs
        if run.year >= since and run.reported_flops is not None and run.six_nd is not None
    ]
    if len(logs) < 3:
        raise ValueError(f"runs must have 3 with both figures since {since:g}; got {len(logs)}")
    width = math.sqrt(statistics.fmean(value**2 for value in logs))
    if width == 0:
        raise ValueError("runs must differ from 6 N D; all agree exactly")
    return math.exp(statistics.NormalDist().inv_cdf((1 + level) / 2) * width)


def flops_of(run: TrainingRun, *, factor: float) -> Spread:
    """What a published run may have taken: the stated interval of an estimate, else ``factor`` both ways."""
    if run.name in STATED_INTERVALS:
        return Spread(run.flops, *STATED_INTERVALS[run.name])
    return Spread.factor(run.flops, factor)


def compute_needed(flops: float, *, years: float, halving: Spread = ALGORITHMIC_HALVING) -> Spread:
    """FLOPs that reach, ``years`` later, what ``flops`` reach now, if algorithms go on to improve.

    ``flops * 2 ** (-12 * years / months)`` with the months of ``halving``: a slow trend gives the high end.
    The past rate is carried forward, which nothing guarantees.

    Raises
    ------
    ValueError
        If ``flops`` or ``years`` is not positive.

    Examples
    --------
    >>> compute_needed(1e25, years=2).middle / 1e25  # three halvings of 8 months
    0.125
    """
    require_positive(flops, name="flops")
    require_positive(years, name="years")
    low, middle, high = (
        flops * 2.0 ** (-12 * years / months) for months in (halving.low, halving.middle, halving.high)
    )
    return Spread(middle, low, high, halving.level)


def years_to_reach(flops: float, *, target: float, halving: Spread = ALGORITHMIC_HALVING) -> Spread | None:
    """Years until what takes ``flops`` now takes only ``target``; None if that is no less already.

    Raises
    ------
    ValueError
        If a number is not positive.
    """
    require_positive(flops, name="flops")
    require_positive(target, name="target")
    return halving.times(math.log2(flops / target) / 12) if target < flops else None
