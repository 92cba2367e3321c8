"""Saturating and broken power laws fitted to values at some scales."""

from __future__ import annotations

from itertools import product
from typing import Any

from scaling_transformers._counts import require_count
from scaling_transformers._numpy import ArrayLike, np
from scaling_transformers.accounting._inputs import require_all_positive, require_positive
from scaling_transformers.scaling._inputs import require_runs
from scaling_transformers.scaling._solver import Array, Assemble, Model
from scaling_transformers.scaling.fits import LawFit, best_of, require_bootstrap, summarise
from scaling_transformers.scaling.laws import BrokenPowerLaw

N_PARAMETER = {0: 2, 1: 5}  # by breaks, without the floor


def fit_broken(
    x: ArrayLike,
    value: ArrayLike,
    *,
    n_break: int = 1,
    floor: float | None = None,
    delta: float = 1e-3,
    n_bootstrap: int = 0,
    seed: int = 0,
) -> LawFit[BrokenPowerLaw]:
    """The `BrokenPowerLaw` with one break, or none, that fits positive values best: Huber loss on their logs.

    Without a break it is a power law that saturates at its floor. Given where the floor and the break lie,
    the logarithm of what is above the floor is linear in all the rest: the starts are least squares over a
    grid of these, all solved together.

    Parameters
    ----------
    x, value : array_like, shape (n_point,)
        Scale, and what was measured there: at least 3 points more than parameters, at as many different x as
        parameters.
    n_break : int
        0 or 1.
    floor : float, optional
        Held where it is known, 0 for none. Fitted if left out.
    delta, n_bootstrap, seed
        As in `fit_chinchilla`.

    Returns
    -------
    LawFit
        Of ``scale`` and ``exponent``, ``floor`` if it is fitted, and of a break ``at``, ``width`` and
        ``change``. ``converged`` is False if the points leave one open: no break shows, or no floor.

    Raises
    ------
    ValueError
        If the lists differ in length, a number is not positive and finite, the points are too few, their
        values all the same, or the floor is not below them.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.geomspace(1e3, 1e9, 25)
    >>> fit = fit_broken(x, 1.5 + 40 * x**-0.3, n_break=0)
    >>> round(fit.law.floor, 6), round(fit.law.exponent, 6)
    (1.5, 0.3)

    Source: Caballero et al. 2023, equation 1 (the law).
    """
    require_count(n_break=n_break, least=0)
    if n_break > 1:
        raise ValueError(f"n_break must be 0 or 1; got {n_break}")
    n_parameter = N_PARAMETER[n_break] + (floor is None)
    scales, values = require_runs(least=n_parameter + 3, x=x, value=value)
    require_positive(delta, name="delta")
    n_bootstrap = require_bootstrap(n_bootstrap)
    log_x, log_value = np.log(scales), np.log(values)
    if (distinct := np.unique(log_x.round(9)).size) < n_parameter:
        raise ValueError(f"x must take at least {n_parameter} different values; got {distinct}")
    if np.ptp(log_value) == 0:
        raise ValueError("value must vary between the points; got the same in each")
    if floor is not None and floor != 0:
        require_all_positive(floor, name="floor")
    if floor is not None and floor >= values.min():
        raise ValueError(f"floor must lie below every value; got {floor} and the value {values.min()}")

    logs = ("scale",) + ("floor",) * (floor is None) + ("at", "width") * n_break
    names = (*logs, "exponent") + ("change",) * n_break

    def kind(log_x: Array) -> Model:
        return broken_model(log_x, n_break=n_break, floor=floor)

    def law(**found: float) -> BrokenPowerLaw:
        breaks = ((found["at"], found["change"], found["width"]),) if n_break else ()
        return BrokenPowerLaw(
            floor=found["floor"] if floor is None else float(floor),
            scale=found["scale"],
            exponent=found["exponent"],
            breaks=breaks,
        )

    starts = broken_starts(log_x, log_value, n_break=n_break, floor=floor)
    theta, least, converged = best_of(kind, log_x, target=log_value, starts=starts, delta=delta)
    away = np.zeros(theta.size)
    away[[names.index(name) for name in ("floor", "width") if name in names]] = 0.3
    return summarise(
        law,
        names=names,
        n_log=len(logs),
        open_at=(3.0,) + (0.5,) * (floor is None) + (2.0, 1.5) * n_break,  # so 2 errors tell a floor from 0
        model=kind(log_x),
        theta=theta,
        value=least,
        found=converged,
        target=log_value,
        delta=delta,
        near=lambda rows: np.concatenate([rows, rows - away, rows + away / 3]),
        n_bootstrap=n_bootstrap,
        seed=seed,
        signed=("exponent", "change"),
        may_vanish=("exponent",) * n_break,  # before a break a curve may be flat
    )


