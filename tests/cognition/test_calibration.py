"""What calibration promises: hand values, scikit-learn's diagram, and a temperature that can be put back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from scaling_transformers.cognition.calibration import (
    accuracy_above,
    calibration_error,
    reliability,
    softmax_confidence,
)


def forecasts(n, *, seed=0, exponent=1.0):
    """Confidences, and outcomes that come true with probability confidence ** exponent."""
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(size=n)
    return confidence, generator.uniform(size=n) < confidence**exponent


@pytest.mark.parametrize("n_bin", [4, 10])
def test_the_diagram_is_that_of_scikit_learn_with_quantile_bins(n_bin):
    confidence, correct = forecasts(200 * n_bin)
    found = reliability(confidence, correct, n_bin=n_bin)
    accuracy, stated = calibration_curve(correct, confidence, n_bins=n_bin, strategy="quantile")
    np.testing.assert_allclose(found.confidence, stated)
    np.testing.assert_allclose(found.accuracy, accuracy)


def test_the_error_of_two_bins_by_hand():
    found = reliability([0.6, 0.6, 0.6, 0.9, 0.9, 0.9], [1, 0, 0, 1, 1, 1], n_bin=2)
    assert found.error == pytest.approx(((0.6 - 1 / 3) + (1 - 0.9)) / 2)
    assert found.size.tolist() == [3, 3]


@given(st.integers(15, 200), st.integers(1, 15), st.integers(0, 100))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_bins_hold_all_predictions_and_differ_by_one_at_most(n, n_bin, seed):
    confidence, correct = forecasts(n, seed=seed)
    found = reliability(confidence, correct, n_bin=n_bin)
    assert found.size.sum() == n
    assert np.ptp(found.size) <= 1
    assert np.average(found.accuracy, weights=found.size) == pytest.approx(correct.mean())


def test_the_interval_of_the_error_reaches_zero_for_an_honest_forecaster_and_not_for_a_boaster():
    honest = calibration_error(*forecasts(3000, seed=1), n_bootstrap=100)
    boaster = calibration_error(*forecasts(3000, seed=1, exponent=2.0), n_bootstrap=100)
    assert honest.low < 0.005
    assert boaster.low < 1 / 6 < boaster.high  # the mean of c - c**2 over c from 0 to 1
    assert boaster.low > 0.1


def test_drawing_blocks_widens_the_interval_of_outcomes_that_come_in_blocks():
    confidence, correct = forecasts(200)
    confidence, correct = np.repeat(confidence, 10), np.repeat(correct, 10)
    alone = calibration_error(confidence, correct, n_bin=5, n_bootstrap=100)
    blocks = calibration_error(confidence, correct, n_bin=5, n_bootstrap=100, block=10)
    assert blocks.high - blocks.low > 1.5 * (alone.high - alone.low)


def test_confidence_is_the_largest_probability():
    logits = np.log([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]])
    confidence, correct = softmax_confidence(logits, [0, 1])
    np.testing.assert_allclose(confidence, [0.7, 0.5])
    assert correct.tolist() == [True, False]
    halved, _ = softmax_confidence(logits, [0, 1], temperature=2.0)
    np.testing.assert_allclose(halved[0], 0.7**0.5 / (0.7**0.5 + 0.2**0.5 + 0.1**0.5))


def test_nothing_above_the_threshold_is_neither_right_nor_wrong():
    taken, right = accuracy_above([0.2, 0.3], [True, False], least=[0.0, 0.25, 0.9])
    assert taken.tolist() == [1.0, 0.5, 0.0]
    np.testing.assert_array_equal(right, [0.5, 0.0, np.nan])


@pytest.mark.parametrize(
    ("confidence", "correct", "match"),
    [
        ([0.5], [True, False], "one shape"),
        ([], [], "one shape"),
        ([1.5], [True], "from 0 to 1"),
        ([0.5], [2], "true or false"),
        ([0.5], [True], "n_bin"),
    ],
)
def test_what_is_no_forecast_is_refused(confidence, correct, match):
    with pytest.raises(ValueError, match=match):
        reliability(confidence, correct, n_bin=2)


def test_logits_that_do_not_fit_and_a_temperature_of_zero_are_refused():
    with pytest.raises(ValueError, match="logits must"):
        softmax_confidence([[0.0, 1.0]], [0, 1])
    with pytest.raises(ValueError, match="temperature must"):
        softmax_confidence([[0.0, 1.0]], [0], temperature=0.0)
