"""Laws of scale fitted to runs, with how far the runs determine them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Generic, TypeVar

from scaling_transformers._counts import require_count
from scaling_transformers._numpy import ArrayLike, np
from scaling_transformers.accounting._inputs import require_positive
from scaling_transformers.scaling._inputs import require_runs
from scaling_transformers.scaling._solver import Array, Assemble, Model, huber, minimise
from scaling_transformers.scaling.laws import ChinchillaLaw, KaplanLaw

Law = TypeVar("Law")

N_FEW = 48  # runs on which all starts descend
N_LEADING, N_KEPT = 256, 32  # starts that go on with all the runs, and to their end
WIDTH = 1.8  # of half the box: sqrt(3) 1.06, as wide as the Gaussian of Silverman's rule
LEAST_REPLY = 1e-10  # a direction in which the loss replies less than this, relative, is undetermined


@dataclass(frozen=True)
class LawFit(Generic[Law]):
    """A law fitted to runs, and how far to trust it.

    Attributes
    ----------
    law
        The law of least objective.
    standard_error : dict of str to float
        Of each parameter, by name. Without a bootstrap from the curvature of the objective at its least (the
        delta method for parameters fitted as logarithms); with one, the standard deviation of ``samples``.
        Infinite where ``converged`` is False.
    interval : dict of str to (float, float)
        95 % interval of each parameter, by name. Without a bootstrap Student's t times the standard error,
        about the logarithm of a parameter fitted as one; with one, the 2.5 and 97.5 % quantiles of
        ``samples``. From 0 to infinity where ``converged`` is False, or from minus infinity for a parameter
        of either sign.
    converged : bool
        Whether a least value was found and the runs determine every parameter. If not, ``law`` only describes
        the runs it was fitted to, and ``message`` says what is wrong.
    message : str
        What is wrong, or "converged".
    objective : float
        Sum over runs of the Huber loss of the residuals of log loss, or of what else was fitted.
    samples : dict of str to ndarray, or None
        The parameters of every bootstrap fit, by name; None without a bootstrap. A `ChinchillaLaw` or
        `KaplanLaw` of all of them at once is ``type(fit.law)(**fit.samples)``.
    """

    law: Law
    standard_error: dict[str, float]
    interval: dict[str, tuple[float, float]]
    converged: bool
    message: str
    objective: float
    samples: dict[str, Array] | None


def fit_chinchilla(
    n_params: ArrayLike,
    n_tokens: ArrayLike,
    loss: ArrayLike,
    *,
    delta: float = 1e-3,
    n_bootstrap: int = 0,
    seed: int = 0,
) -> LawFit[ChinchillaLaw]:
    """The `ChinchillaLaw` that fits runs best: Huber loss on log loss, from 4,500 starts solved together.

    Fits the logarithms of A, B and E, and alpha and beta. Every start takes a few steps of reweighted least
    squares on some of the runs; the best go on with all of them, and the best of those to their end by damped
    Newton steps. Runs far off count by the distance, not its square, so that a few do not decide the fit.

    Parameters
    ----------
    n_params, n_tokens, loss : array_like, shape (n_run,)
        Of each run: parameters, tokens seen, final loss in nats a token. At least 8 runs, with 3 or more
        different sizes and 3 or more different numbers of tokens, which must not go in step.
    delta : float
        Residual of log loss from which on a run counts by distance. Positive.
    n_bootstrap : int
        Fits to runs drawn with replacement; 0 for errors from the curvature alone. Otherwise at least 100.
    seed : int
        Of the draws.

    Returns
    -------
    LawFit
        With ``converged`` False if the runs leave a parameter open.

    Raises
    ------
    ValueError
        If the lists differ in length, a number is not positive and finite, the runs are too few, or too much
        alike, for any law of this form, or the loss does not fall with parameters, or with tokens.

    Examples
    --------
    >>> import numpy as np
    >>> true = ChinchillaLaw(E=1.7, A=400, B=400, alpha=0.34, beta=0.28)
    >>> n, d = (a.ravel() for a in np.meshgrid(np.geomspace(1e7, 1e10, 6), np.geomspace(1e9, 1e12, 6)))
    >>> fit = fit_chinchilla(n, d, true.loss(n_params=n, n_tokens=d))
    >>> round(fit.law.alpha, 6), round(fit.law.beta, 6)
    (0.34, 0.28)

    Source: Hoffmann et al. 2022, section D.2 (objective, starts); Besiroglu et al. 2024 (bootstrap).
    """
    x, y, z = logs_of_runs(n_params, n_tokens, loss, least=8, delta=delta)
    n_bootstrap = require_bootstrap(n_bootstrap)
    theta, value, converged = best_of(
        chinchilla_model, x, y, target=z, starts=chinchilla_starts(), delta=delta
    )
    for name, slope in (("n_params", theta[3]), ("n_tokens", theta[4])):
        if slope <= 0:
            raise ValueError(f"loss must fall as {name} grows; the best fit has the exponent {-slope:.3g}")
    return summarise(
        ChinchillaLaw,
        names=("A", "B", "E", "alpha", "beta"),
        n_log=3,
        open_at=(3.0, 3.0, 3.0),
        model=chinchilla_model(x, y),
        theta=theta,
        value=value,
        found=converged,
        target=z,
        delta=delta,
        near=near_chinchilla(x, y),
        n_bootstrap=n_bootstrap,
        seed=seed,
    )


def fit_kaplan(
    n_params: ArrayLike,
    n_tokens: ArrayLike,
    loss: ArrayLike,
    *,
    delta: float = 1e-3,
    n_bootstrap: int = 0,
    seed: int = 0,
) -> LawFit[KaplanLaw]:
    """The `KaplanLaw` that fits runs best: Huber loss on log loss, from 256 starts solved together.

    As `fit_chinchilla`, with the logarithms of all four parameters fitted, and at least 7 runs.

    Parameters
    ----------
    n_params, n_tokens, loss : array_like, shape (n_run,)
        Of each run: parameters without the embedding, tokens seen, final loss in nats a token.
    delta, n_bootstrap, seed
        As in `fit_chinchilla`.

    Raises
    ------
    ValueError
        If the lists differ in length, a number is not positive and finite, or the runs are too few, or too
        much alike, for any law of this form.

    Examples
    --------
    >>> import numpy as np
    >>> true = KaplanLaw.published()
    >>> n, d = (a.ravel() for a in np.meshgrid(np.geomspace(1e6, 1e9, 5), np.geomspace(1e8, 1e11, 5)))
    >>> fit = fit_kaplan(n, d, true.loss(n_params=n, n_tokens=d))
    >>> round(fit.law.alpha_N, 6), round(fit.law.alpha_D, 6)
    (0.076, 0.103)

    Source: Kaplan et al. 2020, equation 1.5 (the law).
    """
    x, y, z = logs_of_runs(n_params, n_tokens, loss, least=7, delta=delta)
    n_bootstrap = require_bootstrap(n_bootstrap)
    theta, value, converged = best_of(kaplan_model, x, y, target=z, starts=kaplan_starts(), delta=delta)
    return summarise(
        KaplanLaw,
        names=("N_c", "D_c", "alpha_N", "alpha_D"),
        n_log=4,
        open_at=(3.0, 3.0, 0.5, 0.5),
        model=kaplan_model(x, y),
        theta=theta,
        value=value,
        found=converged,
        target=z,
        delta=delta,
        near=lambda rows: np.concatenate([rows + tilt * np.array([0, 0, 0.1, -0.1]) for tilt in (0, 1, -1)]),
        n_bootstrap=n_bootstrap,
        seed=seed,
    )


def logs_of_runs(
    n_params: ArrayLike, n_tokens: ArrayLike, loss: ArrayLike, *, least: int, delta: float
) -> tuple[Array, Array, Array]:
    """Logarithms of runs that can determine a law, or a `ValueError` that says why they cannot."""
    runs = require_runs(least=least, n_params=n_params, n_tokens=n_tokens, loss=loss)
    x, y, z = (np.log(values) for values in runs)
    require_positive(delta, name="delta")
    require_spread(n_params=x, n_tokens=y)
    if np.ptp(z) == 0:
        raise ValueError("loss must vary between the runs; got the same in each")
    return x, y, z


def chinchilla_starts() -> Array:
    """The 4,500 starts of log A, log B, log E, alpha, beta. Source: Hoffmann et al. 2022, section D.2."""
    logs, exponents = np.arange(0, 26, 5.0), np.arange(0, 2.1, 0.5)
    return np.array(list(product(logs, logs, np.arange(-1, 1.1, 0.5), exponents, exponents)))


def chinchilla_model(x: Array, y: Array) -> Model:
    """Log loss ``log(exp(a - alpha x) + exp(b - beta y) + exp(e))`` of rows a, b, e, alpha, beta.

    The derivatives of a log-sum-exp are the shares of its terms, and their sums over runs with the powers of
    ``x`` and ``y`` are matrix products: no (rows, runs, 5) array is made.
    """
    one = np.ones_like(x)
    in_x, in_y = np.stack([one, -x, x * x], axis=1), np.stack([one, -y, y * y], axis=1)
    in_both = np.stack([one, -y, -x, x * y], axis=1)
    sizes, tokens, floor = (0, 3), (1, 4), 2

    def model(theta: Array) -> tuple[Array, Assemble]:
        a, b, e, alpha, beta = theta.T[..., None]
        u, v = a - alpha * x, b - beta * y
        top = np.maximum(np.maximum(u, v), e)
        p, q, s = np.exp(u - top), np.exp(v - top), np.exp(e - top)
        total = p + q + s
        predicted = top + np.log(total)
        p, q, s = p / total, q / total, s / total

        def assemble(slope: Array, weight: Array, bend: Array) -> tuple[Array, Array]:
            gradient, hessian = np.empty((len(theta), 5)), np.empty((len(theta), 5, 5))
            gradient[:, sizes] = (slope * p) @ in_x[:, :2]
            gradient[:, tokens] = (slope * q) @ in_y[:, :2]
            gradient[:, floor] = (slope * s).sum(axis=1)

            def put(i: int, j: int, values: Array) -> None:
                hessian[:, i, j] = hessian[:, j, i] = values

            # the Hessian of a log-sum-exp is diag(shares) - shares shares'
            c = weight - bend
            cp, cq, cs = c * p, c * q, c * s
            for (i, j), share, values in ((sizes, p, in_x), (tokens, q, in_y)):
                moments = ((c * share + bend) * share) @ values
                put(i, i, moments[:, 0])
                put(i, j, moments[:, 1])
                put(j, j, moments[:, 2])
            moments = (cp * q) @ in_both
            for column, (i, j) in enumerate(product(sizes, tokens)):
                put(i, j, moments[:, column])
            for terms, cross, values in ((sizes, cp, in_x), (tokens, cq, in_y)):
                moments = (cross * s) @ values[:, :2]
                for column, i in enumerate(terms):
                    put(i, floor, moments[:, column])
            put(floor, floor, ((cs + bend) * s).sum(axis=1))
            return gradient, hessian

        return predicted, assemble

    return model


def kaplan_starts() -> Array:
    """256 starts of the logarithms of N_c, D_c, alpha_N and alpha_D."""
    scales, exponents = (10.0, 20.0, 30.0, 40.0), np.log([0.05, 0.1, 0.2, 0.4])
    return np.array(list(product(scales, scales, exponents, exponents)))


def kaplan_model(x: Array, y: Array) -> Model:
    """Log loss ``alpha_D log(e**u + e**v)``: ``u = alpha_N / alpha_D (log N_c - x)``, ``v = log D_c - y``.

    Rows are the logarithms of N_c, D_c, alpha_N, alpha_D.
    """

    def model(theta: Array) -> tuple[Array, Assemble]:
        log_n, log_d, c, g = theta.T[..., None]
        ratio, alpha = np.exp(np.clip(c - g, -50, 50)), np.exp(np.clip(g, -50, 50))
        u, v = ratio * (log_n - x), log_d - y
        total = np.logaddexp(u, v)
        share = np.exp(u - total)
        predicted = alpha * total

        def assemble(slope: Array, weight: Array, bend: Array) -> tuple[Array, Array]:
            none = np.zeros_like(u)
            du = np.stack([ratio + none, none, u, -u], axis=-1)
            dv = np.array([0.0, 1.0, 0.0, 0.0])
            inner = alpha[..., None] * (share[..., None] * du + (1 - share)[..., None] * dv)
            jacobian = inner.copy()
            jacobian[..., 3] += predicted

            def outer(factor: Array, left: Array, right: Array) -> Array:
                product_: Array = np.swapaxes(factor[..., None] * left, -1, -2) @ right
                return product_

            hessian = outer(weight, jacobian, jacobian)
            hessian += outer(bend * alpha * share * (1 - share), du - dv, du - dv)
            along = (bend[..., None] * inner).sum(axis=1)  # the derivative of alpha once more
            hessian[:, 3, :] += along
            hessian[:, :, 3] += along
            hessian[:, 3, 3] += (bend * predicted).sum(axis=1)
            pull = bend * alpha * share
            first, second = (pull * ratio).sum(axis=1), (pull * u).sum(axis=1)
            for i, j, values in (
                (0, 2, first),
                (0, 3, -first),
                (2, 2, second / 2),
                (2, 3, -second),
                (3, 3, second / 2),
            ):
                hessian[:, i, j] += values
                hessian[:, j, i] += values
            return (slope[..., None] * jacobian).sum(axis=1), hessian

        return predicted, assemble

    return model


def near_chinchilla(x: Array, y: Array) -> Callable[[Array], Array]:
    """Starts near rows of `chinchilla_model`: the rows, and both exponents a fifth smaller, a quarter larger.

    The terms stay as they were in the middle of the runs.
    """
    middle = np.array([x.mean(), y.mean()])

    def near(rows: Array) -> Array:
        tilted = [rows]
        for factor in (0.8, 1.25):
            exponents = factor * rows[:, 3:]
            logs = rows[:, :2] + (exponents - rows[:, 3:]) * middle
            tilted.append(np.concatenate([logs, rows[:, 2:3], exponents], axis=1))
        return np.concatenate(tilted)

    return near


def require_bootstrap(n_bootstrap: int) -> int:
    """``n_bootstrap`` as an int, or a `ValueError` unless 0 or enough for quantiles of 2.5 %."""
    require_count(n_bootstrap=n_bootstrap, least=0)
    if 0 < n_bootstrap < 100:
        raise ValueError(f"n_bootstrap must be 0 or at least 100; got {n_bootstrap}")
    return int(n_bootstrap)


def require_spread(**logs: Array) -> None:
    """Raise `ValueError` unless each takes 3 different values, and no line gives one from the other."""
    for name, values in logs.items():
        distinct = np.unique(values.round(9)).size
        if distinct < 3:
            raise ValueError(f"{name} must take at least 3 different values; got {distinct}")
    (first, x), (second, y) = logs.items()
    if np.linalg.svd(np.corrcoef(x, y), compute_uv=False)[-1] < 1e-8:
        raise ValueError(
            f"{first} and {second} must vary apart; here one is a power of the other in every run, "
            "and what each does to the loss cannot be told"
        )


def best_of(
    kind: Callable[..., Model], *columns: Array, target: Array, starts: Array, delta: float
) -> tuple[Array, float, bool]:
    """The parameters (p,) of least objective over ``starts``, the objective, and whether converged.

    ``kind`` makes the model of runs of their ``columns``, each (n,).

    From most starts a law is nowhere near the runs, and which of them lead somewhere shows on a few runs:
    every start descends on those, and the best go on with all of them.
    """
    few = np.random.default_rng(0).choice(target.size, min(N_FEW, target.size), replace=False)
    rows, value, _ = minimise(
        kind(*(column[few] for column in columns)),
        starts,
        target[few],
        delta=max(delta, 0.1),
        n_step=5,
        second_order=False,
    )
    model, rows = kind(*columns), rows[np.argsort(value, kind="stable")[:N_LEADING]]
    rows, _, _ = minimise(model, rows, target, delta=max(10 * delta, 1e-2), n_step=6, second_order=False)
    value = huber(model(rows)[0] - target, delta).sum(axis=1)
    rows = rows[np.argsort(value, kind="stable")[:N_KEPT]]
    rows, value, converged = tighten(model, rows, target, delta=delta)
    best = int(np.argmin(value))
    return rows[best], float(value[best]), bool(converged[best])


def tighten(
    model: Model, rows: Array, target: Array, *, delta: float, weight: Array | None = None
) -> tuple[Array, Array, Array]:
    """`minimise` from ``rows`` with 9, 3, then 1 times ``delta``.

    With a small delta the objective is all but a sum of distances, whose curvature lies in the few runs
    that are fitted best; each wider one leads near enough for Newton's steps to hold on the next.
    """
    for factor in (9, 3, 1):
        rows, value, converged = minimise(
            model, rows, target, delta=factor * delta, weight=weight, n_step=60 if factor > 1 else 200
        )
    return rows, value, converged


def bootstrap(
    model: Model,
    starts: Callable[[Array], Array],
    theta: Array,
    target: Array,
    *,
    delta: float,
    weight: Array,
) -> tuple[Array, Array]:
    """Parameters (batch, p) refitted to runs counted ``weight`` (batch, n) times, and whether converged.

    ``theta`` is (p,) or (batch, p); ``starts`` gives some starts near each of its rows, one after the other.
    """
    n_sample = len(weight)
    rows = starts(np.broadcast_to(theta, (n_sample, theta.shape[-1])))
    n_start = len(rows) // n_sample
    rows, value, converged = tighten(
        model,
        rows,
        target if target.ndim == 1 else np.tile(target, (n_start, 1)),
        delta=delta,
        weight=np.tile(weight, (n_start, 1)),
    )
    best = value.reshape(n_start, n_sample).argmin(axis=0) * n_sample + np.arange(n_sample)
    return rows[best], converged[best]


def covariance(model: Model, theta: Array, target: Array, *, delta: float) -> tuple[Array, Array]:
    """Covariance (batch, p, p) of rows at their optimum, and the least relative reply of any direction.

    The sandwich ``H^-1 (sum psi**2 J J') H^-1``, which holds where some runs scatter more than others. In the
    Hessian H a run counts by how likely its residual lies within ``delta``: each residual is spread over a
    box of the width of a density estimate, for with a small delta only a handful lie there, and which
    is mostly chance.

    Source: Huber 1967, "The behavior of maximum likelihood estimates under nonstandard conditions"; Powell
    1984, "Least absolute deviations estimation for the censored regression model" (the box).
    """
    predicted, assemble = model(theta)
    residual = predicted - target
    n, p = residual.shape[1], theta.shape[1]
    none = np.zeros_like(residual)
    _, gram = assemble(none, none + 1, none)
    size = np.sqrt(np.maximum(gram[:, np.arange(p), np.arange(p)], 1e-300))
    reply = np.linalg.eigvalsh(gram / (size[:, :, None] * size[:, None, :]))[:, 0]

    spread = 1.4826 * np.median(np.abs(residual), axis=1, keepdims=True) * np.sqrt(n / (n - p))
    width = np.maximum(WIDTH * spread * n**-0.2, 1e-300)
    overlap = np.minimum(residual + width, delta) - np.maximum(residual - width, -delta)
    inside = np.clip(overlap / (2 * width), 1e-12, None)
    psi = np.clip(residual, -delta, delta)
    _, hessian = assemble(none, inside, none)
    _, middle = assemble(none, psi**2 * (n / (n - p)), none)
    scaled = hessian / (size[:, :, None] * size[:, None, :])
    inverse = np.linalg.pinv(scaled, hermitian=True) / (size[:, :, None] * size[:, None, :])
    matrix: Array = inverse @ middle @ inverse
    return matrix, reply


def t_quantile(dof: int) -> float:
    """The 97.5 % quantile of Student's t. Source: Abramowitz & Stegun 1964, equation 26.7.5."""
    z = 1.959963984540054
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(z + sum(term / dof**power for power, term in enumerate(terms, start=1)))


def summarise(
    kind: Callable[..., Law],
    *,
    names: tuple[str, ...],
    n_log: int,
    open_at: tuple[float, ...],
    model: Model,
    theta: Array,
    value: float,
    found: bool,
    target: Array,
    delta: float,
    near: Callable[[Array], Array],
    n_bootstrap: int,
    seed: int,
    signed: tuple[str, ...] = (),
    may_vanish: tuple[str, ...] = (),
) -> LawFit[Law]:
    """The fit as handed out; in ``theta`` the first ``n_log`` parameters are logarithms.

    A logarithm is too open to report from a standard error of ``open_at`` on, another parameter if it is not
    told from 0, unless it ``may_vanish``. Those that are no logarithms are positive, but for the ``signed``.
    """

    def natural(rows: Array) -> Array:
        return np.concatenate([np.exp(np.clip(rows[..., :n_log], -700, 700)), rows[..., n_log:]], axis=-1)

    n, p = target.size, theta.size
    matrix, reply = covariance(model, theta[None], target, delta=delta)
    error = np.sqrt(np.maximum(np.diagonal(matrix[0]), 0))
    margin = t_quantile(n - p) * error
    low, high = natural(theta - margin), natural(theta + margin)
    with np.errstate(over="ignore"):  # of a parameter without bounds: infinite, and a fault below
        standard_error = np.concatenate([natural(theta)[:n_log] * error[:n_log], error[n_log:]])

    faults = [] if found else ["no least value of the objective was found"]
    if reply[0] < LEAST_REPLY:
        faults.append("the runs leave a combination of the parameters open")
    for i, name in enumerate(names):
        if i < n_log and error[i] > open_at[i]:
            faults.append(f"{name} is known to no better than a factor of {np.exp(2 * open_at[i]):.0f}")
        if i >= n_log and name not in may_vanish and low[i] <= 0 <= high[i]:
            faults.append(f"{name} is not told from 0")

    samples = None
    if n_bootstrap:
        counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_bootstrap)
        rows, settled = bootstrap(model, near, theta, target, delta=delta, weight=counts.astype(float))
        kept = [i for i in range(n_log, p) if names[i] not in may_vanish]
        settled &= (rows[:, kept] * np.sign(theta[kept]) > 0).all(axis=1)
        if settled.mean() < 0.99:
            faults.append(f"{(~settled).sum()} of {n_bootstrap} resampled fits found no law")
        drawn = natural(rows[settled])
        samples = {name: drawn[:, i].copy() for i, name in enumerate(names)}
        if not faults:
            standard_error = drawn.std(axis=0, ddof=1)
            low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    if faults:
        standard_error, high = np.full(p, np.inf), np.full(p, np.inf)
        low = np.array([-np.inf if name in signed else 0.0 for name in names])
    return LawFit(
        law=kind(**dict(zip(names, natural(theta).tolist(), strict=True))),
        standard_error=dict(zip(names, standard_error.tolist(), strict=True)),
        interval={name: (float(low[i]), float(high[i])) for i, name in enumerate(names)},
        converged=not faults,
        message="; ".join(faults) or "converged",
        objective=value,
        samples=samples,
    )
