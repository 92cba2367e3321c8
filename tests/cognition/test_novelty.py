"""What is copied, against a search of every place; shares of what is new, against sets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.cognition.novelty import (
    copied_lengths,
    longest_copied,
    new_share,
    number_words,
    repeated_share,
    words_of,
)

SEQUENCES = st.lists(st.integers(0, 3), max_size=30)


def by_search(text, source):
    """The longest match from every place, found by trying all."""
    found = []
    for start in range(len(text)):
        length = 0
        while start + length < len(text) and any(
            source[s : s + length + 1] == text[start : start + length + 1]
            for s in range(len(source) - length)
        ):
            length += 1
        found.append(length)
    return found


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.lists(SEQUENCES, min_size=1, max_size=4), st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_copied_lengths_are_those_of_a_full_search(texts, source):
    assert [part.tolist() for part in copied_lengths(texts, source)] == [by_search(t, source) for t in texts]


def test_a_text_that_is_in_the_source_is_all_copied_and_a_match_stops_at_its_end():
    source = list(range(100)) * 2
    assert copied_lengths([source[30:90]], source)[0].tolist() == list(range(60, 0, -1))
    assert copied_lengths([[98, 99, 0, 1]], list(range(100)))[0].tolist() == [2, 1, 2, 1]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.lists(st.integers(0, 3), min_size=6, max_size=30), st.lists(st.integers(0, 3), min_size=6, max_size=60)
)
def test_novelty_is_the_share_of_sequences_that_are_in_no_set(text, source):
    lengths = copied_lengths([text], source)
    for n in range(1, 6):
        known = {tuple(source[i : i + n]) for i in range(len(source) - n + 1)}
        grams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
        assert new_share(lengths, n=n) == pytest.approx(np.mean([gram not in known for gram in grams]))
        joined = [gram not in known and set(gram) <= set(source) for gram in grams]
        assert new_share(lengths, n=n, known_elements=True) == pytest.approx(np.mean(joined))
    assert longest_copied(lengths[0]) == max(lengths[0])


def test_words_are_small_and_marks_stand_alone():
    assert words_of("Return None -- don't.") == ["return", "none", "-", "-", "don't", "."]
    first, second = number_words(words_of("a b a"), words_of("b c"))
    assert first.tolist() == [0, 1, 0]
    assert second.tolist() == [1, 2]


def test_nothing_is_new_or_copied_of_nothing():
    assert copied_lengths([[]], [1])[0].tolist() == []
    assert longest_copied([]) == 0
    with pytest.raises(ValueError, match="source must not be empty"):
        copied_lengths([[1]], [])
    with pytest.raises(ValueError, match="negative"):
        copied_lengths([[-1]], [1])
    with pytest.raises(ValueError, match="n must be at most"):
        new_share([np.array([1])], n=2)


def test_what_stood_before_is_counted_once_less_than_it_stands():
    assert repeated_share([1, 2, 1, 2, 1, 2], n=2) == pytest.approx(3 / 5)
    assert repeated_share([1, 2, 3], n=3) == 0
    with pytest.raises(ValueError, match="n must be at most"):
        repeated_share([1], n=2)


def test_numbers_go_on_from_text_to_text():
    numbers = {}
    number_words(["a", "b"], numbers=numbers)
    assert number_words(["b", "c"], numbers=numbers)[0].tolist() == [1, 2]
