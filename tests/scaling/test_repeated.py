"""What the fit of repeated data promises."""

import numpy as np
import pytest

from scaling_transformers.scaling import ChinchillaLaw, DataConstrainedLaw, KaplanLaw, fit_data_constrained
from scaling_transformers.scaling.fits import bootstrap, covariance, t_quantile
from scaling_transformers.scaling.repeated import repeated_model

TRUE = DataConstrainedLaw.published()
LAW = TRUE.law
N, EPOCHS = (a.ravel() for a in np.meshgrid(np.geomspace(1e7, 1e10, 6), 2.0 ** np.arange(8)))
RUNS = {"n_params": N, "n_tokens": 1e9 * EPOCHS, "n_unique_tokens": np.full(N.shape, 1e9)}
LOSS = TRUE.loss(**RUNS)
DECAYS = ("token_decay", "param_decay")


def columns():
    enough = np.minimum(LAW.enough_params(n_tokens=1e9), N)
    return LAW.A / enough**LAW.alpha, N / enough - 1, LAW.B / RUNS["n_unique_tokens"] ** LAW.beta, EPOCHS - 1


def noisy(seed, *shape, noise=0.005):
    return LOSS * np.exp(noise * np.random.default_rng(seed).normal(size=(*shape, N.size)))


def test_decays_are_recovered_from_their_own_losses():
    fit = fit_data_constrained(**RUNS, loss=LOSS, law=LAW)
    assert fit.converged
    assert fit.law.law is LAW
    for name in DECAYS:
        assert getattr(fit.law, name) == pytest.approx(getattr(TRUE, name), rel=1e-7)


def test_the_derivatives_are_those_of_the_predictions():
    model = repeated_model(*columns(), law=LAW)
    theta = np.log([[15.387756, 5.309743], [0.3, 80.0], [1e6, 1e-3]])
    slope, weight, bend = np.random.default_rng(0).normal(size=(3, 3, N.size))
    predicted, assemble = model(theta)
    np.testing.assert_allclose(predicted[0], np.log(LOSS), rtol=1e-12)
    gradient, hessian = assemble(slope, weight, bend)
    small = 1e-4 * np.eye(2)
    jacobian = np.stack([(model(theta + h)[0] - model(theta - h)[0]) / 2e-4 for h in small], axis=-1)
    np.testing.assert_allclose(gradient, np.einsum("bn,bnp->bp", slope, jacobian), rtol=1e-5, atol=1e-9)
    bent = [model(theta + sign * h)[1](bend, weight, bend)[0] for h in small for sign in (1, -1)]
    curved = np.stack([(up - down) / 2e-4 for up, down in zip(bent[::2], bent[1::2], strict=True)], axis=-1)
    expected = np.einsum("bn,bnp,bnq->bpq", weight, jacobian, jacobian) + curved
    np.testing.assert_allclose(hessian, expected, rtol=1e-5, atol=1e-8)


def test_with_squares_the_decays_are_those_of_scipy():
    optimize = pytest.importorskip("scipy.optimize", reason="SciPy is the peer of this test")
    loss = noisy(0)

    def residuals(logs):
        return np.log(DataConstrainedLaw(LAW, *np.exp(logs)).loss(**RUNS) / loss)

    peer = optimize.least_squares(residuals, [2.0, 2.0], xtol=1e-14, ftol=1e-14)
    fit = fit_data_constrained(**RUNS, loss=loss, law=LAW, delta=10.0)
    found = np.log([fit.law.token_decay, fit.law.param_decay])
    np.testing.assert_allclose(found, peer.x, rtol=1e-6)
    assert fit.objective == pytest.approx(peer.cost, rel=1e-9)
    variance = 2 * peer.cost / (N.size - 2)
    error = np.sqrt(np.diag(np.linalg.inv(peer.jac.T @ peer.jac)) * variance) * np.exp(peer.x)
    # the same but for noise that is not taken as alike everywhere
    np.testing.assert_allclose([fit.standard_error[name] for name in DECAYS], error, rtol=0.35)


