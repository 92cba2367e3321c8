"""What the fits of laws to runs promise."""

import numpy as np
import pytest

from scaling_transformers.scaling import ChinchillaLaw, KaplanLaw, fit_chinchilla, fit_kaplan
from scaling_transformers.scaling.fits import (
    bootstrap,
    chinchilla_model,
    chinchilla_starts,
    covariance,
    kaplan_model,
    near_chinchilla,
    t_quantile,
)

TRUE = ChinchillaLaw(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)
NAMES = ("A", "B", "E", "alpha", "beta")


def grid(n_size=8, n_length=8):
    sizes, lengths = np.geomspace(4e7, 1e10, n_size), np.geomspace(1e9, 1e12, n_length)
    return (values.ravel() for values in np.meshgrid(sizes, lengths))


def noisy_runs(*, noise=0.005, seed=0, **sizes):
    n, d = grid(**sizes)
    return (
        n,
        d,
        TRUE.loss(n_params=n, n_tokens=d) * np.exp(noise * np.random.default_rng(seed).normal(size=n.size)),
    )


@pytest.fixture(scope="module")
def published_runs(all_published_runs):
    """The runs of Hoffmann et al. 2022, figure 4, less the 5 of highest loss, as Besiroglu et al. fit."""
    table = all_published_runs[np.argsort(all_published_runs["loss"])[:-5]]
    return table["n_params"], table["n_tokens"], table["loss"]


def objective(theta, n, d, loss, delta=1e-3):
    """The objective of Hoffmann et al. 2022, section D.2, and its gradient by the chain rule."""
    a, b, e, alpha, beta = theta
    terms = np.stack([a - alpha * np.log(n), b - beta * np.log(d), np.full(n.shape, e)])
    residual = np.logaddexp.reduce(terms) - np.log(loss)
    shares = np.exp(terms - np.logaddexp.reduce(terms))
    psi = np.clip(residual, -delta, delta)
    value = np.where(np.abs(residual) <= delta, residual**2 / 2, delta * (np.abs(residual) - delta / 2)).sum()
    gradient = [
        psi @ shares[0],
        psi @ shares[1],
        psi @ shares[2],
        -psi @ (shares[0] * np.log(n)),
        -psi @ (shares[1] * np.log(d)),
    ]
    return value, np.array(gradient)


def vector(law):
    return np.array([np.log(law.A), np.log(law.B), np.log(law.E), law.alpha, law.beta])


def test_a_law_is_recovered_from_its_own_losses():
    n, d = grid()
    fit = fit_chinchilla(n, d, TRUE.loss(n_params=n, n_tokens=d))
    assert fit.converged
    assert fit.message == "converged"
    assert fit.samples is None
    for name in NAMES:
        assert getattr(fit.law, name) == pytest.approx(getattr(TRUE, name), rel=1e-8)


def test_a_tenth_of_the_runs_far_off_leaves_the_law_within_its_interval():
    n, d, loss = noisy_runs(noise=0.002)
    loss[::10] *= 1.3
    fit = fit_chinchilla(n, d, loss)
    assert fit.converged
    for name in NAMES:
        low, high = fit.interval[name]
        assert low < getattr(TRUE, name) < high


@pytest.mark.parametrize("delta", [1e-3, 1e-2, 1.0])
def test_no_start_of_scipy_finds_a_lower_objective(delta):
    optimize = pytest.importorskip("scipy.optimize", reason="SciPy is the peer of this test")
    n, d, loss = noisy_runs(noise=0.01, seed=3)
    fit = fit_chinchilla(n, d, loss, delta=delta)
    value, gradient = objective(vector(fit.law), n, d, loss, delta)
    assert fit.objective == pytest.approx(value, rel=1e-9)
    assert np.abs(gradient).max() < 1e-4 * np.abs(objective(vector(TRUE), n, d, loss, delta)[1]).max()
    starts = np.random.default_rng(0).permutation(chinchilla_starts())[:20]
    peers = [
        optimize.minimize(
            objective,
            start,
            args=(n, d, loss, delta),
            jac=True,
            method="L-BFGS-B",
            options={"ftol": 1e-15, "gtol": 1e-12, "maxiter": 2000, "maxfun": 4000},
        )
        for start in starts
    ]
    best = min(peers, key=lambda peer: peer.fun)
    assert fit.objective <= best.fun * (1 + 1e-9)
    np.testing.assert_allclose(vector(fit.law), best.x, rtol=1e-4)


