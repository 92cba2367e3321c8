"""Comparisons at equal FLOPs and at equal joules, against tables whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from scaling_transformers.frontiers.cheap_compare import Gap, gap_at_equal_flops, gap_at_equal_joules
from scaling_transformers.society.estimates import t_95


def table(losses: dict[tuple[str, int], list[float]], budget: float = 1e11) -> np.ndarray:
    rows = [(way, width, budget, loss) for (way, width), values in losses.items() for loss in values]
    kinds = [("way", "U16"), ("d_model", int), ("budget", float), ("loss", float)]
    return np.array(rows, dtype=kinds)


def test_two_ways_have_the_interval_of_student_s_test() -> None:
    dense, other = [2.0, 2.1, 1.9], [1.5, 1.4, 1.75]
    found = gap_at_equal_flops(
        table({("dense", 32): dense, ("int4", 32): other}), "int4", budget=1e11, d_model=32
    )
    interval = stats.ttest_ind(other, dense).confidence_interval(0.95)
    assert found.less - found.margin == pytest.approx(interval.low, abs=2e-3)
    assert found.less + found.margin == pytest.approx(interval.high, abs=2e-3)
    assert found.word == "better"


def at_equal_joules(losses: dict[tuple[str, int], list[float]], cost: dict[tuple[str, int], float]) -> Gap:
    return gap_at_equal_joules(table(losses), "ternary", budget=1e11, joules=lambda *key: cost[key])


LOSSES = {
    ("dense", 16): [2.0, 2.2],
    ("dense", 64): [3.0, 3.2],
    ("ternary", 16): [2.5, 2.7],
    ("ternary", 64): [1.5, 1.7],
}
COST = {("dense", 16): 4.0, ("dense", 64): 100.0, ("ternary", 16): 1.0, ("ternary", 64): 10.0}


def test_a_better_model_that_is_dearer_than_the_best_dense_one_does_not_count() -> None:
    assert at_equal_joules(LOSSES, COST).less == pytest.approx(0.5)


def test_each_way_comes_with_the_better_of_its_models_that_are_cheap_enough() -> None:
    assert at_equal_joules(LOSSES, COST | {("ternary", 64): 4.0}).less == pytest.approx(-0.5)


def test_the_margin_at_equal_joules_is_that_of_two_means_with_a_pooled_spread() -> None:
    spread = np.std([2.0, 2.2], ddof=1)  # the same for all four
    assert at_equal_joules(LOSSES, COST).margin == pytest.approx(t_95(5) * spread)


def test_a_way_with_no_model_as_cheap_has_no_answer() -> None:
    with pytest.raises(ValueError, match="'ternary' model that writes"):
        at_equal_joules(LOSSES, COST | {("ternary", 16): 5.0})
    with pytest.raises(ValueError, match="dense"):
        at_equal_joules({key: LOSSES[key] for key in LOSSES if key[0] == "ternary"}, COST)


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(ValueError, match="two seeds"):
        gap_at_equal_flops(
            table({("dense", 32): [2.0], ("int4", 32): [2.0]}), "int4", budget=1e11, d_model=32
        )


def test_words_say_which_side_of_zero_the_interval_lies() -> None:
    words = [Gap(less, 0.1).word for less in (-0.2, -0.05, 0.2)]
    assert words == ["better", "not told apart", "worse"]
