"""Published electricity of households, and carbon intensity of grids."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from scaling_transformers._names import unknown_name
from scaling_transformers._tables import read_rows
from scaling_transformers.footprint._inputs import require_number


@dataclass(frozen=True)
class Household:
    """Electricity of a mean household of a region in a year: a row of ``data/households.csv``."""

    region: str
    year: int
    kwh_per_year: float  #: Electricity, kWh.
    source: str  #: Where the figure is published.


@dataclass(frozen=True)
class Grid:
    """Carbon intensity of the electricity of a place in a year: a row of ``data/grids.csv``."""

    place: str
    year: int
    g_co2e_per_kwh: float  #: Grams of CO2e a kWh.
    source: str  #: Where the figure is published.


@cache
def household_table() -> tuple[Household, ...]:
    """Published consumption of households, in the order of the table."""
    return tuple(
        Household(row["region"], int(row["year"]), float(row["kwh_per_year"]), row["source"])
        for row in read_rows("households.csv")
    )


@cache
def grids() -> tuple[Grid, ...]:
    """Published carbon intensities of grids, in the order of the table."""
    return tuple(
        Grid(row["place"], int(row["year"]), float(row["g_co2e_per_kwh"]), row["source"])
        for row in read_rows("grids.csv")
    )


def household(region: str) -> Household:
    """The latest figure of a region; `ValueError` if the table has none."""
    rows = [row for row in household_table() if row.region == region]
    if not rows:
        raise unknown_name(region, [row.region for row in household_table()], what="a region")
    return max(rows, key=lambda row: row.year)


def grid(place: str) -> Grid:
    """The latest figure of a place; `ValueError` if the table has none.

    Examples
    --------
    >>> grid("France").g_co2e_per_kwh < grid("Poland").g_co2e_per_kwh
    True
    """
    rows = [row for row in grids() if row.place == place]
    if not rows:
        raise unknown_name(place, [row.place for row in grids()], what="a place")
    return max(rows, key=lambda row: row.year)


def households(energy_kwh: float, *, region: str = "US") -> float:
    """How many mean households of a region use as much electricity in a year.

    Parameters
    ----------
    energy_kwh : float
        Not negative.
    region : str
        One of the column ``region`` of ``data/households.csv``: ``"US"``, ``"EU"``.

    Raises
    ------
    ValueError
        If the energy is negative or the table has no such region.

    Examples
    --------
    >>> us, eu = (households(1_287_000, region=region) for region in ("US", "EU"))  # GPT-3
    >>> f"{us:.0f} in the US, {eu:.0f} in the EU"
    '119 in the US, 358 in the EU'

    Source: the column ``source`` of ``data/households.csv``.
    """
    return require_number(energy_kwh, name="energy_kwh", unit="kWh") / household(region).kwh_per_year