def test_intervals_hold_the_truth_in_about_95_of_100_data_sets():
    """1,000 data sets at once, each fitted as `fit_data_constrained` does from where its starts lead."""
    target = np.log(noisy(1, 1000))
    model, theta = repeated_model(*columns(), law=LAW), np.log([TRUE.token_decay, TRUE.param_decay])
    rows, converged = bootstrap(
        model, lambda rows: rows, theta, target, delta=1e-3, weight=np.ones_like(target)
    )
    assert converged.all()
    error = np.sqrt(np.diagonal(covariance(model, rows, target, delta=1e-3)[0], axis1=1, axis2=2))
    held = (np.abs(rows - theta) <= t_quantile(N.size - 2) * error).mean(axis=0)
    assert ((held >= 0.92) & (held <= 0.98)).all(), held
    fit = fit_data_constrained(**RUNS, loss=np.exp(target[7]), law=LAW)
    for i, name in enumerate(DECAYS):
        bounds = np.exp(rows[7, i] + t_quantile(N.size - 2) * error[7, i] * np.array([-1, 1]))
        assert fit.interval[name] == pytest.approx(bounds, rel=1e-3)


def test_the_bootstrap_is_of_about_the_size_of_the_errors_and_its_laws_are_one():
    plain = fit_data_constrained(**RUNS, loss=noisy(2), law=LAW)
    fit = fit_data_constrained(**RUNS, loss=noisy(2), law=LAW, n_bootstrap=200)
    for name in DECAYS:
        assert fit.standard_error[name] == pytest.approx(plain.standard_error[name], rel=0.5)
        assert fit.interval[name][0] < getattr(fit.law, name) < fit.interval[name][1]
    band = DataConstrainedLaw(LAW, **fit.samples).loss(n_params=1e9, n_tokens=1e11, n_unique_tokens=1e9)
    assert band.shape == (200,)
    assert band.std() > 0


def test_few_repeats_leave_their_decay_open():
    once = EPOCHS <= 2
    runs = {name: values[once] for name, values in RUNS.items()}
    fit = fit_data_constrained(**runs, loss=noisy(3, noise=0.01)[once], law=LAW)
    assert not fit.converged
    assert "token_decay is known to no better than a factor of 20" in fit.message
    assert fit.interval["token_decay"] == (0.0, np.inf)


def test_runs_that_cannot_tell_a_decay_are_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"^n_tokens must exceed n_unique_tokens in at least 3 runs.*got 0"):
        fit_data_constrained(**{**RUNS, "n_unique_tokens": RUNS["n_tokens"]}, loss=LOSS, law=LAW)
    with pytest.raises(ValueError, match=r"^n_params must exceed what is best for .* in at least 3.*got 0"):
        fit_data_constrained(**{**RUNS, "n_params": N / 1e4}, loss=LOSS, law=LAW)
    with pytest.raises(ValueError, match="at least 6 runs; got 5"):
        fit_data_constrained(*(values[:5] for values in RUNS.values()), LOSS[:5], law=LAW)
    for wrong in (KaplanLaw.published(), ChinchillaLaw(E=1.7, A=400, B=400, alpha=[0.3, 0.4], beta=0.3)):
        with pytest.raises(ValueError, match=r"^law must be one ChinchillaLaw"):
            fit_data_constrained(**RUNS, loss=LOSS, law=wrong)


@pytest.mark.parametrize("name", ["n_params", "n_tokens", "n_unique_tokens", "loss"])
@pytest.mark.parametrize("wrong", [0, -1, np.nan])
def test_a_run_that_is_not_positive_and_finite_is_named(name, wrong):
    runs = {**RUNS, "loss": LOSS}
    runs[name] = runs[name].copy()
    runs[name][3] = wrong
    with pytest.raises(ValueError, match=f"^{name} must be positive and finite; got {wrong}"):
        fit_data_constrained(**runs, law=LAW)
