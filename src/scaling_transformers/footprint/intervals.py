"""From intervals of what goes in to intervals of what comes out, by drawing many times."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from scaling_transformers.footprint._inputs import require_number, require_whole


@dataclass(frozen=True)
class Estimate:
    """A result, and how far it may be off for what is not known of its inputs.

    Attributes
    ----------
    central : object
        What the function returns for the central inputs.
    interval : dict of str to (float, float)
        Of every number in the result, by name: between these lies the share ``level`` of the draws.
    by_input : dict of str to dict
        Of every input and every number: its value at the low and at the high end of that input alone.
    samples : dict of str to tuple of float
        Of every number: its value in each draw.
    level : float
    """

    central: Any
    interval: dict[str, tuple[float, float]]
    by_input: dict[str, dict[str, tuple[float, float]]]
    samples: dict[str, tuple[float, ...]]
    level: float


def with_interval(
    function: Callable[..., Any],
    ranges: Mapping[str, Sequence[float]],
    *,
    n_sample: int = 2000,
    seed: int = 0,
    level: float = 0.9,
    **fixed: Any,
) -> Estimate:
    """``function`` at central inputs, and the interval of every number that it returns.

    The inputs are drawn independently of each other. ``(low, central, high)`` stands for a triangular
    distribution, whose mode is ``central``; ``(low, high)`` for one that is uniform in the logarithm, with
    the geometric mean as its centre.

    Parameters
    ----------
    function : callable
        Takes keyword arguments; returns a number, or a dataclass of numbers such as a `Footprint`.
    ranges : mapping of str to (low, high) or (low, central, high)
        By the names of arguments.
    n_sample, seed : int
        Draws, at least 100, and the seed of the generator.
    level : float
        Share of the draws that an interval holds, the tails left out being equal. Above 0, below 1.
    **fixed
        Arguments that are known.

    Raises
    ------
    ValueError
        If a range is none, an argument is both known and not, or the function refuses an end of a range.

    Examples
    --------
    >>> from scaling_transformers.footprint import training_footprint
    >>> run = with_interval(
    ...     training_footprint,
    ...     {"utilisation": (0.3, 0.4, 0.5), "pue": (1.1, 1.2, 1.6), "carbon_intensity": (100, 800)},
    ...     flops=3.14e23,
    ... )
    >>> low, high = run.interval["energy_kwh"]
    >>> f"{run.central.energy_kwh / 1000:.0f} MWh, {low / 1000:.0f} to {high / 1000:.0f}"
    '335 MWh, 297 to 455'
    """
    draws = require_whole(n_sample, name="n_sample", least=100)
    share = require_number(level, name="level", above=True)
    if share >= 1:
        raise ValueError(f"level must be a number above 0 and below 1; got {level!r}")
    twice = [name for name in ranges if name in fixed]
    if twice:
        raise ValueError(f"ranges must not hold an argument that is also given; got {twice[0]!r} in both")
    known = {name: _range(name, values) for name, values in ranges.items()}
    middle = {name: values[1] for name, values in known.items()}
    central = function(**fixed, **middle)
    at_ends = {
        name: [_numbers(function(**fixed, **(middle | {name: end}))) for end in (values[0], values[2])]
        for name, values in known.items()
    }
    generator = random.Random(seed)
    results = [
        _numbers(function(**fixed, **{name: _draw(generator, ranges[name], known[name]) for name in known}))
        for _ in range(draws)
    ]
    samples = {name: tuple(result[name] for result in results) for name in _numbers(central)}
    tail = (1 - share) / 2
    return Estimate(
        central=central,
        interval={
            name: (quantile(values, tail), quantile(values, 1 - tail)) for name, values in samples.items()
        },
        by_input={
            name: {output: (low[output], high[output]) for output in samples}
            for name, (low, high) in at_ends.items()
        },
        samples=samples,
        level=share,
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of ``values`` lie, by a straight line between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _range(name: str, values: Sequence[float]) -> tuple[float, float, float]:
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) not in (2, 3):
        raise ValueError(f"{name} must be (low, high) or (low, central, high); got {values!r}")
    numbers = [require_number(value, name=name, least=-1e300) for value in values]
    if numbers != sorted(numbers):
        raise ValueError(f"{name} must rise from its low to its high end; got {values!r}")
    if len(numbers) == 2:
        low, high = numbers
        if low <= 0:
            raise ValueError(f"{name} must be positive where no central value is given; got {values!r}")
        return low, math.sqrt(low * high), high
    return numbers[0], numbers[1], numbers[2]


def _draw(generator: random.Random, given: Sequence[float], known: tuple[float, float, float]) -> float:
    low, central, high = known
    if len(given) == 2:
        drawn = low * math.exp(math.log(high / low) * generator.random())
    else:
        drawn = generator.triangular(low, high, central)
    return min(max(drawn, low), high)  # rounding must not leave the range


def _numbers(result: Any) -> dict[str, float]:
    """The numbers of a result by name: its fields and properties, or ``"value"`` of a plain number."""
    if not is_dataclass(result):
        return {"value": float(result)}
    names = [field.name for field in fields(result)]
    names += [name for name, member in vars(type(result)).items() if isinstance(member, property)]
    values = {name: getattr(result, name) for name in names}
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