def test_there_are_4500_starts_none_twice():
    assert np.unique(chinchilla_starts(), axis=0).shape == (4500, 5)


@pytest.mark.parametrize(
    ("model_of", "theta", "law"),
    [
        (chinchilla_model, vector(TRUE), TRUE),
        (kaplan_model, np.log([6.4e13, 1.8e13, 0.076, 0.103]), KaplanLaw.published()),
    ],
)
def test_the_derivatives_are_those_of_the_predictions(model_of, theta, law):
    n, d, _ = noisy_runs()
    model = model_of(np.log(n), np.log(d))
    theta = theta + np.array([[0], [0.1]]) * np.linspace(-1, 1, theta.size)
    slope, weight, bend = np.random.default_rng(0).normal(size=(3, 2, n.size))
    predicted, assemble = model(theta)
    np.testing.assert_allclose(predicted[0], np.log(law.loss(n_params=n, n_tokens=d)), rtol=1e-12)
    gradient, hessian = assemble(slope, weight, bend)
    small = 1e-5 * np.eye(theta.shape[1])
    jacobian = np.stack([(model(theta + h)[0] - model(theta - h)[0]) / 2e-5 for h in small], axis=-1)
    np.testing.assert_allclose(gradient, np.einsum("bn,bnp->bp", slope, jacobian), rtol=1e-6)
    bent = [model(theta + sign * h)[1](bend, weight, bend)[0] for h in small for sign in (1, -1)]
    curved = np.stack([(up - down) / 2e-5 for up, down in zip(bent[::2], bent[1::2], strict=True)], axis=-1)
    expected = np.einsum("bn,bnp,bnq->bpq", weight, jacobian, jacobian) + curved
    np.testing.assert_allclose(hessian, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_a_kaplan_law_is_recovered_within_its_intervals():
    n, d = np.meshgrid(np.geomspace(1e6, 1e9, 7), np.geomspace(1e8, 2e10, 7))
    true = KaplanLaw.published()
    noise = np.exp(0.003 * np.random.default_rng(0).normal(size=49))
    fit = fit_kaplan(n.ravel(), d.ravel(), true.loss(n_params=n, n_tokens=d).ravel() * noise, n_bootstrap=200)
    assert fit.converged
    for name in ("N_c", "D_c", "alpha_N", "alpha_D"):
        low, high = fit.interval[name]
        assert low < getattr(true, name) < high
        assert 0 < fit.standard_error[name] < getattr(true, name)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("heavy", [False, True], ids=["normal", "student"])
def test_intervals_hold_the_truth_in_95_of_100_data_sets(seed, heavy):
    """1,000 data sets at once, each fitted as `fit_chinchilla` does from where its starts lead."""
    n, d = grid()
    model, theta = chinchilla_model(np.log(n), np.log(d)), vector(TRUE)
    generator = np.random.default_rng(seed)
    noise = generator.standard_t(3, size=(1000, n.size)) if heavy else generator.normal(size=(1000, n.size))
    target = np.log(TRUE.loss(n_params=n, n_tokens=d)) + 0.005 * noise
    rows, converged = bootstrap(
        model, near_chinchilla(np.log(n), np.log(d)), theta, target, delta=1e-3, weight=np.ones_like(target)
    )
    assert converged.all()
    error = np.sqrt(np.diagonal(covariance(model, rows, target, delta=1e-3)[0], axis1=1, axis2=2))
    held = (np.abs(rows - theta) <= t_quantile(n.size - 5) * error).mean(axis=0)
    assert ((held >= 0.92) & (held <= 0.98)).all(), dict(zip(NAMES, held, strict=True))


def test_a_single_fit_has_the_interval_that_the_coverage_is_measured_of():
    n, d, loss = noisy_runs(seed=5)
    fit = fit_chinchilla(n, d, loss)
    model, theta = chinchilla_model(np.log(n), np.log(d)), vector(fit.law)
    error = np.sqrt(np.diag(covariance(model, theta[None], np.log(loss), delta=1e-3)[0][0]))
    margin = t_quantile(n.size - 5) * error
    for i, name in enumerate(NAMES):
        bounds = theta[i] - margin[i], theta[i] + margin[i]
        assert fit.interval[name] == pytest.approx(np.exp(bounds) if i < 3 else bounds, rel=1e-9)
    assert fit.standard_error["alpha"] == pytest.approx(error[3])
    assert fit.standard_error["A"] == pytest.approx(error[0] * fit.law.A)


def test_students_quantile_is_the_tabled_one():
    tabled = {3: 3.182, 5: 2.571, 10: 2.228, 30: 2.042, 120: 1.980}  # any table of Student's t, two-sided 5 %
    for dof, quantile in tabled.items():
        assert t_quantile(dof) == pytest.approx(quantile, abs=1.2e-2 if dof < 5 else 1e-3)


def test_the_bootstrap_is_that_of_runs_drawn_one_by_one():
    """Each resample, refitted alone by `fit_chinchilla` from all its starts, gives the same law."""
    n, d, loss = noisy_runs(seed=2)
    fit = fit_chinchilla(n, d, loss, n_bootstrap=100, seed=7)
    counts = np.random.default_rng(7).multinomial(n.size, np.full(n.size, 1 / n.size), size=100)
    for sample in (0, 57):
        drawn = np.repeat(np.arange(n.size), counts[sample])
        alone = fit_chinchilla(n[drawn], d[drawn], loss[drawn]).law
        for name in NAMES:
            assert fit.samples[name][sample] == pytest.approx(getattr(alone, name), rel=1e-4)
    for name in NAMES:
        assert fit.standard_error[name] == pytest.approx(fit.samples[name].std(ddof=1))
        assert fit.interval[name] == pytest.approx(np.quantile(fit.samples[name], [0.025, 0.975]))
    band = ChinchillaLaw(**fit.samples).loss(n_params=1e11, n_tokens=2e12)
    assert band.shape == fit.samples["E"].shape


def test_the_seed_decides_the_draws():
    runs = noisy_runs()
    first, again, other = (fit_chinchilla(*runs, n_bootstrap=100, seed=seed) for seed in (1, 1, 2))
    assert (first.samples["A"] == again.samples["A"]).all()
    assert not (first.samples["A"] == other.samples["A"]).any()


def test_the_published_refit_is_reproduced_with_its_standard_errors(published_runs):
    """Besiroglu et al. 2024: the values, the standard errors and the 95 % intervals of their bootstrap."""
    fit = fit_chinchilla(*published_runs, n_bootstrap=1000)
    published = {
        "A": (482.01, 124.5, (285, 744)),
        "B": (2085.43, 1293.3, (1042, 5810)),
        "E": (1.8172, 0.026, (1.769, 1.871)),
        "alpha": (0.3478, 0.015, (0.317, 0.373)),
        "beta": (0.3658, 0.021, (0.331, 0.415)),
    }
    assert fit.converged
    for name, (value, error, interval) in published.items():
        # theirs stopped where L-BFGS-B does by default: a little above the least objective
        assert abs(getattr(fit.law, name) - value) < 0.1 * error
        assert fit.standard_error[name] == pytest.approx(error, rel=0.15)
        for ours, theirs in zip(fit.interval[name], interval, strict=True):
            assert abs(ours - theirs) < 0.25 * error
    theirs = np.array([np.log(482.01), np.log(2085.43), np.log(1.8172), 0.3478, 0.3658])
    assert fit.objective < objective(theirs, *published_runs)[0]


@pytest.mark.parametrize(
    ("law", "words"),
    [
        (lambda n, d: np.full(n.shape, 2.0), "loss must vary"),
        (lambda n, d: 2 * n**0.1 + d**-0.1, "loss must fall as n_params grows"),
        (lambda n, d: 300 * n**-0.3 + d**0.03, "loss must fall as n_tokens grows"),
    ],
)
def test_a_loss_that_scale_does_not_lower_is_refused(law, words):
    n, d = grid()
    with pytest.raises(ValueError, match=words):
        fit_chinchilla(n, d, law(n, d))


@pytest.mark.parametrize(
    "law",
    [
        lambda n, d: 1 + 300 * n**-0.3,  # tokens do nothing
        lambda n, d: KaplanLaw.published().loss(n_params=n, n_tokens=d),  # no floor, not a sum
    ],
)
@pytest.mark.parametrize("n_bootstrap", [0, 100])
def test_a_parameter_that_the_runs_leave_open_is_never_given_with_confidence(law, n_bootstrap):
    n, d = grid()
    noise = np.exp(0.003 * np.random.default_rng(1).normal(size=n.size))
    fit = fit_chinchilla(n, d, law(n, d) * noise, n_bootstrap=n_bootstrap)
    assert not fit.converged
    assert "known to no better" in fit.message or "not told from 0" in fit.message
    assert set(fit.standard_error.values()) == {np.inf}
    assert set(fit.interval.values()) == {(0.0, np.inf)}


@pytest.mark.parametrize("name", ["n_params", "n_tokens", "loss"])
@pytest.mark.parametrize("wrong", [0, -1, np.nan, np.inf])
def test_a_run_that_is_not_positive_and_finite_is_named(name, wrong):
    runs = dict(zip(("n_params", "n_tokens", "loss"), noisy_runs(), strict=True))
    runs[name][3] = wrong
    with pytest.raises(ValueError, match=f"^{name} must be positive and finite; got {wrong}"):
        fit_chinchilla(**runs)


def test_runs_that_cannot_determine_a_law_are_refused_with_the_reason():
    n, d, loss = noisy_runs()
    with pytest.raises(
        ValueError, match=r"same length; got shapes n_params \(64,\), n_tokens \(64,\), loss \(63,\)"
    ):
        fit_chinchilla(n, d, loss[:-1])
    with pytest.raises(ValueError, match="at least 8 runs; got 7"):
        fit_chinchilla(n[:7], d[:7], loss[:7])
    with pytest.raises(ValueError, match="same length"):
        fit_chinchilla(n.reshape(8, 8), d.reshape(8, 8), loss.reshape(8, 8))
    with pytest.raises(ValueError, match="n_params must take at least 3 different values; got 2"):
        fit_chinchilla(np.where(n > 1e9, 2e9, 1e8), d, loss)
    with pytest.raises(ValueError, match="n_tokens must take at least 3 different values; got 1"):
        fit_chinchilla(n, np.full(n.shape, 1e10), loss)
    with pytest.raises(ValueError, match="n_params and n_tokens must vary apart"):
        fit_chinchilla(n, 20 * n, loss)


@pytest.mark.parametrize("wrong", [0, -1e-3, np.nan, "a"])
def test_a_delta_that_is_not_positive_is_named(wrong):
    with pytest.raises(ValueError, match=r"^delta must be a positive finite number"):
        fit_chinchilla(*noisy_runs(), delta=wrong)


@pytest.mark.parametrize("wrong", [-1, 1, 99, 10.0, True])
def test_a_bootstrap_too_small_for_its_quantiles_is_named(wrong):
    with pytest.raises(ValueError, match=r"^n_bootstrap must be"):
        fit_chinchilla(*noisy_runs(), n_bootstrap=wrong)


@pytest.mark.parametrize("fit_law", [fit_chinchilla, fit_kaplan])
@pytest.mark.parametrize("seed", range(6))
def test_runs_without_a_law_give_an_error_or_a_flag_but_no_nan(fit_law, seed):
    generator = np.random.default_rng(seed)
    n, d, loss = 10 ** generator.uniform([[-2], [-2], [-5]], [[12], [12], [5]], size=(3, 30))
    try:
        fit = fit_law(n, d, loss, n_bootstrap=100 * (seed % 2))
    except ValueError as error:
        message = str(error)
    else:
        message = fit.message
        assert set(fit.standard_error.values()) == {np.inf}
        assert np.isfinite([fit.objective, *vars(fit.law).values()]).all()
    assert message != "converged"
