"""What is assumed where a reader gives no number, each with its range and its source."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from scaling_transformers._names import by_name
from scaling_transformers._tables import read_rows


@dataclass(frozen=True)
class Default:
    """One assumption of the table ``data/footprint_defaults.csv``.

    Attributes
    ----------
    name : str
        Of the argument that it stands in for.
    value : float
    low, high : float or None
        Lowest and highest value that a source gives; None where one figure is all there is.
    unit, source : str
    """

    name: str
    value: float
    low: float | None
    high: float | None
    unit: str
    source: str

    @property
    def range(self) -> tuple[float, float, float]:
        """``(low, value, high)``, as `with_interval` takes it; `ValueError` where no range is published."""
        if self.low is None or self.high is None:
            raise ValueError(f"{self.name} must be given a range by hand: its source has one figure only")
        return self.low, self.value, self.high


@cache
def defaults() -> tuple[Default, ...]:
    """All assumptions of the table, in its order."""
    return tuple(
        Default(
            row["name"],
            float(row["value"]),
            float(row["low"]) if row["low"] else None,
            float(row["high"]) if row["high"] else None,
            row["unit"],
            row["source"],
        )
        for row in read_rows("footprint_defaults.csv")
    )


@cache
def default(name: str) -> Default:
    """The assumption of that name; `ValueError` if the table has none.

    Examples
    --------
    >>> default("embodied_kg_per_device").unit
    'kg CO2e'

    Source: the column ``source`` of ``data/footprint_defaults.csv``, row by row.
    """
    return by_name(defaults(), name, what="an assumption")
