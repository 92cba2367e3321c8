"""What the explorer of patterns promises: its picture is the mask, and its layers are products of masks."""

import itertools
import json

import numpy as np
import pytest

from scaling_transformers.explorers import sparsity_explorer
from scaling_transformers.explorers.sparsity import DEPTHS, KINDS, LENGTHS, SIZES

SETTINGS = list(itertools.product(KINDS, SIZES, LENGTHS, DEPTHS))
LONGEST = 64


@pytest.fixture(scope="module")
def made():
    return sparsity_explorer()


def drawn(made, kind, size, n=LONGEST):
    """The picture as a table of characters, blank where a key lies after the query."""
    return np.array([list(row.ljust(LONGEST)) for row in made.fixed["apart"][kind][size]])[:n, :n]


def layers_of(character):
    return np.inf if character == "." else int(character, 36)


def sees(kind, size, i, j):
    """Whether query i sees key j, from the words of the chapter."""
    distance = i - j
    return {
        "Window": distance < size,
        "Dilated": distance % size == 0 and distance < 4 * size,
        "Strided": distance < size or distance % size == 0,
        "Fixed": i // size == j // size or j % size == size - 1,
    }[kind]


def test_it_has_a_frame_for_every_setting_and_is_light_enough_for_a_page(made):
    assert len(made.frames) == len(SETTINGS)
    assert len(json.dumps(made.get_state(), default=str)) < 150_000


@pytest.mark.parametrize(
    ("kind", "size"), [*itertools.product(("Window", "Dilated", "Strided", "Fixed"), SIZES)]
)
def test_the_squares_are_the_pairs_that_the_words_allow(made, kind, size):
    table = drawn(made, kind, size)
    for i, j in itertools.product(range(LONGEST), repeat=2):
        assert (table[i, j] == "1") is (j <= i and sees(kind, int(size), i, j))


@pytest.mark.parametrize("size", SIZES)
def test_each_query_of_top_k_has_as_many_keys_as_there_are_up_to_k(made, size):
    assert (drawn(made, "TopK", size) == "1").sum(axis=1).tolist() == [
        min(i + 1, int(size)) for i in range(LONGEST)
    ]


@pytest.mark.parametrize("size", SIZES)
def test_big_bird_sees_near_blocks_the_first_and_one_more(made, size):
    side = int(size)
    table = drawn(made, "BigBird", size) == "1"
    for row in range(LONGEST // side):
        blocks = np.flatnonzero(table[row * side + side - 1].reshape(-1, side).all(axis=1))
        assert {0, max(row - 1, 0), row} <= set(blocks.tolist())
        assert len(blocks) == min(row + 1, 4)


@pytest.mark.parametrize("setting", SETTINGS[::5])
def test_shares_and_layers_are_those_of_the_picture(made, setting):
    kind, size, length, depth = setting
    frame, n = made.frames[SETTINGS.index(setting)], int(length)
    table = drawn(made, kind, size, n)
    allowed = table == "1"
    assert frame["shares"][0] == pytest.approx(100 * allowed.mean(), rel=6e-3)
    # layer by layer: the step of a token to what it sees, or to itself
    step, power = allowed | np.eye(n, dtype=bool), np.eye(n, dtype=bool)
    for layer in range(1, n + 1):
        power = (step.astype(int) @ power.astype(int)) > 0
        shown = np.array([[layers_of(c) <= layer if c != " " else False for c in row] for row in table])
        np.testing.assert_array_equal(shown, power)
        if layer == depth:
            assert frame["connected"] == pytest.approx(100 * power.sum() / (n * (n + 1) / 2), rel=6e-3)
        if power.sum() == n * (n + 1) / 2:
            assert frame["layers"] == layer
            break
    else:
        assert frame["layers"] == 0
        assert "No number of them connects all" in frame["summary"]


@pytest.mark.parametrize("setting", SETTINGS[:: len(DEPTHS)])
def test_what_is_computed_are_the_tiles_that_hold_an_allowed_pair(made, setting):
    kind, size, length, _ = setting
    frame, n, side = made.frames[SETTINGS.index(setting)], int(length), int(size)
    if kind == "TopK":
        assert frame["shares"][1] == 100
        assert frame["saved"] < 0
        return
    allowed = drawn(made, kind, size, n) == "1"
    tiles = allowed.reshape(n // side, side, n // side, side).any(axis=(1, 3))
    assert frame["shares"][1] == pytest.approx(100 * tiles.mean(), rel=6e-3)
    dense = np.tri(n // side).mean()
    assert frame["saved"] == pytest.approx(100 * (1 - tiles.mean() / dense), abs=0.06)
    rows = made.fixed["tiles"][kind][size][: n // side]
    assert [[tile == "1" for tile in row[: n // side]] for row in rows] == tiles.tolist()


def test_a_longer_text_saves_more_with_a_window_and_needs_more_layers(made):
    first = [made.frames[SETTINGS.index(("Window", "8", length, 1))] for length in LENGTHS]
    assert [f["saved"] for f in first] == sorted({f["saved"] for f in first})
    assert [f["layers"] for f in first] == [3, 5, 9]


@pytest.mark.parametrize("kind", ["Strided", "Fixed"])
def test_strided_and_fixed_connect_in_two_layers_and_save_no_tile(made, kind):
    frame = made.frames[SETTINGS.index((kind, "8", "64", 1))]
    assert frame["layers"] == 2
    assert frame["saved"] == 0
