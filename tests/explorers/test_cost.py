"""What the explorer of costs promises: each frame is what the sizes of a model and a data sheet give."""

import itertools
import json

import pytest

from scaling_transformers import preset
from scaling_transformers.explorers import cost_explorer
from scaling_transformers.explorers.cost import BATCHES, BYTES, LENGTHS, MODELS

SETTINGS = list(itertools.product(MODELS, BATCHES, LENGTHS, BYTES))
PEAK, BANDWIDTH, MEMORY = 989.4e12, 3.35e12, 80e9  # of an H100


@pytest.fixture(scope="module")
def made():
    return cost_explorer()


def frame_at(made, *setting):
    return made.frames[SETTINGS.index(setting)]


def test_it_has_a_frame_for_every_setting_and_is_light_enough_for_a_page(made):
    assert len(made.frames) == len(SETTINGS)
    assert len(json.dumps(made.get_state(), default=str)) < 350_000


@pytest.mark.parametrize("setting", [("Llama 2 7B", 1, 4096, 2.0), ("Llama 2 7B", 64, 1024, 0.5)])
def test_a_llama_costs_what_its_sizes_say(made, setting):
    _, batch, length, width = setting
    d, d_ff, n_layer, vocabulary = 4096, 11_008, 32, 32_000
    n_params = 2 * vocabulary * d + n_layer * (4 * d * d + 3 * d * d_ff + 2 * d) + d
    cache = 2 * n_layer * d * length * batch * width
    frame = frame_at(made, *setting)
    assert frame["gigabytes"] == pytest.approx([width * n_params / 1e9, cache / 1e9], rel=1e-3)
    # memory limits every part of both settings, and the vectors that move besides are few
    loaded = [width * (n_params - vocabulary * d), cache]
    assert frame["milliseconds"] == pytest.approx([1e3 * n / BANDWIDTH for n in loaded], rel=0.03)
    assert frame["intensity"] == pytest.approx([2 * batch / width, 2 / width], rel=0.03)


def test_arithmetic_limits_a_large_batch_of_small_numbers(made):
    frame = frame_at(made, "Llama 2 7B", 256, 256, 0.5)
    products = 32 * (4 * 4096**2 + 3 * 4096 * 11_008) + 32_000 * 4096
    assert frame["intensity"][0] > PEAK / BANDWIDTH
    assert frame["milliseconds"][0] == pytest.approx(1e3 * 2 * 256 * products / PEAK, rel=0.01)


@pytest.mark.parametrize("setting", SETTINGS[::7])
def test_the_sentence_says_whether_it_fits(made, setting):
    frame = frame_at(made, *setting)
    fits = sum(frame["gigabytes"]) <= MEMORY / 1e9
    assert (": fits into" in frame["summary"]) is fits
    assert (": does not fit into" in frame["summary"]) is not fits
    assert setting[0] in frame["summary"]


def test_every_model_is_a_decoder_that_uses_all_of_its_parameters():
    assert all(preset(name).kind == "decoder" and preset(name).n_expert == 1 for name in MODELS.values())


def test_every_value_stands_within_the_scales_of_the_picture(made):
    assert all(0.001 <= gb <= 1e5 for frame in made.frames for gb in frame["gigabytes"])
    assert all(0.001 <= ms <= 1e5 for frame in made.frames for ms in frame["milliseconds"])
