"""A published figure with its interval as a distribution. Plain floats, no NumPy."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from statistics import NormalDist

from scaling_transformers.footprint.intervals import quantile

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Spread:
    """A positive quantity known up to a factor: a ``middle`` and a central interval from ``low`` to ``high``.

    The logarithm is normal on either side of the middle, with the width of that side. So the median and both
    ends of the interval are exactly as published, also where the interval is lopsided. The shape between and
    beyond them is an assumption.

    Parameters
    ----------
    middle, low, high : float
        Positive, ``low < middle < high``.
    level : float
        Probability that lies between ``low`` and ``high``, half of the rest on either side.

    Raises
    ------
    ValueError
        If the numbers are not so.

    Examples
    --------
    >>> Spread(8, 2, 22).quantile(0.95)
    22.0
    """

    middle: float
    low: float
    high: float
    level: float = 0.9

    def __post_init__(self) -> None:
        for name in ("middle", "low", "high"):
            require_positive(getattr(self, name), name=name)
        if not self.low < self.middle < self.high:
            raise ValueError(
                f"low, middle and high must rise; got {self.low!r}, {self.middle!r} and {self.high!r}"
            )
        require_level(self.level)

    @classmethod
    def between(cls, low: float, high: float, *, level: float = 0.9) -> Spread:
        """The spread of an interval that was published without a middle: their geometric mean."""
        for name, value in (("low", low), ("high", high)):
            require_positive(value, name=name)
        return cls(math.sqrt(low * high), low, high, level)

    @classmethod
    def factor(cls, middle: float, factor: float, *, level: float = 0.9) -> Spread:
        """The spread from ``middle / factor`` to ``middle * factor``."""
        require_positive(middle, name="middle")
        if not require_positive(factor, name="factor") > 1:
            raise ValueError(f"factor must be above 1; got {factor!r}")
        return cls(middle, middle / factor, middle * factor, level)

    def at(self, z: float) -> float:
        """The value ``z`` standard deviations of its side from the middle, in the logarithm."""
        end = self.high if z > 0 else self.low
        return self.middle * float((end / self.middle) ** (abs(z) / self._z))

    def quantile(self, probability: float) -> float:
        """The value that a share ``probability`` of the distribution lies below."""
        if not 0 < probability < 1:
            raise ValueError(f"probability must be between 0 and 1; got {probability!r}")
        if math.isclose(probability, (1 + self.level) / 2):
            return float(self.high)  # not off by a rounding
        if math.isclose(probability, (1 - self.level) / 2):
            return float(self.low)
        return self.at(_NORMAL.inv_cdf(probability))

    def chance_above(self, value: float) -> float:
        """The probability that the quantity is above a positive ``value``."""
        require_positive(value, name="value")
        end = self.high if value > self.middle else self.low
        sign = 1 if value > self.middle else -1
        z = sign * self._z * math.log(value / self.middle) / math.log(end / self.middle)
        return _NORMAL.cdf(-z)

    def times(self, factor: float) -> Spread:
        """The spread of a known multiple of the quantity."""
        require_positive(factor, name="factor")
        return Spread(self.middle * factor, self.low * factor, self.high * factor, self.level)

    def draw(self, generator: random.Random) -> float:
        """One random value."""
        return self.at(generator.gauss(0.0, 1.0))

    @property
    def _z(self) -> float:
        """Standard deviations from the middle to an end."""
        return _NORMAL.inv_cdf((1 + self.level) / 2)


@dataclass(frozen=True)
class Interval:
    """The median of random draws and the central interval that holds a share ``level`` of them."""

    middle: float  #: The median.
    low: float  #: Lower end.
    high: float  #: Upper end.
    level: float = 0.9


def interval_of(draws: Sequence[float], *, level: float = 0.9) -> Interval:
    """Median and central interval of draws, interpolated between neighbours."""
    require_level(level)
    if not draws or not all(math.isfinite(value) for value in draws):
        raise ValueError("draws must be one or more finite numbers")
    middle, low, high = (quantile(draws, share) for share in (0.5, (1 - level) / 2, (1 + level) / 2))
    return Interval(middle, low, high, level)


def require_positive(value: float, *, name: str) -> float:
    """``value`` as it came, or a `ValueError` unless it is a positive finite number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive finite number; got {value!r}")
    return value


def require_level(level: float) -> None:
    """Raise `ValueError` unless ``level`` is a probability strictly between 0 and 1."""
    if isinstance(level, bool) or not isinstance(level, Real) or not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1; got {level!r}")


def require_draws(n_draw: int) -> None:
    """Raise `ValueError` unless ``n_draw`` is a whole number of at least 100."""
    if isinstance(n_draw, bool) or not isinstance(n_draw, int) or n_draw < 100:
        raise ValueError(f"n_draw must be a whole number of at least 100; got {n_draw!r}")
