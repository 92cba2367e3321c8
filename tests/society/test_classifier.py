"""Metrics by group against tables made by hand, and the arithmetic that no rule of decision escapes."""

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from scaling_transformers.society.classifier import (
    calibration,
    group_metrics,
    implied_false_positive_rate,
    planted_applicants,
    true_probability,
    true_rates,
)


def people(*counts):
    """Truth, decision and group from counts: for K and then R (other, refused), (other, accepted), ..."""
    rows = np.array([(y, d, g) for g in (0, 1) for y in (0, 1) for d in (0, 1)])
    return np.repeat(rows, counts, axis=0).T


def test_a_table_by_hand():
    """K: 40 others of whom 10 accepted, 60 qualified of whom 45. R: 80 and 8, 20 and 10."""
    found = group_metrics(*people(30, 10, 15, 45, 72, 8, 10, 10))
    k, r = found.rates
    assert k == pytest.approx((55 / 100, 45 / 60, 10 / 40, 45 / 55))
    assert r == pytest.approx((18 / 100, 10 / 20, 8 / 80, 10 / 18))
    assert found.demographic_parity.value == pytest.approx(0.37)
    assert found.equalised_odds.value == pytest.approx(0.25)
    assert found.precision.value == pytest.approx(45 / 55 - 10 / 18)
    for estimate in found[:3]:
        assert estimate.low < estimate.value < estimate.high


def test_the_intervals_are_those_of_fairlearns_own_bootstrap():
    truth, decision, group = people(30, 10, 15, 45, 72, 8, 10, 10)
    frame = MetricFrame(
        metrics={"s": selection_rate, "t": true_positive_rate, "f": false_positive_rate},
        y_true=truth,
        y_pred=decision,
        sensitive_features=group,
        n_boot=60,
        ci_quantiles=[0.1, 0.9],
        random_state=0,
    )
    low, high = frame.difference_ci()
    found = group_metrics(truth, decision, group, level=0.8)
    assert found.demographic_parity[1:] == pytest.approx((low["s"], high["s"]), abs=0.03)
    assert found.rates[0].true_positive == pytest.approx(frame.by_group["t"][0])
    assert found.equalised_odds.high >= max(high["t"], high["f"]) - 0.05


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.lists(st.integers(1, 50), min_size=4, max_size=4))
def test_three_rates_leave_the_fourth_no_choice(counts):
    other_no, other_yes, good_no, good_yes = counts
    implied = implied_false_positive_rate(
        base_rate=(good_no + good_yes) / sum(counts),
        precision=good_yes / (good_yes + other_yes),
        true_positive=good_yes / (good_no + good_yes),
    )
    assert implied == pytest.approx(other_yes / (other_no + other_yes))


def test_exact_rates_are_those_of_the_normal_distribution_and_of_many_applicants():
    rates = true_rates(base_rate=0.3, separation=1.5, cut=1.0)
    assert rates.true_positive == pytest.approx(norm.sf(-0.5))
    assert rates.false_positive == pytest.approx(norm.sf(1.0))
    drawn = planted_applicants(40_000, seed=0)
    chosen = (drawn.features[:, 0] > 1.0).astype(int)
    found = group_metrics(drawn.qualified, chosen, drawn.group)
    assert found.rates[1] == pytest.approx(rates, abs=0.015)
    assert found.rates[0] == pytest.approx(true_rates(base_rate=0.5, separation=1.5, cut=1.0), abs=0.015)


def test_the_true_probability_is_calibrated_in_each_group():
    drawn = planted_applicants(30_000, seed=1, base_rates=(0.6, 0.2))
    found = true_probability(drawn, base_rates=(0.6, 0.2))
    for g in (0, 1):
        here = drawn.group == g
        curve = calibration(drawn.qualified[here], found[here], n_bin=6)
        assert ((curve.low < curve.predicted) & (curve.predicted < curve.high)).mean() >= 5 / 6
        assert curve.n_people.sum() == here.sum()


def test_calibration_by_hand():
    curve = calibration([0, 1, 1, 1], [0.1, 0.2, 0.9, 1.0], n_bin=2)
    np.testing.assert_allclose(curve.predicted, [0.15, 0.95])
    np.testing.assert_allclose(curve.observed, [0.5, 1.0])
    z2 = norm.ppf(0.975) ** 2
    np.testing.assert_allclose(curve.low[1], 1 / (1 + z2 / 2))  # Wilson's lower end for 2 of 2
    assert calibration([1, 1], [1.0, 1.0], n_bin=5).n_people.tolist() == [2]


def test_the_wrong_that_was_planted_is_in_the_labels_of_one_group_alone():
    drawn = planted_applicants(20_000, seed=2, label_bias=0.4)
    wrong = drawn.label != drawn.qualified
    assert not wrong[drawn.group == 0].any()
    assert (drawn.label[wrong] == 0).all()
    overlooked = wrong[(drawn.group == 1) & (drawn.qualified == 1)].mean()
    assert overlooked == pytest.approx(0.4, abs=0.03)
    same = planted_applicants(20_000, seed=2, label_bias=0.0)
    assert (same.qualified == same.label).all()
    assert (same.features == drawn.features).all()


def test_what_is_no_table_is_refused():
    with pytest.raises(ValueError, match="decision must be zeros and ones"):
        group_metrics([0, 1], [0, 2], [0, 1])
    with pytest.raises(ValueError, match="must have one length"):
        group_metrics([0, 1], [0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match="each group must have qualified"):
        group_metrics([0, 1], [0, 1], [0, 1])
    with pytest.raises(ValueError, match="base_rates must be two numbers"):
        planted_applicants(5, seed=0, base_rates=(0.5, 1.0))
    with pytest.raises(ValueError, match="label_bias must be from 0 to 1"):
        planted_applicants(5, seed=0, label_bias=1.5)
    with pytest.raises(ValueError, match="separation must be at least 0"):
        planted_applicants(5, seed=0, separation=-1.0)
    with pytest.raises(ValueError, match="probability must be 2 numbers"):
        calibration([0, 1], [0.5, 1.5])
    with pytest.raises(ValueError, match="precision must be between 0 and 1"):
        implied_false_positive_rate(base_rate=0.5, precision=1.0, true_positive=0.5)
