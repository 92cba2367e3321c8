"""What the explorer of budgets promises: each frame is the least of what it says it minimises."""

import itertools
import json

import numpy as np
import pytest

from scaling_transformers.explorers import budget_explorer
from scaling_transformers.explorers.budget import BUDGETS, LAW, SIZES, TOKENS, USES

SETTINGS = list(itertools.product(BUDGETS, USES))


@pytest.fixture(scope="module")
def made():
    return budget_explorer()


def loss(n, d):
    """The law as Besiroglu et al. 2024 print it."""
    return 1.8172 + 482.01 / n**0.3478 + 2085.43 / d**0.3658


def test_it_has_a_frame_for_every_setting_and_is_light_enough_for_a_page(made):
    assert len(made.frames) == len(SETTINGS)
    assert len(json.dumps(made.get_state(), default=str)) < 350_000


@pytest.mark.parametrize("setting", SETTINGS[::5])
def test_no_other_split_of_the_budget_has_less_loss(made, setting):
    flops, _ = setting
    n, d = made.frames[SETTINGS.index(setting)]["best"]
    assert 6 * n * d == pytest.approx(flops, rel=2e-3)
    others = n * np.geomspace(0.2, 5, 41)
    assert loss(n, d) <= loss(others, flops / 6 / others).min() * (1 + 1e-4)


@pytest.mark.parametrize("setting", SETTINGS[::5])
def test_no_other_model_of_that_loss_has_a_cheaper_life(made, setting):
    _, use = setting
    frame = made.frames[SETTINGS.index(setting)]
    (best_n, best_d), (n, d) = frame["best"], frame["life"]
    wanted = loss(best_n, best_d)
    assert loss(n, d) == pytest.approx(wanted, rel=1e-3)
    others = n * np.geomspace(0.9, 2, 41)
    tokens = (2085.43 / (wanted - 1.8172 - 482.01 / others**0.3478)) ** (1 / 0.3658)
    assert (6 * n * d + 2 * n * use) <= (6 * others * tokens + 2 * others * use).min() * 1.01


def test_the_lines_are_lines_of_equal_loss(made):
    for level in made.fixed["levels"]:
        assert loss(*np.array(level["line"])) == pytest.approx(float(level["loss"]), rel=2e-4)
    for frame in made.frames:
        assert loss(*np.array(frame["level"])) == pytest.approx(loss(*frame["best"]), rel=2e-4)


def test_every_model_stands_within_the_picture(made):
    for frame in made.frames:
        for n, d in (frame["best"], frame["life"]):
            assert SIZES[0] <= n <= SIZES[1]
            assert TOKENS[0] <= d <= TOKENS[1]


def test_the_sentence_says_when_nothing_is_used(made):
    for (_, use), frame in zip(SETTINGS, made.frames, strict=True):
        assert ("Nobody uses" in frame["summary"]) is (use == 0)
        assert use > 0 or frame["best"] == frame["life"]


def test_the_law_is_the_refitted_one():
    assert LAW.loss(n_params=1e9, n_tokens=2e10) == pytest.approx(loss(1e9, 2e10))
