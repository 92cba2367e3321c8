"""From surprisal to milliseconds: a simulated reader, the fit that finds its slope, and the test of the form.

The reading time of a word is taken as

``base + per_letter * letters + sum over j of slope_j * surprisal(j words back)**power``

plus what differs between readers and between two readings. With ``power=1`` it is linear in surprisal, as
Smith and Levy 2013 found; below 1 it grows less than that, above 1 more. Plain NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers._names import unknown_name
from scaling_transformers._tables import read_rows
from scaling_transformers.attention.masks import require_count
from scaling_transformers.society.estimates import bootstrap_mean

Floats = NDArray[np.float64]
POWERS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)


class PublishedReading(NamedTuple):
    """A published figure: ``value`` in ``unit``, its ``source``, and a ``note`` on how we read it."""

    value: float
    unit: str
    source: str
    note: str


def published_reading(name: str) -> PublishedReading:
    """A figure of ``data/reading_times.csv``.

    Raises
    ------
    ValueError
        If there is none of this name.

    >>> published_reading("slope").unit
    'ms per bit'
    """
    rows = {row["name"]: row for row in read_rows("reading_times.csv")}
    if name not in rows:
        raise unknown_name(name, list(rows), what="a figure on reading")
    row = rows[name]
    return PublishedReading(float(row["value"]), row["unit"], row["source"], row["note"])


@dataclass(frozen=True)
class Reader:
    """What the reading times of simulated people follow.

    Attributes
    ----------
    base : milliseconds for a word of no letters without surprise
    slopes : milliseconds per bit (to the ``power``) on the word itself, on the next one, and so on
    per_letter : milliseconds a letter
    power : of the surprisal in bits
    between : standard deviation over readers of the base, in milliseconds
    slopes_between : standard deviation over readers of the factor on all slopes, whose mean is 1
    within : standard deviation of one reader's time for one word, in milliseconds

    Raises
    ------
    ValueError
        If a spread is negative, the power or the base is not positive, or there is no slope.
    """

    base: float
    slopes: tuple[float, ...]
    per_letter: float = 0.0
    power: float = 1.0
    between: float = 0.0
    slopes_between: float = 0.0
    within: float = 0.0

    def __post_init__(self) -> None:
        for name in ("between", "slopes_between", "within"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be finite and at least 0; got {getattr(self, name)!r}")
        for name in ("base", "power"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be positive and finite; got {getattr(self, name)!r}")
        if not self.slopes:
            raise ValueError("slopes must have at least one number; got none")

    @property
    def total_slope(self) -> float:
        """Milliseconds that one bit costs over the word and those after it (with ``power=1``)."""
        return sum(self.slopes)


def published_reader(**changes: float) -> Reader:
    """A reader with the published slope and times; what is not published is assumed, and can be changed.

    The slope of Smith and Levy 2013 is shared equally over the word and the three after it. Of the spread of
    a word's times in Natural Stories, half of the variance is taken to lie between readers. Both shares are
    assumptions, and so is that the factor on readers' slopes has a standard deviation of a half.
    """
    n_spill = int(published_reading("spillover words").value)
    slope = published_reading("slope").value / (1 + n_spill)
    spread = published_reading("spread of a word's times").value / np.sqrt(2)
    reader = Reader(
        published_reading("mean time").value,
        (slope,) * (1 + n_spill),
        between=float(spread),
        slopes_between=0.5,
        within=float(spread),
    )
    return replace(reader, **changes)  # type: ignore[arg-type]  # names of fields, checked by replace


def simulate_reading(
    reader: Reader,
    surprisal: ArrayLike,
    *,
    n_reader: int,
    letters: ArrayLike | None = None,
    seed: int = 0,
) -> Floats:
    """Reading times of many readers of one text, in milliseconds, shape (n_reader, n_word).

    What varies is log-normal with the mean and spread that ``reader`` says, so that no time is negative.

    Parameters
    ----------
    surprisal : bits, shape (n_word,)
    letters : shape (n_word,); 0 if not given

    Raises
    ------
    ValueError
        If the arrays differ in length, surprisal is negative, or the times that follow are not positive.
    """
    require_count(n_reader=n_reader)
    surprisal = _surprisal(surprisal)
    generator = np.random.default_rng(seed)
    columns = _lagged(surprisal**reader.power, n_spill=len(reader.slopes) - 1)
    columns[np.isnan(columns)] = 0.0  # before the first word nothing was read
    effect = columns @ np.array(reader.slopes)
    fixed = np.zeros_like(surprisal)
    if letters is not None:
        fixed = reader.per_letter * _aligned(letters, len(surprisal), name="letters")
    base = _log_normal(generator, reader.base, reader.between, size=(n_reader, 1))
    factor = _log_normal(generator, 1.0, reader.slopes_between, size=(n_reader, 1))
    mean = base + fixed + factor * effect
    if not (mean > 0).all():
        raise ValueError(f"reader must have positive mean times; got {mean.min():.1f} ms for a word")
    return _log_normal(generator, mean, reader.within, size=mean.shape)


class ReadingFit(NamedTuple):
    """Slopes of reading time on surprisal.

    Attributes
    ----------
    slope, low, high : milliseconds per bit over the word and those after it, and its interval
    slopes : by distance from the word, shape (1 + n_spill,)
    by_reader : the slope of each reader, shape (n_reader,)
    """

    slope: float
    low: float
    high: float
    slopes: Floats
    by_reader: Floats


def fit_reading(
    times: ArrayLike,
    surprisal: ArrayLike,
    *,
    controls: ArrayLike | None = None,
    n_spill: int = 3,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> ReadingFit:
    """Least squares for each reader, the mean over readers, and the interval of a bootstrap over readers.

    Parameters
    ----------
    times : milliseconds, shape (n_reader, n_word); NaN where a reader has no time for a word
    surprisal : bits, shape (n_word,); NaN where words before it are of another text
    controls : shape (n_word, n_control), such as letters and log-frequency of the word
    n_spill : words before it whose surprisal acts on a word's time

    Raises
    ------
    ValueError
        If shapes do not fit, there are fewer than two readers, or a reader has too few words to fit.
    """
    require_count(n_bootstrap=n_bootstrap)
    times = np.asarray(times, dtype=float)
    design = _design(surprisal, controls=controls, n_spill=n_spill)
    if times.ndim != 2 or len(times) < 2 or times.shape[1] != len(design):
        raise ValueError(f"times must be of two readers or more and {len(design)} words; got {times.shape}")
    usable = ~np.isnan(design).any(axis=1)
    found = []
    for row in times:
        kept = usable & ~np.isnan(row)
        if kept.sum() <= design.shape[1]:
            raise ValueError(f"times must have more than {design.shape[1]} words of each reader")
        found.append(np.linalg.lstsq(design[kept], row[kept], rcond=None)[0][1 : 2 + n_spill])
    slopes = np.array(found)
    by_reader = slopes.sum(axis=1)
    total = bootstrap_mean(by_reader, n_bootstrap=n_bootstrap, level=level, seed=seed)
    return ReadingFit(*total, slopes.mean(axis=0), by_reader)


def compare_forms(
    times: ArrayLike,
    surprisal: ArrayLike,
    *,
    controls: ArrayLike | None = None,
    n_spill: int = 3,
    powers: tuple[float, ...] = POWERS,
    n_fold: int = 10,
) -> dict[float, float]:
    """What each power of surprisal adds to the prediction of words that the fit has not seen.

    The times are averaged over readers. The text is cut into ``n_fold`` pieces; each in turn is predicted by
    a regression on the others, with normal errors.

    Returns
    -------
    dict
        For each power, the mean held-out log-likelihood of a word above that of a fit without surprisal, in
        nats. Above 0: surprisal helps. The largest: the form that fits best.

    Raises
    ------
    ValueError
        If shapes do not fit, or there are too few words for the folds.
    """
    require_count(n_fold=n_fold)
    times = np.asarray(times, dtype=float)
    if times.ndim != 2:
        raise ValueError(f"times must have the axes reader and word; got shape {times.shape}")
    surprisal = _surprisal(surprisal)
    designs = {power: _design(surprisal**power, controls=controls, n_spill=n_spill) for power in powers}
    plain = _design(surprisal, controls=controls, n_spill=n_spill)
    plain = np.delete(plain, np.s_[1 : 2 + n_spill], axis=1)
    usable = ~np.isnan(next(iter(designs.values()))).any(axis=1) & ~np.isnan(times).all(axis=0)
    mean = np.nanmean(times[:, usable], axis=0)
    folds = np.arange(usable.sum()) * n_fold // usable.sum()
    if usable.sum() < 2 * n_fold * (3 + n_spill):
        raise ValueError(f"times must have at least {2 * n_fold * (3 + n_spill)} words; got {usable.sum()}")
    without = _held_out(plain[usable], mean, folds)
    return {power: _held_out(each[usable], mean, folds) - without for power, each in designs.items()}


def detection_rate(
    reader: Reader, surprisal: ArrayLike, *, n_reader: int, n_simulation: int = 50, seed: int = 0
) -> float:
    """The share of simulated experiments whose 95 % interval of the slope lies above 0: their power.

    With slopes of 0 it is the share of false alarms. Below some ten readers the bootstrap's interval is too
    narrow, and the share too high.
    """
    require_count(n_simulation=n_simulation)
    found = 0
    for trial in range(n_simulation):
        times = simulate_reading(reader, surprisal, n_reader=n_reader, seed=seed + trial)
        fit = fit_reading(times, surprisal, n_spill=len(reader.slopes) - 1, n_bootstrap=200, seed=trial)
        found += fit.low > 0
    return found / n_simulation


def _log_normal(
    generator: np.random.Generator, mean: ArrayLike, sd: float, *, size: tuple[int, ...]
) -> Floats:
    mean = np.asarray(mean, dtype=float)
    variance = np.log1p((sd / mean) ** 2)
    noise = generator.standard_normal(size)
    return np.asarray(mean * np.exp(np.sqrt(variance) * noise - variance / 2))


def _surprisal(values: ArrayLike) -> Floats:
    surprisal = np.asarray(values, dtype=float)
    if surprisal.ndim != 1 or not len(surprisal) or np.nanmin(surprisal) < 0:
        raise ValueError(f"surprisal must be at least 0, on one axis; got shape {surprisal.shape}")
    return surprisal


def _aligned(values: ArrayLike, n_word: int, *, name: str) -> Floats:
    column = np.asarray(values, dtype=float)
    if column.shape[:1] != (n_word,):
        raise ValueError(f"{name} must have {n_word} words; got shape {column.shape}")
    return column


def _lagged(values: Floats, *, n_spill: int) -> Floats:
    """The values, and those of up to ``n_spill`` words before, shape (n_word, 1 + n_spill); NaN if none."""
    columns = np.full((len(values), 1 + n_spill), np.nan)
    for lag in range(min(1 + n_spill, len(values))):
        columns[lag:, lag] = values[: len(values) - lag]
    return columns


def _design(surprisal: ArrayLike, *, controls: ArrayLike | None, n_spill: int) -> Floats:
    """Columns: one, surprisal of the word and of those before it, the controls."""
    surprisal = _surprisal(surprisal)
    columns = [np.ones((len(surprisal), 1)), _lagged(surprisal, n_spill=n_spill)]
    if controls is not None:
        control = _aligned(controls, len(surprisal), name="controls")
        columns.append(control.reshape(len(surprisal), -1))
    return np.hstack(columns)


def _held_out(design: Floats, values: Floats, folds: NDArray[np.int64]) -> float:
    """Mean log-density of each value under a normal fit to the other folds."""
    total = 0.0
    for fold in np.unique(folds):
        inside = folds == fold
        weights = np.linalg.lstsq(design[~inside], values[~inside], rcond=None)[0]
        variance = np.mean((values[~inside] - design[~inside] @ weights) ** 2)
        errors = values[inside] - design[inside] @ weights
        total += np.sum(-0.5 * np.log(2 * np.pi * variance) - errors**2 / (2 * variance))
    return float(total / len(values))
