"""What the explorer of surprisal promises: bits by the chain rule of whole texts, and times by hand."""

import itertools
import json
import subprocess
import sys

import pytest
import torch

from scaling_transformers.cognition.language_model import START, load_language_model
from scaling_transformers.explorers import surprisal_explorer
from scaling_transformers.explorers.surprisal import CONTEXTS, SEEDS, SENTENCES

SETTINGS = list(itertools.product(SENTENCES, CONTEXTS, SEEDS))


@pytest.fixture(scope="module")
def made():
    return surprisal_explorer()


def frame_at(made, *setting):
    return made.frames[SETTINGS.index(setting)]


def bits_of_text(reader, text):
    """Of the tokens of a whole text after the blank line, with torch's own cross entropy."""
    if not text:
        return 0.0
    tokens = reader.encode(START + text)
    n_start = reader.encode(START).shape[1]
    with torch.no_grad():
        logits = reader.model(tokens[:, :-1])[0, n_start - 1 :]
    nats = torch.nn.functional.cross_entropy(logits, tokens[0, n_start:], reduction="sum")
    return float(nats / torch.log(torch.tensor(2.0)))


def test_it_has_a_frame_for_every_setting_and_is_light_enough_for_a_page(made):
    assert len(made.frames) == len(SETTINGS)
    assert len(json.dumps(made.get_state(), default=str)) < 150_000


@pytest.mark.parametrize("setting", SETTINGS[::7])
def test_a_word_has_the_bits_that_it_adds_to_the_text_before_it(made, setting):
    sentence, context, seed = setting
    words, reader = SENTENCES[sentence].split(), load_language_model(seed)
    n_seen = len(words) if context == "all" else int(context)
    for place, bits in enumerate(frame_at(made, *setting)["bits"]):
        before = words[max(0, place - n_seen) : place]
        added = bits_of_text(reader, " ".join([*before, words[place]])) - bits_of_text(
            reader, " ".join(before)
        )
        assert bits == pytest.approx(added, rel=6e-3, abs=1e-3)


@pytest.mark.parametrize("setting", SETTINGS[::7])
def test_the_time_is_the_published_one_spread_over_four_words(made, setting):
    frame = frame_at(made, *setting)
    for place, time in enumerate(frame["milliseconds"]):
        bits = sum(frame["bits"][max(0, place - 3) : place + 1])
        assert time == pytest.approx(328.6 + 3.75 / 4 * bits, abs=0.6)


def test_the_odd_word_surprises_every_seed_most_and_nobody_expects_less_with_more_context(made):
    for seed in SEEDS:
        frame = frame_at(made, "an odd word", "all", seed)
        assert frame["words"][frame["top"]] == "horse."
        for sentence in SENTENCES:
            assert frame_at(made, sentence, "1", seed)["mean"] > frame_at(made, sentence, "all", seed)["mean"]


def test_the_turn_of_the_garden_path_is_cheaper_with_the_comma_which_costs_itself(made):
    must = SENTENCES["garden path"].split().index("must")
    comma = SENTENCES["with a comma"].split().index("calls,")
    for seed in SEEDS:
        without, with_comma = (
            frame_at(made, name, "all", seed)["bits"] for name in ("garden path", "with a comma")
        )
        assert without[must] > with_comma[must]
        assert without[comma] < with_comma[comma]


def test_the_sentence_says_the_setting_and_what_is_marked(made):
    for (sentence, context, seed), frame in zip(SETTINGS, made.frames, strict=True):
        said = frame["summary"]
        assert said.startswith(f"{sentence.capitalize()}, seed {seed}, words seen before each: {context}.")
        assert f"“{frame['words'][frame['top']]}” surprises most, {max(frame['bits']):g} bits" in said
        assert f": {max(frame['milliseconds']):g} ms." in said


def test_every_value_stands_within_the_scales_of_the_picture(made):
    for frame in made.frames:
        assert len(frame["words"]) == 11  # the picture keeps its height
        for name, least, most in (("bits", 0, 40), ("milliseconds", 320, 400)):
            assert all(least <= value <= most for value in frame[name])


def test_torch_is_not_imported_before_a_sentence_is_read():
    code = "import sys, scaling_transformers.explorers; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
