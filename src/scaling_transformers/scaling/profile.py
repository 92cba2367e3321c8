"""Intervals from the objective itself: how far a parameter can move before the fit is clearly worse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scaling_transformers._numpy import ArrayLike, np
from scaling_transformers.scaling._solver import Array, Model, held, huber, minimise
from scaling_transformers.scaling.fits import (
    WIDTH,
    LawFit,
    chinchilla_model,
    fit_chinchilla,
    fit_kaplan,
    kaplan_model,
    logs_of_runs,
    t_quantile,
)


@dataclass(frozen=True)
class Profile:
    """How much worse a fit gets as one parameter is held away from its best value.

    Attributes
    ----------
    values : ndarray, shape (n_point,)
        Of the parameter, rising; the best in the middle.
    statistic : ndarray, shape (n_point,)
        Rise of the objective, the other parameters fitted anew, in units in which at the true value its
        square root is about Student's t.
    interval : (float, float)
        The values between which the statistic is below that of 95 %; 0 or infinite on a side on which
        it does not get there.
    """

    values: Array
    statistic: Array
    interval: tuple[float, float]


def profile_chinchilla(
    n_params: ArrayLike, n_tokens: ArrayLike, loss: ArrayLike, *, delta: float = 1e-3
) -> dict[str, Profile]:
    """The profile of each parameter of `fit_chinchilla`, by name, and its 95 % interval.

    Takes all runs to scatter alike; the intervals of `fit_chinchilla` do not.

    Parameters
    ----------
    n_params, n_tokens, loss, delta
        As in `fit_chinchilla`.

    Raises
    ------
    ValueError
        As `fit_chinchilla`, and if the runs leave a parameter open.

    Source: Huber & Ronchetti 2009, Robust Statistics (tests by the rise of the objective).
    """
    fit = fit_chinchilla(n_params, n_tokens, loss, delta=delta)
    x, y, z = logs_of_runs(n_params, n_tokens, loss, least=8, delta=delta)
    names = ("A", "B", "E", "alpha", "beta")
    return _profiles(fit, chinchilla_model(x, y), z, names=names, n_log=3, delta=delta)


def profile_kaplan(
    n_params: ArrayLike, n_tokens: ArrayLike, loss: ArrayLike, *, delta: float = 1e-3
) -> dict[str, Profile]:
    """The profile of each parameter of `fit_kaplan`, by name, and its 95 % interval.

    As `profile_chinchilla`, with the arguments and the errors of `fit_kaplan`.
    """
    fit = fit_kaplan(n_params, n_tokens, loss, delta=delta)
    x, y, z = logs_of_runs(n_params, n_tokens, loss, least=7, delta=delta)
    names = ("N_c", "D_c", "alpha_N", "alpha_D")
    return _profiles(fit, kaplan_model(x, y), z, names=names, n_log=4, delta=delta)


def _profiles(
    fit: LawFit[Any], model: Model, target: Array, *, names: tuple[str, ...], n_log: int, delta: float
) -> dict[str, Profile]:
    """Of each parameter of a fit whose first ``n_log`` parameters are fitted as logarithms."""
    if not fit.converged:
        raise ValueError(f"loss must determine every parameter to have a profile; {fit.message}")
    theta = np.array([getattr(fit.law, name) for name in names])
    theta[:n_log] = np.log(theta[:n_log])
    named = {}
    for i, (values, statistic, bounds) in enumerate(profiles_of(model, theta, target, delta=delta)):
        if i < n_log:
            values, bounds = np.exp(values), (float(np.exp(bounds[0])), float(np.exp(bounds[1])))
        named[names[i]] = Profile(values, statistic, (max(bounds[0], 0.0), bounds[1]))
    return named


def profiles_of(
    model: Model, theta: Array, target: Array, *, delta: float, n_point: int = 33
) -> list[tuple[Array, Array, tuple[float, float]]]:
    """Of each entry of ``theta``, where the objective is least: values, statistic and 95 % bounds."""
    predicted, assemble = model(theta[None])
    residual = predicted[0] - target
    n, p = target.size, theta.size
    none = np.zeros_like(predicted)
    inverse = np.linalg.inv(assemble(none, none + 1, none)[1][0])
    # the rise is about mean psi**2 / (2 mean psi') times chi square; psi' is counted as in `covariance`
    spread = 1.4826 * np.median(np.abs(residual)) * np.sqrt(n / (n - p))
    width = WIDTH * spread * n**-0.2
    overlap = np.minimum(residual + width, delta) - np.maximum(residual - width, -delta)
    inside = np.clip(overlap / (2 * width), 0, None).mean()
    scale = (np.clip(residual, -delta, delta) ** 2).sum() / (n - p) / inside
    least, limit = huber(residual, delta).sum(), t_quantile(n - p) ** 2

    found = []
    for i in range(p):
        steps = np.linspace(-6, 6, n_point) * np.sqrt(inverse[i, i] * scale / inside)
        rows = theta + steps[:, None] * inverse[i] / inverse[i, i]
        for factor, n_step in ((3, 30), (1, 100)):
            rows, value, _ = minimise(held(model, i), rows, target, delta=factor * delta, n_step=n_step)
        statistic = 2 * np.maximum(value - least, 0) / scale
        values, middle = theta[i] + steps, n_point // 2
        bounds = [-np.inf, np.inf]
        for side, order in enumerate((np.arange(middle, -1, -1), np.arange(middle, n_point))):
            beyond = np.flatnonzero(statistic[order] > limit)
            if beyond.size:
                near, far = order[beyond[0] - 1], order[beyond[0]]
                root = np.sqrt(statistic[[near, far]])  # close to a straight line in the value
                share = (np.sqrt(limit) - root[0]) / (root[1] - root[0])
                bounds[side] = float(values[near] + share * (values[far] - values[near]))
        found.append((values, statistic, (bounds[0], bounds[1])))
    return found
