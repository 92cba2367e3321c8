"""Published training runs, and how fast their compute grew over calendar time."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from scaling_transformers._numpy import ArrayLike, np
from scaling_transformers._tables import read_rows


@dataclass(frozen=True)
class TrainingRun:
    """One training run of the table ``data/training_compute.csv``; None where nothing is published.

    ``date`` is the first day of the month of the paper or announcement. A token visits ``n_params_active``
    parameters: all of them, unless the table says otherwise. ``n_tokens`` counts repeats. ``reported_flops``
    is the makers' own figure for the whole run, or for ``kind="estimate"`` that of the author in ``source``.
    """

    name: str  #: Of the model.
    date: datetime.date
    n_params: int | None  #: All parameters.
    n_params_active: int | None
    n_tokens: int | None
    reported_flops: float | None
    kind: str
    source: str

    @property
    def year(self) -> float:
        """``date`` as a year and its fraction, to the month: April 2024 is 2024.25."""
        return self.date.year + (self.date.month - 1) / 12

    @property
    def six_nd(self) -> float | None:
        """6 FLOPs an active parameter and token; None where one of the two is not published."""
        if self.n_params_active is None or self.n_tokens is None:
            return None
        return 6.0 * self.n_params_active * self.n_tokens

    @property
    def flops(self) -> float:
        """FLOPs of the whole run: as reported, or else `six_nd`."""
        flops = self.six_nd if self.reported_flops is None else self.reported_flops
        if flops is None:
            raise ValueError(f"{self.name} has neither reported_flops nor both n_params and n_tokens")
        return flops


@cache
def training_runs() -> tuple[TrainingRun, ...]:
    """Training runs of transformers from 2017 to 2025, earliest first.

    Some reports count what the machines did (recomputed activations, or a rate times the hours), others what
    the model needs, so `TrainingRun.flops` are comparable to a factor of about two, not to a few per cent.

    Examples
    --------
    >>> [run.name for run in training_runs() if run.kind == "estimate"]
    ['GPT-4', 'GPT-4.5']

    Source: the column ``source`` of ``data/training_compute.csv``, row by row.
    """
    runs = []
    for row in read_rows("training_compute.csv"):
        year, month = row["date"].split("-")
        n_params, n_active, n_tokens = (
            round(float(row[name])) if row[name] else None
            for name in ("n_params", "n_params_active", "n_tokens")
        )
        runs.append(
            TrainingRun(
                name=row["name"],
                date=datetime.date(int(year), int(month), 1),
                n_params=n_params,
                n_params_active=n_active or n_params,
                n_tokens=n_tokens,
                reported_flops=float(row["reported_flops"]) if row["reported_flops"] else None,
                kind=row["kind"],
                source=row["source"],
            )
        )
    return tuple(runs)


def record_runs(runs: Iterable[TrainingRun]) -> tuple[TrainingRun, ...]:
    """The runs that took more FLOPs than every run before them, earliest first."""
    records: list[TrainingRun] = []
    for run in sorted(runs, key=lambda run: run.date):
        if not records or run.flops > records[-1].flops:
            records.append(run)
    return tuple(records)


@dataclass(frozen=True)
class Growth:
    """Growth by ``factor`` a year and its 95 % ``interval``; ``doubling_time`` in months and its interval.

    What does not grow takes infinitely long to double.
    """

    factor: float
    interval: tuple[float, float]

    @property
    def doubling_time(self) -> float:
        """Months in which the quantity doubles; infinite if it does not grow."""
        return _doubling_time(self.factor)

    @property
    def doubling_interval(self) -> tuple[float, float]:
        """The 95 % interval of ``doubling_time``, in months."""
        return _doubling_time(self.interval[1]), _doubling_time(self.interval[0])


def _doubling_time(factor: float) -> float:
    return float(12 * np.log(2) / np.log(factor)) if factor > 1 else float("inf")


def exponential_growth(
    years: ArrayLike, values: ArrayLike, *, n_bootstrap: int = 10_000, seed: int = 0
) -> Growth:
    """Growth a year of ``values``, the least-squares line through their logarithms against time.

    The interval is that of the middle 95 % of lines through runs drawn with replacement. It covers which runs
    happened to be listed, not that only records were (records rise by construction), nor errors that
    all rows share. Exponential growth over calendar time says nothing of how cost grows with model size.

    Parameters
    ----------
    years, values : array_like, shape (n,)
        Dates in years, at least two different ones, and positive values; n is at least 3.

    Raises
    ------
    ValueError
        If the shapes differ, a value is not positive and finite, or no line is determined.

    Examples
    --------
    >>> round(exponential_growth([2018, 2019, 2020], [1.0, 4.0, 16.0]).doubling_time, 6)
    6.0
    """
    x, y = np.asarray(years, dtype=float), np.asarray(values, dtype=float)
    if x.ndim != 1 or x.shape != y.shape or x.size < 3:
        raise ValueError(f"years and values must be lists of the same 3 or more; got {x.shape} and {y.shape}")
    if not np.all(np.isfinite(x)) or np.ptp(x) == 0:
        raise ValueError("years must be finite, and at least two of them different")
    if not np.all((y > 0) & (y < np.inf)):
        raise ValueError(f"values must be positive and finite; got {y[~((y > 0) & (y < np.inf))][0]}")
    if isinstance(n_bootstrap, bool) or not isinstance(n_bootstrap, int) or n_bootstrap < 100:
        raise ValueError(f"n_bootstrap must be a whole number of at least 100; got {n_bootstrap!r}")
    drawn = np.random.default_rng(seed).integers(x.size, size=(n_bootstrap, x.size))
    drawn = drawn[np.ptp(x[drawn], axis=1) > 0]  # one date alone determines no line
    low, high = np.quantile(np.exp(_slope(x[drawn], np.log(y[drawn]))), [0.025, 0.975])
    return Growth(float(np.exp(_slope(x, np.log(y)))), (float(low), float(high)))


def _slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Slope of the least-squares line, along the last axis."""
    dx = x - x.mean(axis=-1, keepdims=True)
    slope: np.ndarray = (dx * y).sum(axis=-1) / (dx**2).sum(axis=-1)
    return slope
