"""What the fit of saturating and broken power laws promises."""

import numpy as np
import pytest

from scaling_transformers.scaling import BrokenPowerLaw, fit_broken
from scaling_transformers.scaling.broken import broken_model
from scaling_transformers.scaling.fits import bootstrap, covariance, t_quantile

X = np.geomspace(1e3, 1e9, 40)
TRUTH = {"scale": 40.0, "floor": 1.5, "at": 1e6, "width": 0.8, "exponent": 0.2, "change": 0.25}
KINDS = [(n_break, floor) for n_break in (0, 1) for floor in (None, 1.5, 0.0)]


def law_of(n_break, floor):
    breaks = ((TRUTH["at"], TRUTH["change"], TRUTH["width"]),) * n_break
    return BrokenPowerLaw(floor=1.5 if floor is None else floor, scale=40.0, exponent=0.2, breaks=breaks)


def names_of(n_break, floor):
    left_out = (("at", "width", "change") if not n_break else ()) + (() if floor is None else ("floor",))
    return [name for name in TRUTH if name not in left_out]


def theta_of(n_break, floor):
    logs = ("scale", "floor", "at", "width")
    return np.array(
        [np.log(TRUTH[name]) if name in logs else TRUTH[name] for name in names_of(n_break, floor)]
    )


def noisy(law, seed, *shape, noise=0.005):
    return law.value(x=X) * np.exp(noise * np.random.default_rng(seed).normal(size=(*shape, X.size)))


@pytest.mark.parametrize(("n_break", "floor"), KINDS)
def test_a_law_is_recovered_from_its_own_values(n_break, floor):
    law = law_of(n_break, floor)
    fit = fit_broken(X, law.value(x=X), n_break=n_break, floor=floor)
    assert fit.converged, fit.message
    assert list(fit.interval) == names_of(n_break, floor)
    assert (fit.law.floor, fit.law.scale, fit.law.exponent) == pytest.approx(
        (law.floor, law.scale, law.exponent), rel=1e-5
    )
    assert len(fit.law.breaks) == n_break
    for found, true in zip(fit.law.breaks, law.breaks, strict=True):
        assert found == pytest.approx(true, rel=1e-4)


