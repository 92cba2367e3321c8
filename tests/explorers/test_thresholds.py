"""What the explorer of thresholds promises: chance and cost are those of the run that it describes."""

import itertools
import json
import math

import pytest
from scipy import stats

from scaling_transformers.explorers import thresholds_explorer
from scaling_transformers.explorers.thresholds import (
    BUDGETS,
    DOLLARS,
    FACTORS,
    OPERATIONS,
    SIZES,
    THRESHOLDS,
    TOKENS,
)

SETTINGS = list(itertools.product(SIZES, TOKENS, FACTORS, THRESHOLDS))
PEAK = 989.4e12  # of an H100


@pytest.fixture(scope="module")
def made():
    return thresholds_explorer()


def test_it_has_a_frame_for_every_setting_and_is_light_enough_for_a_page(made):
    assert len(made.frames) == len(SETTINGS) < 300
    assert len(json.dumps(made.get_state(), default=str)) < 350_000


@pytest.mark.parametrize("setting", SETTINGS[::7])
def test_the_chance_is_that_of_a_log_normal_of_scipy(made, setting):
    size, tokens, factor, threshold = setting
    chance = made.frames[SETTINGS.index(setting)]["chance"]
    known = stats.lognorm(s=math.log(factor) / stats.norm.ppf(0.95), scale=6e21 * size * tokens).sf(threshold)
    if chance[0] == "b":
        assert known < 0.001
    elif chance[0] == "a":
        assert known > 0.999
    else:
        assert float(chance.rstrip("%")) == pytest.approx(100 * known, abs=0.051)


@pytest.mark.parametrize("setting", SETTINGS[::7])
def test_the_cost_lies_between_the_cheapest_and_the_dearest_hours(made, setting):
    size, tokens, factor, _ = setting
    low, middle, high = made.frames[SETTINGS.index(setting)]["cost"]
    flops = 6e21 * size * tokens  # billions times trillions
    cheapest = flops / factor / (0.43 * PEAK * 3600) * 2.0
    dearest = flops * factor / (0.33 * PEAK * 3600) * 4.916
    assert cheapest < low < middle < high < dearest
    assert middle == pytest.approx(math.sqrt(cheapest * dearest), rel=0.06)


def test_a_budget_covers_the_run_exactly_if_its_share_is_at_most_one(made):
    yearly = {item["label"]: item["dollars"] for item in made.fixed["budgets"]}
    for frame in made.frames:
        for label, share in zip(BUDGETS, frame["shares"], strict=True):
            assert share == pytest.approx(frame["cost"][1] / yearly[label], rel=1e-2)
            assert (label in frame["summary"]) is (share <= 1)


def test_everything_that_is_drawn_lies_within_the_scales(made):
    for frame in made.frames:
        low, _, high = frame["operations"]
        assert OPERATIONS[0] < low < high < OPERATIONS[1]
        assert DOLLARS[0] < frame["cost"][0] < frame["cost"][2] < DOLLARS[1]
        assert OPERATIONS[0] < frame["threshold"] < OPERATIONS[1]
