"""What a mixture of depths promises of the tokens it picks: which, in what order, and where they go back."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.sparsity.depths import (
    add_at,
    keep_largest,
    keep_positive,
    keeping_loss,
    places_of,
    take,
)

DRAWN = settings(deadline=None, derandomize=True, max_examples=40)
TEXTS = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(0, 1000))


def numbers(batch, n, seed):
    return torch.randn(batch, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@DRAWN
@given(text=TEXTS, data=st.data())
def test_the_largest_are_kept_of_each_text(text, data):
    logits = numbers(*text)
    n_keep = data.draw(st.integers(1, logits.shape[1]))
    kept = keep_largest(logits, n_keep=n_keep).numpy()
    for row, values in zip(kept, logits.numpy(), strict=True):
        assert row.sum() == n_keep
        assert values[row].min() >= np.sort(values)[-n_keep]


def test_which_are_largest_depends_on_later_tokens_and_which_are_positive_does_not():
    logits = torch.tensor([[1.0, -1.0, 0.5]])
    later = torch.tensor([[1.0, -1.0, 2.0]])
    assert keep_largest(logits, n_keep=1)[0].tolist() == [True, False, False]
    assert keep_largest(later, n_keep=1)[0].tolist() == [False, False, True]
    assert keep_positive(logits)[0].tolist() == keep_positive(later)[0].tolist() == [True, False, True]


@DRAWN
@given(text=TEXTS)
def test_kept_tokens_stand_in_their_order_and_the_rest_at_the_end(text):
    kept = keep_positive(numbers(*text))
    places, real = places_of(kept)
    assert places.shape == real.shape == (len(kept), int(kept.sum(dim=1).max()))
    for row, row_places, row_real in zip(kept, places, real, strict=True):
        assert row_places[row_real].tolist() == torch.where(row)[0].tolist()
        assert row_real.tolist() == sorted(row_real.tolist(), reverse=True)
        assert len(set(row_places.tolist())) == len(row_places)


@DRAWN
@given(text=TEXTS)
def test_what_is_taken_goes_back_where_it_was(text):
    x, kept = torch.stack([numbers(*text), numbers(*text) + 1], dim=-1), keep_positive(numbers(*text))
    places, real = places_of(kept)
    back = add_at(torch.zeros_like(x), places, take(x, places) * real[..., None])
    torch.testing.assert_close(back, x * kept[..., None], rtol=0, atol=0)


@DRAWN
@given(text=TEXTS)
def test_the_loss_is_the_cross_entropy_of_the_guess(text):
    logits = numbers(*text)
    kept = numbers(text[0], text[1], text[2] + 1) > 0
    each = [
        -math.log(1 / (1 + math.exp(-logit if was else logit)))
        for logit, was in zip(logits.flatten().tolist(), kept.flatten().tolist(), strict=True)
    ]
    assert float(keeping_loss(logits, kept)) == pytest.approx(np.mean(each), rel=1e-9)


@pytest.mark.parametrize(
    ("n_keep", "message"),
    [(0, "n_keep must be a whole number"), (4, "n_keep must be at most the 3 tokens of a text; got 4")],
)
def test_no_more_is_kept_than_there_is(n_keep, message):
    with pytest.raises(ValueError, match=message):
        keep_largest(torch.zeros(2, 3), n_keep=n_keep)
