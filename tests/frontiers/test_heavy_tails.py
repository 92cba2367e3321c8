"""Samples are of their kind, fits find what was drawn, and nothing is printed or warned."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.frontiers.heavy_tails import (
    Comparison,
    Tail,
    _whole,
    bootstrap_tail,
    compare,
    fit_tail,
    line_exponent,
    sample,
    survival,
)


def draw(kind, n, seed=0, **options):
    return sample(kind, n, rng=np.random.default_rng(seed), **options)


@settings(deadline=None, derandomize=True, max_examples=10)
@given(st.floats(1.6, 2.9), st.floats(0.5, 20.0))
def test_the_fit_is_the_maximum_likelihood_of_the_continuous_law(exponent, x_min):
    values = draw("power law", 500, exponent=exponent, x_min=x_min)
    found = fit_tail(values, discrete=False, x_min=x_min)
    by_hand = 1 + len(values) / np.log(values / x_min).sum()
    assert found.exponent == pytest.approx(by_hand, rel=1e-3)
    assert found.n_tail == 500


def test_samples_have_the_distribution_of_their_kind():
    n = 40_000
    for x in (2.0, 5.0):
        assert (draw("power law", n) > x).mean() == pytest.approx(x**-1.5, abs=0.01)
    logs = np.log(draw("log-normal", n, sigma=0.7))
    assert np.sqrt((logs**2).mean()) == pytest.approx(0.7, rel=0.02)
    cut = draw("cut-off", n, exponent=2.5, cut_off=5.0)
    x = np.linspace(1, 200, 400_001)
    density = x**-2.5 * np.exp(-x / 5.0)
    assert cut.mean() == pytest.approx((x * density).sum() / density.sum(), rel=0.02)


def test_whole_numbers_have_the_probabilities_of_the_law():
    drawn = _whole(60_000, exponent=2.5, x_min=2, rng=np.random.default_rng(0))
    weights = np.arange(2.0, 1e6) ** -2.5
    for i in (0, 1, 3):
        assert (drawn == 2 + i).mean() == pytest.approx(weights[i] / weights.sum(), abs=0.01)
    assert (drawn == np.round(drawn)).all()


def test_the_test_tells_a_log_normal_and_leaves_a_power_law_alone():
    rival = compare(draw("log-normal", 1500), discrete=False, x_min=1.0)
    assert rival["log-normal"].verdict() == rival["cut-off"].verdict() == "rival"
    true = compare(draw("power law", 1500), discrete=False, x_min=1.0)
    assert "rival" not in {true["log-normal"].verdict(level=0.01), true["cut-off"].verdict(level=0.01)}
    assert true["exponential"].verdict() == "power law"
    assert Comparison(3.0, 0.2).verdict() == "undecided"


def test_the_tail_is_found_below_which_the_data_are_of_another_kind():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.uniform(1, 10, 600), draw("power law", 400, exponent=2.5, x_min=10.0)])
    found = fit_tail(values, discrete=False)
    assert 7 < found.x_min < 20
    assert found.exponent == pytest.approx(2.5, abs=0.3)
    interval = bootstrap_tail(values, found, discrete=False, n_draw=10)
    assert interval.low < found.exponent < interval.high
    assert 0 <= interval.plausibility <= 1


def test_whole_numbers_are_fitted_as_such():
    values = _whole(800, exponent=2.2, x_min=12, rng=np.random.default_rng(2))
    found = fit_tail(values, discrete=True, x_min=12)
    assert found.exponent == pytest.approx(2.2, abs=0.15)
    interval = bootstrap_tail(values, found, discrete=True, n_draw=4)
    assert interval.low <= interval.high


def test_a_line_through_the_histogram_finds_too_small_an_exponent():
    found = [line_exponent(draw("power law", 1000, seed), x_min=1.0) for seed in range(10)]
    assert np.mean(found) < 2.2


def test_fits_print_and_warn_nothing(capsys):
    fit_tail(draw("power law", 60), discrete=False)
    compare(draw("log-normal", 60), discrete=False, x_min=1.0)
    assert capsys.readouterr() == ("", "")


def test_survival_is_the_share_as_large_or_larger():
    values, shares = survival(np.arange(1, 11))
    np.testing.assert_allclose(shares, [(values <= v).mean() for v in values[::-1]])


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: fit_tail([1.0, -1.0], discrete=False), "data"),
        (lambda: fit_tail(np.ones(50), discrete=False), "data"),
        (lambda: draw("pareto", 3), "kind"),
        (lambda: draw("power law", 3, exponent=1.0), "exponent"),
        (lambda: bootstrap_tail(np.arange(1, 30), Tail(2, 1, 9, 0.1), discrete=True, n_draw=1), "n_draw"),
        (lambda: line_exponent(np.arange(1.0, 30.0), x_min=29.0), "data"),
    ],
)
def test_what_cannot_be_is_refused_by_name(call, what):
    with pytest.raises(ValueError, match=f"^{what} must"):
        call()
