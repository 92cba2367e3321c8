"""Words and letters of tokens; reach and distance of attention against sums written out."""

import numpy as np
import pytest

from scaling_transformers.attention import attention_distance
from scaling_transformers.cognition.looking import (
    mean_distance,
    recent_attention,
    share_within,
    token_places,
    uniform_attention,
)


@pytest.mark.parametrize(
    "pieces",
    [
        ["The", " qu", "ick", " fox", "\n", "\n", "jum", "ps", ".", " ", "Over", " "],
        [" a", "b", " ", " c"],
        list("two words "),
        ["x"],
    ],
)
def test_places_are_those_of_the_words_that_split_finds(pieces):
    words, letters = token_places(pieces)
    text = "".join(pieces)
    found, start = [], 0
    for word in text.split():
        start = text.index(word, start)
        found.append(start)
        start += len(word)
    for piece, word, letter in zip(pieces, words, letters, strict=True):
        if piece.strip():
            assert text[letter : letter + len(piece.strip())] == piece.strip()
            assert found[word] == max(place for place in found if place <= letter)


def test_distance_in_tokens_is_that_of_the_chapter_on_attention():
    weights = np.random.default_rng(0).dirichlet(np.ones(6), size=(2, 3, 6))
    places = np.tile(np.arange(6), (2, 1))
    assert mean_distance(weights, places) == pytest.approx(attention_distance(weights))


def test_the_share_within_reach_is_the_sum_over_near_keys():
    weights = np.random.default_rng(1).dirichlet(np.ones(4), size=(1, 2, 4))
    places = np.array([[0, 0, 1, 5]])
    share = share_within(weights, places, reach=1)
    assert share[0, :, 3] == pytest.approx(weights[0, :, 3, 3])
    assert share[0, :, 0] == pytest.approx(weights[0, :, 0, :3].sum(axis=-1))
    assert share_within(weights, places, reach=5) == pytest.approx(1)


def test_the_baselines_are_causal_and_add_up():
    for weights in (uniform_attention(7), recent_attention(7, width=3)):
        assert weights.sum(axis=1) == pytest.approx(1)
        assert np.all(weights[np.triu_indices(7, k=1)] == 0)
    assert uniform_attention(7)[6] == pytest.approx(1 / 7)
    assert recent_attention(7, width=3)[6].tolist() == pytest.approx([0, 0, 0, 0, 1 / 3, 1 / 3, 1 / 3])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="weights must be"):
        share_within(np.ones((1, 2, 2)), np.ones((1, 3)), reach=1)
    with pytest.raises(ValueError, match="width"):
        recent_attention(3, width=0)
