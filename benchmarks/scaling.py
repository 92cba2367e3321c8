"""Speed of the fits of laws of scale beside SciPy, and how often intervals hold. Run by ``make bench``.

The peer minimises the same objective, with the same gradient, from one start after the other. L-BFGS-B stops
by default a little above the least objective, so it runs twice: by default, and on until it agrees with
ours to four digits or better. Each is timed over every 90th start and scaled up to all of them.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter

import numpy as np
from harness import header, interleaved, row
from scipy.optimize import minimize

from scaling_transformers.scaling import ChinchillaLaw, fit_chinchilla
from scaling_transformers.scaling.fits import (
    bootstrap,
    chinchilla_model,
    chinchilla_starts,
    covariance,
    near_chinchilla,
    t_quantile,
)

TRUE = ChinchillaLaw(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)  # Besiroglu et al. 2024
THETA = np.array([np.log(TRUE.A), np.log(TRUE.B), np.log(TRUE.E), TRUE.alpha, TRUE.beta])
N_RUN, DELTA, EVERY = 240, 1e-3, 90
TIGHT = {"ftol": 1e-15, "gtol": 1e-12, "maxiter": 2000, "maxfun": 10_000}


def runs(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """240 runs of budgets from 1e18 to 1e22 FLOPs, and the logarithms of their losses."""
    flops = np.exp(generator.uniform(np.log(1e18), np.log(1e22), N_RUN))
    n_params = np.sqrt(flops / 120) * np.exp(generator.uniform(-1.5, 1.5, N_RUN))
    n_tokens = flops / 6 / n_params
    return n_params, n_tokens, np.log(TRUE.loss(n_params=n_params, n_tokens=n_tokens))


def objective(theta: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[float, np.ndarray]:
    a, b, e, alpha, beta = theta
    u, v = a - alpha * x, b - beta * y
    top = np.maximum(np.maximum(u, v), e)
    p, q, s = np.exp(u - top), np.exp(v - top), np.exp(e - top)
    total = p + q + s
    residual = top + np.log(total) - z
    psi = np.clip(residual, -DELTA, DELTA)
    shared = psi / total
    gradient = np.array([shared @ p, shared @ q, shared @ s, -(shared * p) @ x, -(shared * q) @ y])
    return float((psi * (residual - psi / 2)).sum()), gradient


def from_each(starts: np.ndarray, data: tuple[np.ndarray, ...], options: dict[str, float]) -> np.ndarray:
    """The best end of L-BFGS-B over ``starts``, one after the other."""
    ends = [
        minimize(objective, start, args=data, jac=True, method="L-BFGS-B", options=options)
        for start in starts
    ]
    best: np.ndarray = min(ends, key=lambda end: end.fun).x
    return best


def coverage(intervals: np.ndarray) -> str:
    """Share of the data sets, of 5 parameters each, whose interval (data set, 2, 5) holds the truth."""
    held = ((intervals[:, 0] <= THETA) & (intervals[:, 1] >= THETA)).mean(axis=0)
    return "  ".join(f"{name} {100 * share:.1f} %" for name, share in zip("ABE", held, strict=False)) + (
        f"  alpha {100 * held[3]:.1f} %  beta {100 * held[4]:.1f} %"
    )


def main() -> None:
    generator = np.random.default_rng(0)
    n, d, exact = runs(generator)
    data = np.log(n), np.log(d), exact + 0.005 * generator.standard_t(3, size=N_RUN)
    loss = np.exp(data[2])
    starts = chinchilla_starts()
    sample = generator.permutation(starts)[::EVERY]
    header(f"Fit of {N_RUN} runs from {len(starts)} starts, delta {DELTA}; ratio = speed, peer's time / ours")
    for name, options in (("stopping by default", {}), ("to the same optimum", TIGHT)):
        pairs = interleaved(partial(fit_chinchilla, n, d, loss), partial(from_each, sample, data, options))
        pairs[:, 1] *= len(starts) / len(sample)
        ours, peer = np.median(pairs, axis=0)
        row(
            f"fit, peer: L-BFGS-B {name}",
            f"{ours:.2f} s",
            f"{peer:.0f} s",
            pairs[:, 1] / pairs[:, 0],
            ">= 50",
        )
    fit = fit_chinchilla(n, d, loss)
    found = np.array([*np.log([fit.law.A, fit.law.B, fit.law.E]), fit.law.alpha, fit.law.beta])
    best = from_each(sample, data, TIGHT)
    apart = np.abs(found / best - 1).max()
    print(f"largest relative difference of a fitted parameter from the peer's: {apart:.1e}")
    print(
        f"objective above the peer's: {fit.objective - objective(best, *data)[0]:.1e} of {fit.objective:.3e}"
    )
    times = []
    for _ in range(3):
        start = perf_counter()
        fit_chinchilla(n, d, loss, n_bootstrap=1000)
        times.append(perf_counter() - start)
    row("fit and 1,000 bootstrap fits", f"{np.median(times):.1f} s", "", np.array(times), "<= 10", " s")

    print("\nShare of 95 % intervals that hold the true parameter, wanted 92 to 98 %")
    model, near = chinchilla_model(*data[:2]), near_chinchilla(*data[:2])
    for noise in ("normal", "Student's t of 3"):
        shape = 1000, N_RUN
        errors = generator.normal(size=shape) if noise == "normal" else generator.standard_t(3, size=shape)
        target = exact + 0.005 * errors
        rows, _ = bootstrap(model, near, THETA, target, delta=DELTA, weight=np.ones(shape))
        matrix, _ = covariance(model, rows, target, delta=DELTA)
        margin = t_quantile(N_RUN - 5) * np.sqrt(np.diagonal(matrix, axis1=1, axis2=2))
        print(f"curvature, 1000 data sets, {noise}: {coverage(np.stack([rows - margin, rows + margin], 1))}")
        intervals = []
        for own, theta in zip(target[:300], rows, strict=False):
            counts = generator.multinomial(N_RUN, np.full(N_RUN, 1 / N_RUN), size=200).astype(float)
            drawn, _ = bootstrap(model, near, theta, own, delta=DELTA, weight=counts)
            intervals.append(np.quantile(drawn, [0.025, 0.975], axis=0))
        print(f"bootstrap, 300 data sets, {noise}: {coverage(np.array(intervals))}", flush=True)


if __name__ == "__main__":
    main()
