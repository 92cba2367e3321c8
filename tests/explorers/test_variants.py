"""What the explorer of variants promises: cache and parameters are what the sizes of Llama 2 7B give."""

import itertools
import json

import pytest

from scaling_transformers.explorers import variants_explorer
from scaling_transformers.explorers.variants import ATTENTION, BYTES, FEED_FORWARD, LENGTHS, WINDOWS

SETTINGS = list(itertools.product(ATTENTION, WINDOWS, FEED_FORWARD, BYTES, LENGTHS))
LAYERS, WIDTH, HEADS, HEAD, VOCABULARY = 32, 4096, 32, 128, 32_000
NUMBERS_KEPT = dict(  # a token and layer
    zip(ATTENTION, (2 * 32 * HEAD, 2 * 8 * HEAD, 2 * 2 * HEAD, 2 * HEAD, 512 + 64), strict=True)
)


@pytest.fixture(scope="module")
def made():
    return variants_explorer()


def frame_at(made, *setting):
    return made.frames[SETTINGS.index(setting)]


def test_it_has_a_frame_for_every_setting_and_is_light_enough_for_a_page(made):
    assert len(made.frames) == len(SETTINGS) < 300
    assert len(json.dumps(made.get_state(), default=str)) < 150_000


@pytest.mark.parametrize("setting", SETTINGS[::11])
def test_the_cache_is_the_numbers_kept_times_tokens_in_sight(made, setting):
    _, window, _, width, length = setting
    seen = length if window == "none" else min(length, 4096)
    assert frame_at(made, *setting)["kept"] == pytest.approx(
        [LAYERS * seen * width * kept / 2**30 for kept in NUMBERS_KEPT.values()], rel=6e-3
    )


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("feed_forward", FEED_FORWARD)
def test_the_parameters_are_those_of_the_matrices(made, attention, feed_forward):
    frame = frame_at(made, attention, "none", feed_forward, 2.0, 8192)
    kind, number = feed_forward.split(maxsplit=1)
    matrices, d_ff = {"gated,": 3, "plain,": 2}[kind], int(number.split()[0].replace(",", ""))
    if attention == "latent":  # queries and output, down, up to keys and values, and the part for positions
        of_layer = 2 * WIDTH * WIDTH + WIDTH * 512 + 2 * 512 * WIDTH + WIDTH * 64 * HEADS + WIDTH * 64
    else:
        of_layer = 2 * WIDTH * WIDTH + WIDTH * NUMBERS_KEPT[attention]
    parts = [2 * VOCABULARY * WIDTH, LAYERS * of_layer, LAYERS * matrices * WIDTH * d_ff]
    assert frame["parts"] == pytest.approx([part / 1e9 for part in parts], rel=6e-3)
    assert frame["weights"] == pytest.approx(2 * sum(parts) / 2**30, rel=6e-3)


def test_sharing_keys_shrinks_the_cache_many_times_and_the_model_only_a_little(made):
    many, one = (
        frame_at(made, name, "none", next(iter(FEED_FORWARD)), 2.0, 8192) for name in ATTENTION[:4:3]
    )
    assert many["kept"][0] == pytest.approx(32 * many["kept"][3])
    assert 0.8 < one["weights"] / many["weights"] < 1


@pytest.mark.parametrize("setting", SETTINGS[::7])
def test_the_sentence_says_the_setting_and_what_is_drawn(made, setting):
    attention, window, feed_forward, width, length = setting
    frame = frame_at(made, *setting)
    said = frame["summary"]
    assert said.startswith(f"Attention: {attention}; window: {window}; feed-forward: {feed_forward}; ")
    assert f"bytes a number: {width:g}." in said
    assert f"{length:,} tokens keeps {frame['kept'][frame['chosen']]:g} GiB" in said
    assert ATTENTION[frame["chosen"]] == attention
    more = frame["kept"][frame["chosen"]] >= frame["weights"]
    assert ("times as much as the weights" in said) is more


def test_every_value_stands_within_the_scales_of_the_picture(made):
    for frame in made.frames:
        assert min(frame["kept"]) >= 0.001
        assert max(*frame["kept"], frame["weights"]) <= 100
        assert max(frame["parts"]) <= 7
