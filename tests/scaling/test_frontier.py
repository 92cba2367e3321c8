"""What the best sizes read off runs promise."""

import numpy as np
import pytest

from scaling_transformers.scaling import ChinchillaLaw, fit_envelope, fit_isoflop

LAW = ChinchillaLaw(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
EXPONENT = 0.28 / (0.34 + 0.28)  # Hoffmann et al. 2022, equation 4


def isoflop_runs(*, noise=0.0, seed=0, n_budget=8, n_size=9, width=1.0, shift=0.0):
    budgets = np.repeat(np.geomspace(1e18, 1e21, n_budget), n_size)
    steps = np.tile(np.linspace(-width, width, n_size), n_budget) + shift
    n = LAW.optimal(flops=budgets).n_params * np.exp(steps)
    loss = LAW.loss(n_params=n, n_tokens=budgets / 6 / n)
    return budgets, n, loss * np.exp(noise * np.random.default_rng(seed).normal(size=n.size))


def test_parabolas_find_the_optima_of_the_law_that_made_the_runs():
    found = fit_isoflop(*isoflop_runs(width=0.3))
    best = LAW.optimal(flops=found.flops)
    assert found.converged
    np.testing.assert_allclose(found.n_params, best.n_params, rtol=0.01)
    np.testing.assert_allclose(found.n_tokens, best.n_tokens, rtol=0.01)
    np.testing.assert_allclose(found.loss, best.loss, rtol=1e-4)
    assert found.exponent == pytest.approx(EXPONENT, abs=1e-3)
    assert found.optimal_params(flops=1e23) == pytest.approx(LAW.optimal(flops=1e23).n_params, rel=0.02)


def test_the_interval_of_the_parabolas_holds_the_exponent_in_95_of_100_data_sets():
    fits = [fit_isoflop(*isoflop_runs(noise=0.001, seed=seed)) for seed in range(1000)]
    held = np.mean([fit.interval[0] <= EXPONENT <= fit.interval[1] for fit in fits])
    assert 0.92 <= held <= 0.98


def test_a_best_size_beyond_those_tried_is_never_given_with_confidence():
    found = fit_isoflop(*isoflop_runs(width=0.5, shift=1.0))
    assert not found.converged
    assert "beyond those tried at 1e+18" in found.message
    assert found.standard_error == np.inf
    assert found.interval == (-np.inf, np.inf)


def test_runs_without_a_least_loss_are_refused():
    budgets, n, loss = isoflop_runs()
    with pytest.raises(ValueError, match=r"loss must have a least value over n_params; at 1e\+18 FLOPs"):
        fit_isoflop(budgets, n, 4 - loss)
    with pytest.raises(ValueError, match="at least 4 different budgets; got 3"):
        fit_isoflop(*isoflop_runs(n_budget=3))
    with pytest.raises(ValueError, match=r"at least 4 values at each budget; fewer at 1e\+18"):
        fit_isoflop(*isoflop_runs(n_size=3))
    with pytest.raises(ValueError, match="same length"):
        fit_isoflop(budgets, n, loss[1:])
    with pytest.raises(ValueError, match="loss must be positive and finite; got nan"):
        fit_isoflop(budgets, n, np.where(n == n.max(), np.nan, loss))


def curves(n_run=40, n_point=200):
    n = np.geomspace(1e7, 1e10, n_run)
    d = np.geomspace(1e8, 1e12, n_point) * np.ones((n_run, 1))
    return n, d, LAW.loss(n_params=n[:, None], n_tokens=d)


def test_the_envelope_of_training_curves_follows_the_optima_of_the_law():
    n, d, loss = curves()
    found = fit_envelope(n, d, loss)
    best = LAW.optimal(flops=found.flops)
    assert np.abs(np.log(found.n_params / best.n_params)).max() < np.log(n[1] / n[0])
    np.testing.assert_allclose(found.loss, best.loss, rtol=1e-3)
    assert found.exponent == pytest.approx(EXPONENT, abs=0.01)
    assert found.standard_error is None
    shuffled = np.random.default_rng(0).permutation(n.size)
    assert fit_envelope(n[shuffled], d, loss[shuffled]).exponent == pytest.approx(found.exponent, rel=1e-12)


def test_no_run_lies_below_the_envelope():
    n, d, loss = curves(n_run=12)
    found = fit_envelope(n, d, loss, n_budget=300)
    flops = 6 * n[:, None] * d
    for own, values in zip(flops, loss, strict=True):
        within = (found.flops >= own[0]) & (found.flops <= own[-1])
        curve = np.exp(np.interp(np.log(found.flops[within]), np.log(own), np.log(values)))
        assert (found.loss[within] <= curve * (1 + 1e-12)).all()


def test_curves_that_make_no_envelope_are_refused():
    n, d, loss = curves()
    with pytest.raises(ValueError, match=r"shapes .*got \(40,\), \(40, 200\) and \(40, 199\)"):
        fit_envelope(n, d, loss[:, 1:])
    with pytest.raises(ValueError, match="n_tokens must rise"):
        fit_envelope(n, d[:, ::-1], loss)
    with pytest.raises(ValueError, match="at least 4 different values; got 1"):
        fit_envelope(np.full(40, 1e8), d, loss)
    with pytest.raises(ValueError, match=r"at least 2 sizes.*got 0"):
        fit_envelope(n, d, np.broadcast_to(n[:, None] ** 0.1, d.shape) + 1e-13 * loss)
    with pytest.raises(ValueError, match="n_budget must be a whole number of at least 10"):
        fit_envelope(n, d, loss, n_budget=2)
