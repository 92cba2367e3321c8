"""The checks that footprints make on numbers, each with its unit. No NumPy: they run in a browser too."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any


def require_number(
    value: Any, *, name: str, least: float = 0.0, most: float = math.inf, above: bool = False, unit: str = ""
) -> float:
    """``value`` as a float, or a `ValueError` unless it is finite and between ``least`` and ``most``.

    ``least`` itself is left out where ``above``.
    """
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value > most or value < least or (above and value == least):
        low = f"above {least:g}" if above else f"at least {least:g}"
        high = "" if math.isinf(most) else f" and at most {most:g}"
        raise ValueError(f"{name} must be a finite number {low}{high}{unit and f' {unit}'}; got {value!r}")
    return float(value)


def require_share(value: Any, *, name: str) -> float:
    """``value`` as a float, or a `ValueError` unless it is above 0 and at most 1."""
    return require_number(value, name=name, most=1.0, above=True)


def require_whole(value: Any, *, name: str, least: int = 1) -> int:
    """``value`` as an int, or a `ValueError` unless it is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}")
    return int(value)


def require_pue(value: Any) -> float:
    """A power usage effectiveness from 1 to 5, or a `ValueError`."""
    return require_number(
        value, name="pue", least=1.0, most=5.0, unit="(all energy of a site / that of its IT)"
    )


def require_carbon_intensity(value: Any) -> float:
    """Grams of CO2e per kWh, 0 or from 1 to 2000, or a `ValueError` that tells kilograms from grams."""
    grams = require_number(value, name="carbon_intensity", most=2000.0, unit="g CO2e per kWh")
    if 0 < grams < 1:
        raise ValueError(
            "carbon_intensity must be in grams of CO2e per kWh, 0 or from 1 to 2000; "
            f"got {value!r}, which looks like kilograms: {1000 * grams:g} g"
        )
    return grams


def require_power(value: Any, *, name: str = "power_w") -> float:
    """Watts of one device from 1 to 100,000, or a `ValueError`: less looks like kilowatts."""
    return require_number(value, name=name, least=1.0, most=1e5, unit="watts")
