"""What a number about attention promises: the plain reading of its definition."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.attention import (
    attention_distance,
    attention_entropy,
    induction_score,
    offset_score,
    softmax,
)

reproducible = settings(deadline=None, max_examples=60, derandomize=True)


@st.composite
def weights(draw):
    shape = (2, draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return softmax(draw(st.sampled_from([0.0, 1.0, 30.0])) * generator.normal(size=shape))


@reproducible
@given(weights=weights())
def test_entropy_is_torchs_own_and_lies_between_none_and_all_alike(weights):
    entropy = attention_entropy(weights)
    wanted = torch.distributions.Categorical(probs=torch.from_numpy(weights)).entropy()
    np.testing.assert_allclose(entropy, wanted, atol=1e-9)
    assert (entropy >= 0).all()
    assert (entropy <= np.log(weights.shape[-1]) + 1e-12).all()


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_entropy_is_zero_for_one_key_and_the_logarithm_for_all_alike(library):
    rows = np.array([[0, 1, 0, 0], [0.25, 0.25, 0.25, 0.25], [0, 0.5, 0.5, 0], [0, 0, 0, 0]])
    entropy = attention_entropy(rows if library == "numpy" else torch.from_numpy(rows))
    np.testing.assert_allclose(np.asarray(entropy), [0, np.log(4), np.log(2), 0], atol=1e-15)


@reproducible
@given(weights=weights())
def test_distance_is_the_weighted_mean_of_steps(weights):
    _, n_q, n_k = weights.shape
    wanted = [[sum(head[i, j] * abs(i - j) for j in range(n_k)) for i in range(n_q)] for head in weights]
    for given_weights in (weights, torch.from_numpy(weights)):
        np.testing.assert_allclose(np.asarray(attention_distance(given_weights)), wanted, atol=1e-12)


def looking_back(n, offset):
    """A head whose every query attends to the key ``offset`` tokens before it, if there is one."""
    matrix = np.zeros((n, n))
    for i in range(offset, n):
        matrix[i, i - offset] = 1
    return matrix


@pytest.mark.parametrize("offset", [0, 1, 3, 6])
def test_a_head_that_looks_back_scores_one_at_its_offset_and_zero_beside_it(offset):
    head = looking_back(7, offset)
    assert offset_score(head, offset=offset) == 1
    half = torch.from_numpy(np.stack([head, head / 2]))
    assert offset_score(half, offset=offset).tolist() == [1, 0.5]
    assert all(offset_score(head, offset=other) == 0 for other in range(7) if other != offset)


@pytest.mark.parametrize("period", [1, 2, 5])
def test_a_perfect_induction_head_scores_one_and_its_neighbours_zero(period):
    text = [token for _ in range(3) for token in range(period)]
    n = len(text)
    head, early, late = np.zeros((3, n, n))
    for i in range(period, n):
        copy = max(j for j in range(i) if text[j] == text[i])  # the last time this token was read
        head[i, copy + 1] = 1  # what came after it then
        early[i, copy] = 1
        late[i, copy + 2 if copy + 2 <= i else 0] = 1
    assert induction_score(head, period=period) == 1
    assert induction_score(early, period=period) == 0
    assert induction_score(late, period=period) == 0
    stack = torch.from_numpy(np.stack([head, 0.25 * head + 0.75 * early]))
    assert induction_score(stack, period=period).tolist() == [1, 0.25]


def test_what_comes_before_the_repetition_does_not_count():
    head = np.zeros((6, 6))
    head[3:, 1:4] = np.eye(3)
    noise = head.copy()
    noise[:3] = 1 / 6
    assert induction_score(noise, period=3) == induction_score(head, period=3) == 1


W = np.full((4, 4), 0.25)


@pytest.mark.parametrize(
    "score", [attention_entropy, attention_distance, lambda w: offset_score(w, offset=0)]
)
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (W[0], "weights must have query and key axes"),
        (W[:0], "weights must not be empty"),
        (W.astype(int), "weights must be floating point"),
        (W * np.nan, "weights must be finite"),
        (-W, "weights must lie between 0 and 1"),
        (8 * W, "weights must lie between 0 and 1"),
        (W.tolist(), "weights must be a NumPy array or a torch tensor"),
    ],
)
def test_weights_that_are_none_are_named(score, weights, message):
    with pytest.raises(ValueError, match=message):
        score(weights)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: offset_score(W, offset=4), "offset must be less than the number of queries, 4; got 4"),
        (lambda: offset_score(W, offset=-1), "offset must be a whole number of at least 0; got -1"),
        (lambda: induction_score(W, period=4), "period must be less than the number of queries, 4; got 4"),
        (lambda: induction_score(W, period=0), "period must be a whole number of at least 1; got 0"),
    ],
)
def test_a_bad_offset_or_period_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
