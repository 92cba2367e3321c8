"""How much is kept after how long: published human curves, and the functions that are fitted to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers._names import unknown_name
from scaling_transformers._tables import read_rows

Array = NDArray[np.float64]

FORMS: dict[str, Callable[[Array, Array], Array]] = {
    "exponential": lambda t, b: np.exp(-b * t),
    "power": lambda t, b: (1 + t) ** -b,
    "logarithmic": lambda t, b: 1 - b * np.log1p(t),
    "root exponential": lambda t, b: np.exp(-b * np.sqrt(t)),
    "root hyperbola": lambda t, b: 1 / (1 + b * np.sqrt(t)),
}
"""Share kept after a time ``t``, as of that at ``t = 0``, for a rate ``b``.

The last four are those that fit most of 210 published data sets best, of 105 functions with two parameters
(Rubin and Wenzel 1996, abstract). One is added to the time of the power, as to that of the logarithm, so that
both are finite at 0.
"""

_RATES = np.geomspace(1e-7, 1e2, 1801)  # neighbours differ by 1.2 %; a second search goes between them


class Retention(NamedTuple):
    """A fitted function of forgetting: ``scale * FORMS[form](t, rate)``.

    ``scale`` is what is kept at ``t = 0``, ``rate`` belongs to the unit of ``t``, and ``r_squared`` is the
    share of the variance that the fit explains, at most 1 and below 0 if a mean would explain more.
    """

    form: str
    scale: float
    rate: float
    r_squared: float

    def __call__(self, t: ArrayLike) -> Array:
        """What is kept after times ``t``."""
        return self.scale * FORMS[self.form](np.asarray(t, dtype=float), np.asarray(self.rate))


def fit_retention(t: ArrayLike, kept: ArrayLike, *, form: str) -> Retention:
    """Fit a function of forgetting by least squares.

    For each rate the best scale is known in closed form; the rate is searched, twice, on a grid.

    Parameters
    ----------
    t : array_like, shape (n,), not negative
        Time, or whatever stands between learning and test, in the caller's unit.
    kept : array_like, shape (n,), finite
        What is kept, such as a share.
    form : one of `FORMS`

    Raises
    ------
    ValueError
        If the form is unknown, or the arrays do not fit each other, hold fewer than three points or are not
        finite.

    Examples
    --------
    >>> t = np.array([0.0, 1.0, 3.0, 7.0])
    >>> round(fit_retention(t, 0.8 * (1 + t) ** -0.5, form="power").rate, 3)
    0.5
    """
    if form not in FORMS:
        raise unknown_name(form, list(FORMS), what="a form")
    t, kept = np.asarray(t, dtype=float), np.asarray(kept, dtype=float)
    if t.shape != kept.shape or t.ndim != 1 or t.size < 3:
        raise ValueError(f"t and kept must have one shape (n,), n at least 3; got {t.shape}, {kept.shape}")
    if not (np.isfinite(t).all() and np.isfinite(kept).all() and (t >= 0).all()):
        raise ValueError("t and kept must be finite, and t not negative")
    rates, best = _RATES, 0
    for _ in range(2):
        shapes = FORMS[form](t[None, :], rates[:, None])
        scales = shapes @ kept / np.maximum((shapes**2).sum(axis=1), 1e-300)
        errors = ((scales[:, None] * shapes - kept) ** 2).sum(axis=1)
        best = int(errors.argmin())
        found = Retention(form, float(scales[best]), float(rates[best]), _explained(errors[best], kept))
        rates = np.geomspace(rates[max(best - 1, 0)], rates[min(best + 1, rates.size - 1)], 401)
    return found


def _explained(error: float, kept: Array) -> float:
    """Share of the variance that a fit with this sum of squared errors explains; 1 where there is none."""
    total = float(((kept - kept.mean()) ** 2).sum())
    return 1.0 if total == 0 else 1 - float(error) / total


class Published(NamedTuple):
    """A published number about people."""

    study: str  #: a short name of it
    measure: str  #: what was measured, in words
    x: float  #: the condition, nan where there is none
    value: float  #: the number
    unit: str  #: of the value
    source: str  #: where it stands
    note: str  #: how it was read, and what to mind


def human_memory(study: str | None = None) -> list[Published]:
    """Published measures of human memory, of one study or of all.

    ``x`` is the condition: hours between learning and relearning, words in a list, n of an n-back task.

    Raises
    ------
    ValueError
        If there is no such study.
    """
    return _published("human_memory.csv", study)


def human_attention(study: str | None = None) -> list[Published]:
    """Published measures of how people look at text and how far its words depend on each other.

    Raises
    ------
    ValueError
        If there is no such study.
    """
    return _published("human_attention.csv", study)


def _published(table: str, study: str | None) -> list[Published]:
    rows = [
        Published(
            row["study"],
            row["measure"],
            float(row["x"] or "nan"),
            float(row["value"]),
            row["unit"],
            row["source"],
            row["note"],
        )
        for row in read_rows(table)
    ]
    studies = list(dict.fromkeys(row.study for row in rows))
    if study is not None and study not in studies:
        raise unknown_name(study, studies, what="a study")
    return [row for row in rows if study in (None, row.study)]
