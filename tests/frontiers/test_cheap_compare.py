"""Comparisons at equal FLOPs and at equal joules, against tables whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from scaling_transformers.frontiers.cheap_compare import Gap, gap_at_equal_flops, gap_at_equal_joules
from scaling_transformers.training.ablation import t_95


def table(losses: dict[tuple[str, int], list[float]], budget: float = 1e11) -> np.ndarray:
    rows = [(way, width, budget, loss) for (way, width), values in losses.items() for loss in values]
    kinds = [("way", "U16"), ("d_model", int), ("budget", float), ("loss", float)]
    return np.array(rows, dtype=kinds)


def test_two_ways_have_the_interval_of_student_s_test() -> None:
    dense, other = [2.0, 2.1, 1.9], [1.5, 1.4, 1.75]
    found = gap_at_equal_flops(
        table({("dense", 32): dense, ("int4", 32): other}), "int4", budget=1e11, d_model=32, quantile=t_95
    )
    interval = stats.ttest_ind(other, dense).confidence_interval(0.95)
    assert found.less - found.margin == pytest.approx(interval.low, abs=2e-3)
    assert found.less + found.margin == pytest.approx(interval.high, abs=2e-3)
    assert found.word == "better"


def test_at_equal_joules_the_dense_model_lies_between_two_widths() -> None:
    losses = {
        ("dense", 16): [3.0, 3.0],
        ("dense", 64): [2.0, 2.0],
        ("ternary", 64): [2.5, 2.5],
    }
    cost = {("dense", 16): 1.0, ("dense", 64): 100.0, ("ternary", 64): 10.0}
    found = gap_at_equal_joules(
        table(losses),
        "ternary",
        budget=1e11,
        d_model=64,
        joules=lambda way, d: cost[way, d],
        quantile=t_95,
    )
    assert found is not None
    assert found.less == pytest.approx(0.0)  # halfway, in the logarithm
    assert found.margin == 0.0


def test_a_dense_model_that_is_cheaper_and_better_is_the_one_to_beat() -> None:
    losses = {("dense", 16): [2.0, 2.0], ("dense", 64): [3.0, 3.0], ("ternary", 64): [2.2, 2.2]}
    cost = {("dense", 16): 1.0, ("dense", 64): 100.0, ("ternary", 64): 10.0}
    found = gap_at_equal_joules(
        table(losses), "ternary", budget=1e11, d_model=64, joules=lambda *key: cost[key], quantile=t_95
    )
    assert found is not None
    assert found.less == pytest.approx(0.2)


def test_the_error_of_a_line_between_two_points_is_the_sum_of_their_shares() -> None:
    rng = np.random.default_rng(0)
    drawn = [rng.standard_normal((2, 3)) for _ in range(4000)]
    middles = [0.25 * one.mean() + 0.75 * other.mean() for one, other in drawn]
    losses = {("dense", 16): [9.0, 10.0, 11.0], ("dense", 32): [0.0, 1.0, 2.0], ("int4", 32): [0.0, 1.0, 2.0]}
    cost = {("dense", 16): 1.0, ("dense", 32): 16.0, ("int4", 32): 8.0}
    found = gap_at_equal_joules(
        table(losses), "int4", budget=1e11, d_model=32, joules=lambda *key: cost[key], quantile=lambda _: 1.0
    )
    assert found is not None
    assert found.margin**2 == pytest.approx(1 / 3 + np.var(middles), rel=0.05)


def test_no_dense_model_as_cheap_means_no_answer() -> None:
    losses = {("dense", 16): [3.0, 3.0], ("dense", 64): [2.0, 2.0], ("ternary", 64): [2.5, 2.5]}
    for cost in (0.5, 200.0):
        joules = {("dense", 16): 1.0, ("dense", 64): 100.0, ("ternary", 64): cost}
        assert (
            gap_at_equal_joules(
                table(losses),
                "ternary",
                budget=1e11,
                d_model=64,
                joules=lambda way, d, joules=joules: joules[way, d],
                quantile=t_95,
            )
            is None
        )


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(ValueError, match="two seeds"):
        gap_at_equal_flops(
            table({("dense", 32): [2.0], ("int4", 32): [2.0]}), "int4", budget=1e11, d_model=32, quantile=t_95
        )


def test_words_say_which_side_of_zero_the_interval_lies() -> None:
    words = [Gap(less, 0.1).word for less in (-0.2, -0.05, 0.2)]
    assert words == ["better", "not told apart", "worse"]
