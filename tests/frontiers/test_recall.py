"""The task of recall: that its answers are in its texts, and how answers are scored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from scaling_transformers.frontiers.recall import (
    N_KEY,
    NOTHING,
    PAIRS,
    VOCAB_SIZE,
    recall_accuracy,
    recall_batch,
    sample_recall,
)


@given(n_pair=st.integers(1, N_KEY), batch=st.integers(1, 4), seed=st.integers(0, 99))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_every_answer_follows_its_key_in_the_text(n_pair: int, batch: int, seed: int) -> None:
    tokens, targets = recall_batch(batch=batch, n_pair=n_pair, generator=np.random.default_rng(seed))
    assert tokens.shape == targets.shape == (batch, 3 * n_pair)
    for text, answers in zip(tokens.tolist(), targets.tolist(), strict=True):
        pairs = dict(zip(text[: 2 * n_pair : 2], text[1 : 2 * n_pair : 2], strict=True))
        assert len(pairs) == n_pair  # no key comes twice
        assert answers[: 2 * n_pair] == [NOTHING] * (2 * n_pair)
        assert [pairs[key] for key in text[2 * n_pair :]] == answers[2 * n_pair :]
        assert sorted(text[2 * n_pair :]) == sorted(pairs)
        assert set(text) <= set(range(NOTHING + 1, VOCAB_SIZE))


def test_batches_for_training_have_one_length_that_fits() -> None:
    generator = np.random.default_rng(0)
    lengths = {sample_recall(None, batch=2, n=50, generator=generator)[0].shape[1] for _ in range(50)}
    assert lengths == {3 * n_pair for n_pair in PAIRS if 3 * n_pair <= 50}


class Oracle(nn.Module):
    """Looks each key up in the text, and is wrong about a share of them."""

    def __init__(self, wrong: float):
        super().__init__()
        self.wrong = wrong

    def forward(self, tokens: Tensor) -> Tensor:
        n = tokens.shape[1] // 3
        logits = torch.zeros(*tokens.shape, VOCAB_SIZE)
        for row, text in enumerate(tokens.tolist()):
            pairs = dict(zip(text[: 2 * n : 2], text[1 : 2 * n : 2], strict=True))
            for place in range(2 * n, 3 * n):
                right = (place - 2 * n) >= self.wrong * n
                logits[row, place, pairs[text[place]] if right else NOTHING] = 1.0
        return logits


@pytest.mark.parametrize("wrong", [0.0, 0.25, 1.0])
def test_the_share_found_is_that_of_the_keys_asked_for(wrong: float) -> None:
    assert recall_accuracy(Oracle(wrong), n_pair=8, n_text=4) == pytest.approx(1 - wrong)  # type: ignore[arg-type]


def test_more_pairs_than_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="n_pair must be at most"):
        recall_batch(batch=1, n_pair=N_KEY + 1, generator=np.random.default_rng(0))
