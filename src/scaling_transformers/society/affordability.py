"""What a training run costs against who might pay, and how unequally training compute is spread."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from scaling_transformers._names import by_name
from scaling_transformers._tables import read_rows
from scaling_transformers.society.spread import (
    Interval,
    Spread,
    interval_of,
    require_draws,
    require_level,
    require_positive,
)

PRICE_HALVING = Spread(2.07, 1.54, 3.13, level=0.95)
"""Years in which the operations that a dollar of machine learning GPU buys doubled.

Source: Hobbhahn and Besiroglu 2022, table 1, GPUs typical of machine learning, 2006 to 2021.
"""

PRICE_HALVING_ALL = Spread(2.46, 2.24, 2.72, level=0.95)
"""The same for all of 470 GPUs. Source: Hobbhahn and Besiroglu 2022, table 1."""

FRONTIER_COST_GROWTH = Spread(2.4, 2.0, 2.9, level=0.9)
"""Growth a year of the cost to train the most compute-intensive models since 2016.

Source: Cottier et al. 2024, abstract (hardware written off over its life, and energy).
"""

UTILISATION = Spread.between(0.33, 0.43)
"""Share of the peak FLOP/s, of 16-bit numbers, that large runs turn into FLOPs of the model.

Source: the high end from Grattafiori et al. 2024 (Llama 3), 38 to 43 % while it runs; the low end is
`utilisation_of` DeepSeek-V3 over all of its hours. That they are the ends of 90 % is an assumption.
"""


@dataclass(frozen=True)
class Price:
    """What an hour of an accelerator costs, a row of ``data/prices.csv``; ``date`` is a year and month."""

    name: str  #: Of the offer.
    accelerator: str
    usd_per_hour: float  #: Dollars an hour of one accelerator.
    date: str
    source: str  #: Where it is published.


@dataclass(frozen=True)
class Budget:
    """Who might pay, a row of ``data/budgets.csv``: ``amount`` of a ``currency`` over ``years``."""

    name: str  #: Whose money it is.
    kind: str  #: What kind of payer.
    amount: float
    currency: str
    usd_per_unit: float  #: Dollars for one of ``currency``.
    years: float
    source: str  #: Where it is published.

    @property
    def usd(self) -> float:
        """The whole of it."""
        return self.amount * self.usd_per_unit

    @property
    def usd_per_year(self) -> float:
        """What there is for one year."""
        return self.usd / self.years


@cache
def prices() -> tuple[Price, ...]:
    """The prices of the table. Source: its column ``source``, row by row."""
    return tuple(
        Price(row["name"], row["accelerator"], float(row["usd_per_hour"]), row["date"], row["source"])
        for row in read_rows("prices.csv")
    )


@cache
def budgets() -> tuple[Budget, ...]:
    """The budgets of the table. Source: its column ``source``, row by row."""
    return tuple(
        Budget(
            row["name"],
            row["kind"],
            float(row["amount"]),
            row["currency"],
            float(row["usd_per_unit"]),
            float(row["years"]),
            row["source"],
        )
        for row in read_rows("budgets.csv")
    )


def budget(name: str) -> Budget:
    """The budget of that name, in capitals or not.

    Raises
    ------
    ValueError
        If none has that name.

    Examples
    --------
    >>> budget("Meta capital spending").kind
    'a firm'
    """
    return by_name(budgets(), name, what="a budget")


def price_of(accelerator: str) -> Spread:
    """Dollars an hour of an accelerator: from the lowest to the highest price of the table, taken for 90 %.

    Raises
    ------
    ValueError
        If the table holds fewer than two different prices for it.
    """
    found = {price.usd_per_hour for price in prices() if price.accelerator == accelerator}
    if len(found) < 2:
        raise ValueError(
            f"accelerator must have two prices or more in the table, else give price; got {accelerator!r}"
        )
    return Spread.between(min(found), max(found))


@cache
def accelerator_hours() -> dict[str, tuple[str, float]]:
    """Accelerator and hours of the published runs that report them.

    Source: the column ``source`` of ``data/accelerator_hours.csv``, row by row.
    """
    return {
        row["name"]: (row["accelerator"], float(row["hours"])) for row in read_rows("accelerator_hours.csv")
    }


def utilisation_of(flops: float, *, accelerator: str, hours: float) -> float:
    """Share of the peak that a run of ``flops`` made use of, over ``hours`` of an accelerator.

    Raises
    ------
    ValueError
        If a number is not positive, or the run would have had to be faster than the peak.
    """
    share = require_positive(flops, name="flops") / (
        _peak(accelerator) * 3600 * require_positive(hours, name="hours")
    )
    if share > 1:
        raise ValueError(f"flops must be at most what the hours allow; got {share:.3g} of the peak")
    return share


def cost_of_run(
    flops: float | Spread,
    *,
    accelerator: str = "H100",
    price: float | Spread | None = None,
    utilisation: float | Spread = UTILISATION,
    n_draw: int = 2000,
    seed: int = 0,
    level: float = 0.9,
) -> Interval:
    """Dollars to rent the accelerators of one training run: hours at the achieved rate, times the price.

    ``flops / (utilisation * peak) / 3600 * price``, drawn at random where an input is a `Spread`. Runs that
    failed, experiments before the run, staff and data are not in it.

    Parameters
    ----------
    flops : float or Spread
        Of the whole run.
    accelerator : str
        A name of ``accounting.accelerators``; its peak is that of 16-bit numbers.
    price : float or Spread, optional
        Dollars an hour of one accelerator. By default `price_of`.
    utilisation : float or Spread
        Share of the peak, at most 1. What is drawn above 1 counts as 1.
    n_draw, seed : int
        Random draws, and where they start.
    level : float
        Share of the draws between the ends.

    Raises
    ------
    ValueError
        If a number is not positive, the utilisation is above 1, or there is no such accelerator.

    Examples
    --------
    >>> round(cost_of_run(3.6e18, price=2.0, utilisation=1.0).middle, 4)  # 1 hour would be 3.56e18
    2.0214
    """
    require_draws(n_draw)
    require_level(level)
    price = price_of(accelerator) if price is None else price
    if _middle(utilisation, name="utilisation") > 1:
        raise ValueError(f"utilisation must be at most 1; got {utilisation!r}")
    _middle(flops, name="flops")
    _middle(price, name="price")
    peak, generator = _peak(accelerator), random.Random(seed)
    draws = [
        _draw(flops, generator)
        / (min(1.0, _draw(utilisation, generator)) * peak * 3600)
        * _draw(price, generator)
        for _ in range(n_draw)
    ]
    return interval_of(draws, level=level)


def years_until(
    cost: float | Interval | Spread,
    *,
    budget: float,
    price_halving: Spread = PRICE_HALVING,
    algorithmic_halving: Spread | None = None,
    n_draw: int = 2000,
    seed: int = 0,
    level: float = 0.9,
) -> Interval:
    """Years until a run that costs ``cost`` now fits ``budget``, if trends go on; 0 if it fits already.

    The cost halves every ``price_halving`` years. With ``algorithmic_halving``, in months, the question is
    no longer the same run but one that reaches the same performance, and the rates add up:
    ``years = log2(cost / budget) / (1 / price_halving + 12 / algorithmic_halving)``.

    Parameters
    ----------
    cost : float, Interval or Spread
        Dollars today. The ends of an interval are taken for those of a `Spread`.
    budget : float
        Dollars, the same in every year.

    Raises
    ------
    ValueError
        If a number is not positive.

    Examples
    --------
    >>> sure = Spread(2.0, 1.999, 2.001)
    >>> round(years_until(8e6, budget=1e6, price_halving=sure).middle, 2)  # three halvings
    6.0
    """
    require_positive(budget, name="budget")
    require_draws(n_draw)
    if isinstance(cost, Interval):
        wide = cost.low < cost.middle < cost.high
        cost = Spread(cost.middle, cost.low, cost.high, cost.level) if wide else cost.middle
    _middle(cost, name="cost")
    generator, draws = random.Random(seed), []
    for _ in range(n_draw):
        rate = 1 / price_halving.draw(generator)
        if algorithmic_halving is not None:
            rate += 12 / algorithmic_halving.draw(generator)
        draws.append(max(0.0, math.log2(_draw(cost, generator) / budget)) / rate)
    return interval_of(draws, level=level)


def lorenz(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """The Lorenz curve: the share of all that the smallest share of owners holds.

    Returns
    -------
    owners, held : lists of n + 1 shares
        From (0, 0) to (1, 1); ``held[i]`` is the share of the ``i`` smallest of n.

    Raises
    ------
    ValueError
        If there is no value, one is negative or not finite, or all are 0.

    Examples
    --------
    >>> lorenz([3.0, 1.0])
    ([0.0, 0.5, 1.0], [0.0, 0.25, 1.0])
    """
    ordered = _require_holdings(values)
    total, running, held = math.fsum(ordered), 0.0, [0.0]
    for value in ordered:
        running += value
        held.append(min(1.0, running / total))
    held[-1] = 1.0
    return [i / len(ordered) for i in range(len(ordered) + 1)], held


def gini(values: Sequence[float]) -> float:
    """The Gini coefficient: 0 if all hold the same, (n - 1) / n if one of n holds everything.

    With values in rising order, ``sum((2 i - n - 1) x_i) / (n sum(x_i))`` for i from 1 to n: the mean
    difference of all pairs over twice the mean, and twice the area between the Lorenz curve and its diagonal.

    Raises
    ------
    ValueError
        As `lorenz`.

    Examples
    --------
    >>> gini([0.0, 0.0, 0.0, 1.0])
    0.75
    """
    ordered = _require_holdings(values)
    n = len(ordered)
    weighted = math.fsum((2 * i - n - 1) * value for i, value in enumerate(ordered, start=1))
    return max(0.0, weighted / (n * math.fsum(ordered)))


def gini_interval(
    values: Sequence[float], *, n_draw: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """The Gini coefficient, and an interval from owners drawn with replacement (bootstrap percentiles).

    ``middle`` is the coefficient of the values themselves. The interval covers which owners happened to be
    listed, not that the list was chosen; with few owners and a long tail it is too narrow and too low.

    Raises
    ------
    ValueError
        As `lorenz`, or if ``n_draw`` is below 100.
    """
    require_draws(n_draw)
    ordered = _require_holdings(values)
    generator, draws = random.Random(seed), []
    for _ in range(n_draw):
        drawn = generator.choices(ordered, k=len(ordered))
        draws.append(gini(drawn) if any(drawn) else 0.0)
    ends = interval_of(draws, level=level)
    return Interval(gini(ordered), ends.low, ends.high, level)


def _require_holdings(values: Sequence[float]) -> list[float]:
    ordered = sorted(float(value) for value in values)
    if not ordered or not all(0 <= value < math.inf for value in ordered) or ordered[-1] == 0:
        raise ValueError("values must be one or more finite numbers, none negative and not all 0")
    return ordered


def _peak(name: str) -> float:
    from scaling_transformers.accounting import accelerator  # with NumPy, which the rest does without

    return accelerator(name).peak_flops


def _middle(value: float | Spread, *, name: str) -> float:
    return value.middle if isinstance(value, Spread) else require_positive(value, name=name)


def _draw(value: float | Spread, generator: random.Random) -> float:
    return value.draw(generator) if isinstance(value, Spread) else value
