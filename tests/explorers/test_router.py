"""What the explorer of routing promises: queues as a plain loop serves them."""

import itertools
import json
import math

import numpy as np
import pytest

from scaling_transformers.explorers import router_explorer
from scaling_transformers.explorers.router import ACTIVE, EXPERTS, FACTORS, MOST, N_TOKEN, RULES, SKEWS

SETTINGS = list(itertools.product(RULES, EXPERTS, ACTIVE, FACTORS, SKEWS))


@pytest.fixture(scope="module")
def made():
    return router_explorer()


def logits_of(n_expert, skew):
    """The text of the explorer, written out."""
    noise = np.random.default_rng(0).standard_normal((N_TOKEN, 16))[:, :n_expert]
    return noise + skew * (1 - 2 * np.arange(n_expert) / (n_expert - 1))


def by_hand(rule, n_expert, n_active, factor, skew):
    """Choices asked and served of each expert, and services of each token."""
    logits = logits_of(n_expert, skew)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    room = math.ceil(factor * N_TOKEN * n_active / n_expert)
    asked, served, services = [0] * n_expert, [0] * n_expert, [0] * N_TOKEN
    if rule == "tokens choose":
        for token, row in enumerate(softmax):
            for expert in np.argsort(-row)[:n_active]:
                asked[expert] += 1
                if served[expert] < room:
                    served[expert] += 1
                    services[token] += 1
    else:
        for expert in range(n_expert):
            asked[expert] = served[expert] = room
            for token in np.argsort(-softmax[:, expert])[:room]:
                services[token] += 1
    return room, asked, served, services


def test_it_has_a_frame_for_every_setting_and_is_light_enough_for_a_page(made):
    assert len(made.frames) == len(SETTINGS)
    assert len(json.dumps(made.get_state(), default=str)) < 150_000


def test_every_queue_is_that_of_a_plain_loop(made):
    for setting, frame in zip(SETTINGS, made.frames, strict=True):
        room, asked, served, services = by_hand(*setting)
        assert (frame["room"], frame["asked"], frame["served"]) == (room, asked, served)
        counted = np.bincount(np.minimum(services, MOST), minlength=MOST + 1)
        assert frame["tokens"] == counted.tolist()
        assert frame["dropped"] == pytest.approx(100 * (1 - sum(served) / sum(asked)), rel=6e-3, abs=1e-9)
        assert f"any expert: {counted[0]} token" in frame["summary"]


def test_the_sentence_says_the_entropy_of_the_load(made):
    for frame in made.frames:
        share = np.array(frame["asked"]) / sum(frame["asked"])
        entropy = -(share[share > 0] * np.log(share[share > 0])).sum() / np.log(len(share))
        assert f"load: {entropy:.0%} of" in frame["summary"]


def test_experts_that_choose_drop_nothing_and_forget_some(made):
    frames = dict(zip(SETTINGS, made.frames, strict=True))
    chosen = [frame for setting, frame in frames.items() if setting[0] == "experts choose"]
    assert {frame["dropped"] for frame in chosen} == {0}
    assert frames["experts choose", 8, 2, 1.0, 1.0]["tokens"][0] > 0


def test_skew_drops_more_and_room_drops_less(made):
    frames = dict(zip(SETTINGS, made.frames, strict=True))
    by_skew = [frames["tokens choose", 8, 2, 1.0, skew]["dropped"] for skew in SKEWS]
    by_room = [frames["tokens choose", 8, 2, factor, 1.0]["dropped"] for factor in FACTORS]
    assert by_skew == sorted(by_skew)
    assert by_room == sorted(by_room, reverse=True)
