"""The association test equals its definition, counts every division, and knows neither scale nor order."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.society import effect_size, permutation_test, weat
from scaling_transformers.society.association import associations, cosine_similarity

E = np.eye(2)


def test_by_hand_in_the_plane():
    """x lies on a's axis and y on b's: associations 1, 1, -1, -1, whose deviation is 2 / sqrt(3)."""
    found = weat([E[0], 2 * E[0]], [E[1], 3 * E[1]], [E[0]], [E[1]])
    assert found.effect_size == pytest.approx(np.sqrt(3))
    assert (found.n_partition, found.exact) == (6, True)
    assert found.p_value == pytest.approx(1 / 6)


def test_ties_count_against_the_finding():
    assert permutation_test([1.0, 0.0], [1.0, 0.0])[0] == pytest.approx(5 / 6)  # all but the two zeros first
    assert permutation_test([0.1, 0.1], [0.1, 0.1])[0] == 1.0
    assert effect_size([0.1, 0.1], [0.1, 0.1]) == 0.0


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_the_p_value_is_that_of_an_enumeration_with_both_sums(seed, n):
    x, y = np.random.default_rng(seed).integers(-3, 4, size=(2, n)).astype(float)
    both, found, count = np.concatenate([x, y]), x.mean() - y.mean(), 0
    divisions = list(combinations(range(2 * n), n))
    for chosen in divisions:
        rest = [i for i in range(2 * n) if i not in chosen]
        count += both[list(chosen)].mean() - both[rest].mean() >= found - 1e-9
    assert permutation_test(x, y) == (count / len(divisions), len(divisions), True)


def test_drawn_divisions_come_near_all_of_them_and_are_never_none():
    x, y = np.random.default_rng(0).standard_normal((2, 6))
    exact = permutation_test(x + 0.5, y)
    drawn = permutation_test(x + 0.5, y, n_sample=900, seed=3)
    assert (exact[1:], drawn[1:]) == ((924, True), (900, False))
    assert drawn[0] == pytest.approx(exact[0], abs=0.05)
    assert permutation_test(np.arange(6) + 10.0, np.arange(6), n_sample=100)[0] >= 1 / 100
    assert drawn == permutation_test(x + 0.5, y, n_sample=900, seed=3)


@settings(deadline=None, derandomize=True, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10.0))
def test_lengths_of_vectors_do_not_matter_and_swapping_turns_the_sign(seed, scale):
    x, y, a, b = np.random.default_rng(seed).standard_normal((4, 3, 5))
    one, scaled, turned = weat(x, y, a, b), weat(scale * x, y, a, scale * b), weat(x, y, b, a)
    assert scaled.effect_size == pytest.approx(one.effect_size)
    assert turned.effect_size == pytest.approx(-one.effect_size)
    by_loop = [
        np.mean([w @ v / np.linalg.norm(w) / np.linalg.norm(v) for v in a])
        - np.mean([w @ v / np.linalg.norm(w) / np.linalg.norm(v) for v in b])
        for w in x
    ]
    np.testing.assert_allclose(associations(x, a, b), by_loop)


def test_what_has_no_answer_is_refused():
    with pytest.raises(ValueError, match="x must hold finite vectors that are not zero"):
        cosine_similarity([[0.0, 0.0]], E)
    with pytest.raises(ValueError, match="vectors of one length"):
        cosine_similarity(E, np.eye(3))
    with pytest.raises(ValueError, match="x must hold vectors"):
        cosine_similarity([1.0, 2.0], E)
    with pytest.raises(ValueError, match="of one size, at least 2"):
        permutation_test([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="n_sample must be a whole number"):
        permutation_test([1.0, 2.0], [1.0, 2.0], n_sample=0)
