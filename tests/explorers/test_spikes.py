"""What the explorer of spikes promises: energies by hand from published prices, and the even rate."""

import itertools
import json

import numpy as np
import pytest

from scaling_transformers.explorers import spikes_explorer
from scaling_transformers.explorers.spikes import BILLS, FAN_OUTS, RATES, STEPS

SETTINGS = list(itertools.product(RATES, STEPS, FAN_OUTS, BILLS))
PRODUCT, ADDITION, UPDATE = 4.6, 0.9, 5.5  # picojoules at 45 nm: of the leak 3.7, and two additions
READ = 10.0  # half of the 64 bits that cost 20


@pytest.fixture(scope="module")
def made():
    return spikes_explorer()


def frame_at(made, *setting):
    return made.frames[SETTINGS.index(setting)]


def test_it_has_a_frame_for_every_setting_and_is_light_enough_for_a_page(made):
    assert len(made.frames) == len(SETTINGS) < 300
    assert len(json.dumps(made.get_state(), default=str)) < 100_000


@pytest.mark.parametrize("setting", SETTINGS[::5])
def test_the_energies_are_those_of_the_prices_by_hand(made, setting):
    rate, steps, fan_out, bill = setting
    read = 0.0 if bill == "arithmetic alone" else READ
    shared = 5 if bill == "dense shares, 5 tokens" else 1
    spikes = rate * steps
    dense = [PRODUCT * fan_out, UPDATE + 2 * read, read * fan_out / shared]
    spiking = [ADDITION * spikes * fan_out, steps * (UPDATE + 2 * read), read * spikes * fan_out]
    frame = frame_at(made, *setting)
    assert np.allclose(frame["parts"], [dense, spiking], rtol=6e-3)
    assert frame["all"] == pytest.approx([sum(dense), sum(spiking)], rel=6e-3)
    assert frame["ratio"] == pytest.approx(sum(spiking) / sum(dense), rel=6e-3)
    assert frame["ratio"] == pytest.approx(frame["ratios"][RATES.index(rate)], rel=6e-3)


def test_the_ratio_passes_one_where_the_even_rate_says(made):
    for frame in made.frames:
        slope, start = np.polyfit(RATES, frame["ratios"], 1)  # a straight line in the rate
        assert frame["even"] == pytest.approx((1 - start) / slope, rel=0.01, abs=2e-3)
        said = frame["summary"]
        assert ("at any rate" in said) is (frame["even"] > 1)
        assert ("No rate is low enough" in said) is (frame["even"] <= 0)
        assert ("They are even at a rate of" in said) is (0 < frame["even"] <= 1)


def test_every_outcome_can_be_found_with_the_sliders(made):
    assert min(frame["even"] for frame in made.frames) < 0
    assert max(frame["even"] for frame in made.frames) > 1


@pytest.mark.parametrize("setting", SETTINGS[::5])
def test_the_sentence_says_the_setting(made, setting):
    rate, steps, fan_out, bill = setting
    said = frame_at(made, *setting)["summary"]
    assert said.startswith(f"Read by {fan_out:,} weights, fires in {100 * rate:g}% of {steps} step")
    assert f"bill: {bill}." in said


def test_every_ratio_stands_within_the_scale_of_the_picture(made):
    assert all(0.003 <= ratio <= 20 for frame in made.frames for ratio in frame["ratios"])