@pytest.mark.parametrize(("n_break", "floor"), KINDS)
def test_the_derivatives_are_those_of_the_predictions(n_break, floor):
    model = broken_model(np.log(X), n_break=n_break, floor=floor)
    theta = theta_of(n_break, floor) + np.array([[0.0], [0.2]])
    slope, weight, bend = np.random.default_rng(0).normal(size=(3, 2, X.size))
    predicted, assemble = model(theta)
    np.testing.assert_allclose(predicted[0], np.log(law_of(n_break, floor).value(x=X)), rtol=1e-12)
    gradient, hessian = assemble(slope, weight, bend)
    small = 1e-5 * np.eye(theta.shape[1])
    jacobian = np.stack([(model(theta + h)[0] - model(theta - h)[0]) / 2e-5 for h in small], axis=-1)
    np.testing.assert_allclose(gradient, np.einsum("bn,bnp->bp", slope, jacobian), rtol=1e-5, atol=1e-8)
    bent = [model(theta + sign * h)[1](bend, weight, bend)[0] for h in small for sign in (1, -1)]
    curved = np.stack([(up - down) / 2e-5 for up, down in zip(bent[::2], bent[1::2], strict=True)], axis=-1)
    expected = np.einsum("bn,bnp,bnq->bpq", weight, jacobian, jacobian) + curved
    np.testing.assert_allclose(hessian, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize(("n_break", "floor"), [(0, None), (1, None), (1, 0.0)])
def test_with_squares_no_start_of_scipy_finds_less(n_break, floor):
    optimize = pytest.importorskip("scipy.optimize", reason="SciPy is the peer of this test")
    value = noisy(law_of(n_break, floor), 0)
    fit = fit_broken(X, value, n_break=n_break, floor=floor, delta=10.0)

    def residuals(theta):
        logs = dict(zip(names_of(n_break, floor), theta, strict=True))
        power = np.exp(logs["scale"] - logs["exponent"] * np.log(X))
        if n_break:
            width = np.exp(logs["width"])
            power = power * (1 + (X / np.exp(logs["at"])) ** (1 / width)) ** (-logs["change"] * width)
        return np.log(power + (np.exp(logs["floor"]) if floor is None else floor)) - np.log(value)

    peer = optimize.least_squares(residuals, theta_of(n_break, floor), xtol=1e-14, ftol=1e-14, x_scale="jac")
    assert fit.objective == pytest.approx(peer.cost, rel=1e-7)
    exponent = names_of(n_break, floor).index("exponent")
    assert fit.law.exponent == pytest.approx(peer.x[exponent], rel=1e-3)


@pytest.mark.parametrize(("n_break", "floor"), [(0, None), (0, 1.5), (1, None), (1, 1.5)])
def test_intervals_hold_the_truth_in_about_95_of_100_data_sets(n_break, floor):
    """400 data sets at once, each fitted as `fit_broken` does from where its starts lead."""
    target = np.log(noisy(law_of(n_break, floor), 1, 400))
    model, theta = broken_model(np.log(X), n_break=n_break, floor=floor), theta_of(n_break, floor)
    rows, converged = bootstrap(
        model, lambda rows: rows, theta, target, delta=1e-3, weight=np.ones_like(target)
    )
    assert converged.mean() > 0.98
    error = np.sqrt(np.diagonal(covariance(model, rows, target, delta=1e-3)[0], axis1=1, axis2=2))
    held = (np.abs(rows - theta) <= t_quantile(X.size - theta.size) * error).mean(axis=0)
    # 95 %, and four errors of a share of 400 either way
    assert ((held >= 0.905) & (held <= 0.995)).all(), dict(zip(names_of(n_break, floor), held, strict=True))
    fit = fit_broken(X, np.exp(target[3]), n_break=n_break, floor=floor)
    assert fit.law.exponent == pytest.approx(rows[3, names_of(n_break, floor).index("exponent")], rel=1e-3)


def test_a_bootstrap_gives_its_quantiles():
    fit = fit_broken(X, noisy(law_of(0, None), 2), n_break=0, n_bootstrap=200)
    assert fit.converged
    for name in ("scale", "floor", "exponent"):
        assert fit.interval[name] == pytest.approx(np.quantile(fit.samples[name], [0.025, 0.975]))
        assert fit.interval[name][0] < TRUTH[name] < fit.interval[name][1]


def test_a_curve_that_rises_has_a_negative_exponent_told_from_0():
    value = noisy(BrokenPowerLaw(floor=0.0, scale=2.0, exponent=-0.1), 3)
    for n_bootstrap in (0, 100):
        fit = fit_broken(X, value, n_break=0, floor=0.0, n_bootstrap=n_bootstrap)
        assert fit.converged, fit.message
        assert fit.interval["exponent"][0] < -0.1 < fit.interval["exponent"][1] < 0


def test_a_flat_start_before_a_break_is_no_fault():
    law = BrokenPowerLaw(floor=0.0, scale=3.0, exponent=0.0, breaks=((1e6, 0.3, 0.5),))
    fit = fit_broken(X, noisy(law, 4), n_break=1, floor=0.0)
    assert fit.converged, fit.message
    assert fit.interval["exponent"][0] < 0 < fit.interval["exponent"][1]
    assert fit.interval["change"][0] < 0.3 < fit.interval["change"][1]


@pytest.mark.parametrize("seed", range(3))
def test_a_break_or_a_floor_that_does_not_show_is_flagged(seed):
    value = noisy(BrokenPowerLaw(floor=0.0, scale=3.0, exponent=0.2), seed)
    for kind in ({"n_break": 1, "floor": 0.0}, {"n_break": 0}):
        fit = fit_broken(X, value, **kind)
        assert not fit.converged
        assert fit.message != "converged"
        assert set(fit.standard_error.values()) == {np.inf}
        for name, interval in fit.interval.items():
            assert interval == (-np.inf if name in ("exponent", "change") else 0.0, np.inf)


def test_points_that_cannot_determine_a_law_are_refused_with_the_reason():
    value = law_of(1, None).value(x=X)
    with pytest.raises(ValueError, match="at least 9 runs; got 8"):
        fit_broken(X[:8], value[:8])
    with pytest.raises(ValueError, match="at least 5 runs; got 4"):
        fit_broken(X[:4], value[:4], n_break=0, floor=0.0)
    with pytest.raises(ValueError, match="x must take at least 6 different values; got 2"):
        fit_broken(np.where(X > 1e6, 1e7, 1e5), value)
    with pytest.raises(ValueError, match="same length"):
        fit_broken(X, value[:-1])
    with pytest.raises(ValueError, match="value must vary between the points"):
        fit_broken(X, np.full(X.shape, 2.0))
    with pytest.raises(ValueError, match=r"floor must lie below every value; got 100.0 and the value 1\.6"):
        fit_broken(X, value, floor=100.0)
    for wrong in (-1.0, np.nan):
        with pytest.raises(ValueError, match=r"^floor must be positive"):
            fit_broken(X, value, floor=wrong)
    for wrong in (2, -1, 1.0):
        with pytest.raises(ValueError, match=r"^n_break must be"):
            fit_broken(X, value, n_break=wrong)
    for name in ("x", "value"):
        for wrong in (0.0, -1.0, np.nan):
            points = {"x": X.copy(), "value": value.copy()}
            points[name][5] = wrong
            with pytest.raises(ValueError, match=f"^{name} must be positive and finite; got {wrong}"):
                fit_broken(**points)


@pytest.mark.parametrize("seed", range(6))
def test_points_without_a_law_give_an_error_or_a_flag_but_no_nan(seed):
    generator = np.random.default_rng(seed)
    x, value = 10 ** generator.uniform([[-2], [-5]], [[12], [5]], size=(2, 30))
    fit = fit_broken(x, value, n_break=seed % 2, n_bootstrap=100 * (seed // 3))
    assert fit.message != "converged" or np.isfinite(list(fit.interval.values())).all()
    assert np.isfinite([fit.objective, fit.law.floor, fit.law.scale, fit.law.exponent]).all()
