"""What a mask promises: each entry is the rule in words, and what it hides has no say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.attention import (
    causal_mask,
    padding_mask,
    scaled_dot_product_attention,
    window_mask,
)

reproducible = settings(deadline=None, max_examples=60, derandomize=True)
lengths = st.integers(1, 9)


@reproducible
@given(n_q=lengths, n_k=lengths, window=st.integers(1, 12))
def test_masks_are_the_rule_in_words(n_q, n_k, window):
    pairs = [[(i, j) for j in range(n_k)] for i in range(n_q)]
    causal = [[j <= i for i, j in row] for row in pairs]
    windowed = [[j in range(i - window + 1, i + 1) for i, j in row] for row in pairs]
    for like in (None, np.ones(1), torch.ones(1)):
        for mask, expected in (
            (causal_mask(n_q, n_k, like=like), causal),
            (window_mask(n_q, n_k, window=window, like=like), windowed),
        ):
            assert mask.tolist() == expected
            assert isinstance(mask, torch.Tensor) == isinstance(like, torch.Tensor)


def test_without_a_number_of_keys_a_mask_is_square():
    assert causal_mask(5).shape == window_mask(5, window=2).shape == (5, 5)


@pytest.mark.parametrize("library", ["numpy", "torch"])
@reproducible
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_padding_has_no_say(library, lengths, seed):
    q, k, v = np.random.default_rng(seed).normal(size=(3, len(lengths), 2, 6, 4))
    counts = np.array(lengths)
    if library == "torch":
        q, k, v, counts = map(torch.from_numpy, (q, k, v, counts))
    out = scaled_dot_product_attention(q, k, v, mask=padding_mask(counts, n_k=6))
    for text, n in enumerate(lengths):
        alone = scaled_dot_product_attention(q[text], k[text, :, :n], v[text, :, :n])
        np.testing.assert_allclose(np.asarray(out[text]), np.asarray(alone), atol=1e-12)


def test_an_empty_text_sees_nothing():
    assert not padding_mask(np.array([0, 2]), n_k=3)[0].any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: causal_mask(0), "n_q must be a whole number of at least 1; got 0"),
        (lambda: causal_mask(2, -1), "n_k must be a whole number of at least 1; got -1"),
        (lambda: causal_mask(2.0), "n_q must be a whole number of at least 1; got 2.0"),
        (lambda: causal_mask(2, like=[1]), "like must be a NumPy array or a torch tensor"),
        (lambda: window_mask(2, window=0), "window must be a whole number of at least 1; got 0"),
        (lambda: window_mask(2, window=True), "window must be a whole number"),
        (lambda: padding_mask(np.array([4]), n_k=3), r"lengths must lie between 0 and n_k=3; got \[4\]"),
        (lambda: padding_mask(np.array([-1]), n_k=3), r"lengths must lie between 0 and n_k=3; got \[-1\]"),
        (lambda: padding_mask(np.array([1.0]), n_k=3), "lengths must be whole numbers with one axis"),
        (lambda: padding_mask(np.array([[1]]), n_k=3), "lengths must be whole numbers with one axis"),
        (lambda: padding_mask([1], n_k=3), "lengths must be a NumPy array or a torch tensor"),
        (lambda: padding_mask(np.array([1]), n_k=0), "n_k must be a whole number of at least 1"),
    ],
)
def test_a_bad_argument_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