def broken_starts(log_x: Array, log_value: Array, *, n_break: int, floor: float | None) -> Array:
    """Rows for `broken_model`: over a grid of floors and breaks, the rest by least squares."""
    least = np.exp(log_value.min())
    floors = least * np.array([0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995]) if floor is None else [floor]
    places: Any = [()]
    if n_break:
        span = np.ptp(log_x)
        inner = log_x.min() + span * np.linspace(0.1, 0.9, 9)
        places = list(product(inner, span * np.array([0.01, 0.04, 0.12])))
    rows = []
    for base, place in product(floors, places):
        columns = [np.ones_like(log_x), -log_x]
        if place:
            at, width = place
            columns.append(-width * np.logaddexp(0, (log_x - at) / width))
        rest = np.linalg.lstsq(np.stack(columns, axis=1), np.log(np.exp(log_value) - base), rcond=None)[0]
        base = [np.log(base)] if floor is None else []
        rows.append([rest[0], *base, *((at, np.log(width)) if place else ()), *rest[1:]])
    return np.array(rows)


def broken_model(log_x: Array, *, n_break: int, floor: float | None) -> Model:
    """Log value of rows ``log scale``, ``log floor``, ``log at``, ``log width``, ``exponent``, ``change``.

    Rows lack the floor where it is given, and all that makes a break where there is none.
    """
    own_floor = floor is None
    first = 1 + own_floor  # of the break's entries
    n_parameter = N_PARAMETER[n_break] + own_floor
    bend_at, bend_width, slope_at, change_at = first, first + 1, first + 2 * n_break, first + 2 * n_break + 1

    def model(theta: Array) -> tuple[Array, Assemble]:
        power = theta[:, :1] - theta[:, slope_at, None] * log_x
        if n_break:
            at, change = theta[:, bend_at, None], theta[:, change_at, None]
            width = np.exp(np.clip(theta[:, bend_width, None], -20, 20))
            z = (log_x - at) / width
            soft = np.logaddexp(0, z)
            step = np.exp(-np.logaddexp(0, -z))
            power = power - change * width * soft
        if own_floor:
            base = theta[:, 1, None]
        else:
            base = np.full((len(theta), 1), -np.inf if not floor else np.log(floor))
        predicted = np.logaddexp(power, base)
        share = np.exp(power - predicted)

        def assemble(slope: Array, weight: Array, bend: Array) -> tuple[Array, Array]:
            inner = np.zeros((*share.shape, n_parameter))  # of the power
            inner[..., 0] = 1
            inner[..., slope_at] = -log_x
            if n_break:
                # d soft / d z = step, and z falls by z as the log of the width grows by 1
                along = soft - z * step
                inner[..., bend_at] = change * step
                inner[..., bend_width] = -change * width * along
                inner[..., change_at] = -width * soft
            jacobian = share[..., None] * inner
            apart = inner
            if own_floor:
                jacobian[..., 1] = 1 - share
                apart = inner.copy()
                apart[..., 1] = -1
            hessian = np.swapaxes(weight[..., None] * jacobian, -1, -2) @ jacobian
            hessian += np.swapaxes((bend * share * (1 - share))[..., None] * apart, -1, -2) @ apart
            if n_break:
                pull = bend * share
                turn = step * (1 - step)
                for i, j, values in (
                    (bend_at, bend_at, -change / width * turn),
                    (bend_at, bend_width, -change * z * turn),
                    (bend_at, change_at, step),
                    (bend_width, bend_width, -change * width * (along + z * z * turn)),
                    (bend_width, change_at, -width * along),
                ):
                    total = (pull * values).sum(axis=1)
                    hessian[:, i, j] += total
                    if i != j:
                        hessian[:, j, i] += total
            return (slope[..., None] * jacobian).sum(axis=1), hessian

        return predicted, assemble

    return model
