"""Robust nonlinear fits, many at once: one damped Newton iteration over a batch of parameter vectors.

All fits of this package minimise a Huber loss of residuals of log loss, from many starts or for many
resampled sets of runs. Each of these is a row of a batch, and one iteration moves all rows with a handful of
NumPy calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from scaling_transformers._numpy import np

Array: TypeAlias = np.ndarray
# slope, weight, bend, each (batch, n) -> sum of slope * gradient, (batch, p), and
# of weight * gradient gradient' + bend * Hessian, (batch, p, p), of the model over its n points
Assemble: TypeAlias = Callable[[Array, Array, Array], tuple[Array, Array]]
# parameters (batch, p) -> predictions (batch, n) and how to assemble their derivatives
Model: TypeAlias = Callable[[Array], tuple[Array, Assemble]]

CHUNK = 50_000  # residuals worked on together: all that they need then stays in the processor's cache


def huber(residual: Array, delta: float) -> Array:
    """``r**2 / 2`` up to ``delta``, and the straight line that continues it beyond."""
    small = np.minimum(np.abs(residual), delta)
    value: Array = small * (np.abs(residual) - small / 2)
    return value


def held(model: Model, *entries: int) -> Model:
    """``model`` with some entries of its parameters kept where each row starts."""
    kept = list(entries)

    def of_rows(theta: Array) -> tuple[Array, Assemble]:
        predicted, assemble = model(theta)

        def without(slope: Array, weight: Array, bend: Array) -> tuple[Array, Array]:
            gradient, hessian = assemble(slope, weight, bend)
            gradient[:, kept] = 0
            hessian[:, kept, :] = hessian[:, :, kept] = 0
            hessian[:, kept, kept] = np.trace(hessian, axis1=1, axis2=2)[:, None]
            return gradient, hessian

        return predicted, without

    return of_rows


def minimise(
    model: Model,
    starts: Array,
    target: Array,
    *,
    delta: float,
    weight: Array | None = None,
    n_step: int = 100,
    second_order: bool = True,
) -> tuple[Array, Array, Array]:
    """Rows (batch, p) of least ``sum(weight * huber(model - target))``, these sums, and which converged.

    Damped Newton steps (Levenberg and Marquardt's damping): a row's step that does not lower its sum is
    refused, and the row's next step is shorter. Without ``second_order`` the curvature is that of the
    quadratic which touches each Huber term from above (reweighted least squares): slower near the end, but
    from far away every step is downhill. ``target`` and ``weight`` are (n,) or (batch, n).

    A row has converged when the decrease that its next step promises is below 1e-9 of its sum.
    """
    parts, length = [], max(CHUNK // target.shape[-1], 1)
    for first in range(0, len(starts), length):
        rows = slice(first, first + length)
        parts.append(
            _minimise(
                model,
                starts[rows],
                target if target.ndim == 1 else target[rows],
                delta=delta,
                weight=weight if weight is None or weight.ndim == 1 else weight[rows],
                n_step=n_step,
                second_order=second_order,
            )
        )
    theta, value, converged = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return theta, value, converged


def _minimise(
    model: Model,
    starts: Array,
    target: Array,
    *,
    delta: float,
    weight: Array | None,
    n_step: int,
    second_order: bool,
) -> tuple[Array, Array, Array]:
    def evaluate(theta: Array, rows: Array) -> tuple[Array, Array, Array]:
        predicted, assemble = model(theta)
        residual = predicted - (target if target.ndim == 1 else target[rows])
        size = np.abs(residual)
        inside = np.minimum(size, delta)
        value = inside * (size - inside / 2)
        slope = np.copysign(inside, residual)
        curvature = (size <= delta).astype(float) if second_order else inside / np.maximum(size, 1e-300)
        if weight is not None:
            own = weight if weight.ndim == 1 else weight[rows]
            value, slope, curvature = value * own, slope * own, curvature * own
        # with no point within delta a row lies on a slope without curvature, and no damping shortens its step
        bare = ~curvature.any(axis=1)
        curvature[bare] = np.abs(slope[bare]) / np.maximum(size[bare], 1e-300)
        bend = slope if second_order else np.zeros_like(slope)
        return value.sum(axis=1), *assemble(slope, curvature, bend)

    n, p = starts.shape
    theta, converged, damping = starts.copy(), np.zeros(n, dtype=bool), np.full(n, 1e-3)
    value, gradient, hessian = evaluate(theta, np.arange(n))
    diagonal = np.arange(p)
    least = 1e-26 * target.shape[-1]  # residuals of rounding alone
    for _ in range(n_step):
        rows = np.flatnonzero(~converged)
        if not rows.size:
            break
        scale = np.abs(hessian[rows][:, diagonal, diagonal])
        scale = np.maximum(scale, 1e-10 * scale.max(axis=1, keepdims=True) + 1e-30)
        damped = hessian[rows]
        damped[:, diagonal, diagonal] += damping[rows, None] * scale
        step = -np.linalg.solve(damped, gradient[rows][..., None])[..., 0]
        downhill = -(gradient[rows] * step).sum(axis=1)
        settled = (np.abs(downhill) <= 1e-9 * value[rows] + least) & (damping[rows] < 1)
        converged[rows[settled]] = True
        step /= np.maximum(np.abs(step).max(axis=1, keepdims=True) / 4, 1)  # of logs: a factor of 50 is far

        trial = theta[rows] + step
        new_value, new_gradient, new_hessian = evaluate(trial, rows)
        better = new_value < value[rows]
        taken, refused = rows[better], rows[~better]
        theta[taken], value[taken] = trial[better], new_value[better]
        gradient[taken], hessian[taken] = new_gradient[better], new_hessian[better]
        damping[taken] = np.maximum(damping[taken] / 5, 1e-12)
        damping[refused] = np.minimum(damping[refused] * 8 + 1e-8, 1e12)
    return theta, value, converged
