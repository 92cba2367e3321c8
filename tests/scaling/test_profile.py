"""What the profiles of a fit promise."""

import numpy as np
import pytest

from scaling_transformers.scaling import (
    ChinchillaLaw,
    KaplanLaw,
    fit_chinchilla,
    fit_kaplan,
    profile_chinchilla,
    profile_kaplan,
)
from scaling_transformers.scaling.fits import bootstrap, chinchilla_model, near_chinchilla, t_quantile
from scaling_transformers.scaling.profile import profiles_of

TRUE = ChinchillaLaw(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)
THETA = np.array([*np.log([TRUE.A, TRUE.B, TRUE.E]), TRUE.alpha, TRUE.beta])
N, D = (a.ravel() for a in np.meshgrid(np.geomspace(4e7, 1e10, 8), np.geomspace(1e9, 1e12, 8)))
LOG_LOSS = np.log(TRUE.loss(n_params=N, n_tokens=D))


def noisy(seed, *shape):
    return LOG_LOSS + 0.005 * np.random.default_rng(seed).normal(size=(*shape, N.size))


def test_with_squares_the_bounds_are_those_of_the_f_test():
    """At a bound the least sum of squares, here by SciPy, is higher by t**2 times the variance."""
    optimize = pytest.importorskip("scipy.optimize", reason="SciPy is the peer of this test")
    z, dof = noisy(0), N.size - 5
    profile = profile_chinchilla(N, D, np.exp(z), delta=10.0)["alpha"]
    least = 2 * fit_chinchilla(N, D, np.exp(z), delta=10.0).objective
    for alpha in profile.interval:

        def residuals(free, alpha=alpha):
            a, b, e, beta = free
            return np.logaddexp(np.logaddexp(a - alpha * np.log(N), b - beta * np.log(D)), e) - z

        held = optimize.least_squares(residuals, THETA[[0, 1, 2, 4]], xtol=1e-14, ftol=1e-14, x_scale="jac")
        assert (2 * held.cost - least) / (least / dof) == pytest.approx(t_quantile(dof) ** 2, rel=0.02)


def test_the_intervals_hold_the_truth_in_about_95_of_100_data_sets():
    model, near = chinchilla_model(np.log(N), np.log(D)), near_chinchilla(np.log(N), np.log(D))
    target = noisy(1, 200)
    rows, _ = bootstrap(model, near, THETA, target, delta=1e-3, weight=np.ones_like(target))
    found = [
        profiles_of(model, theta, own, delta=1e-3, n_point=17)
        for theta, own in zip(rows, target, strict=True)
    ]
    bounds = np.array([[own for _, _, own in profiles] for profiles in found])
    held = ((bounds[..., 0] <= THETA) & (bounds[..., 1] >= THETA)).mean(axis=0)
    assert ((held >= 0.9) & (held <= 0.995)).all(), held  # 95 %, three errors of a share of 200 either way


def test_a_profile_is_least_at_the_fit_and_rises_to_both_sides():
    z = noisy(2)
    law = fit_chinchilla(N, D, np.exp(z)).law
    for name, profile in profile_chinchilla(N, D, np.exp(z)).items():
        middle = profile.values.size // 2
        assert profile.values[middle] == pytest.approx(getattr(law, name))
        assert profile.statistic[middle] == pytest.approx(0, abs=1e-6)
        assert (np.diff(profile.statistic[middle:]) > 0).all()
        assert (np.diff(profile.statistic[: middle + 1]) < 0).all()
        assert profile.interval[0] < getattr(law, name) < profile.interval[1]


def test_the_profiles_of_kaplans_law_hold_it_and_with_squares_meet_the_f_test():
    optimize = pytest.importorskip("scipy.optimize", reason="SciPy is the peer of this test")
    n, d = (a.ravel() for a in np.meshgrid(np.geomspace(1e6, 1e9, 7), np.geomspace(1e8, 2e10, 7)))
    true = KaplanLaw.published()
    z = np.log(true.loss(n_params=n, n_tokens=d)) + 0.003 * np.random.default_rng(1).normal(size=n.size)
    profiles = profile_kaplan(n, d, np.exp(z), delta=10.0)
    fit = fit_kaplan(n, d, np.exp(z), delta=10.0)
    assert list(profiles) == ["N_c", "D_c", "alpha_N", "alpha_D"]
    for name, profile in profiles.items():
        assert profile.values[profile.values.size // 2] == pytest.approx(getattr(fit.law, name))
        assert profile.interval[0] < getattr(true, name) < profile.interval[1]
        assert profile.interval == pytest.approx(fit.interval[name], rel=0.5 if "_c" in name else 0.03)
    dof = n.size - 4
    for alpha in profiles["alpha_N"].interval:

        def residuals(free, alpha=alpha):
            log_n, log_d, alpha_d = free
            terms = alpha / alpha_d * (log_n - np.log(n)), log_d - np.log(d)
            return alpha_d * np.logaddexp(*terms) - z

        start = [np.log(fit.law.N_c), np.log(fit.law.D_c), fit.law.alpha_D]
        held = optimize.least_squares(residuals, start, xtol=1e-15, ftol=1e-15, x_scale="jac")
        rise = (held.cost - fit.objective) / (fit.objective / dof)
        assert rise == pytest.approx(t_quantile(dof) ** 2, rel=0.02)


def test_runs_that_leave_a_parameter_open_have_no_profile():
    noise = np.exp(0.003 * np.random.default_rng(1).normal(size=N.size))
    with pytest.raises(ValueError, match=r"loss must determine every parameter to have a profile; .*told"):
        profile_chinchilla(N, D, (1 + 300 * N**-0.3) * noise)
    with pytest.raises(ValueError, match=r"loss must determine every parameter to have a profile"):
        profile_kaplan(N, D, (300 * N**-0.3) * noise)
