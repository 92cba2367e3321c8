"""The task of recall: that its answers are in its texts, and how answers are scored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from scaling_transformers.frontiers.recall import (
    FIRST_ANSWER,
    FIRST_QUESTION,
    N_KEY,
    N_VALUE,
    NOTHING,
    PAIRS,
    VOCAB_SIZE,
    recall_accuracy,
    recall_batch,
    sample_recall,
)


@given(n_pair=st.integers(1, N_KEY), batch=st.integers(1, 4), seed=st.integers(0, 99))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_every_answer_is_the_value_that_stands_with_its_key(n_pair: int, batch: int, seed: int) -> None:
    tokens, targets = recall_batch(batch=batch, n_pair=n_pair, generator=np.random.default_rng(seed))
    assert tokens.shape == targets.shape == (batch, 2 * n_pair)
    for text, answers in zip(tokens.tolist(), targets.tolist(), strict=True):
        pairs = dict(divmod(token, N_VALUE) for token in text[:n_pair])
        assert len(pairs) == n_pair  # no key comes twice
        asked = [token - FIRST_QUESTION for token in text[n_pair:]]
        assert answers == [NOTHING] * n_pair + [FIRST_ANSWER + pairs[key] for key in asked]
        assert sorted(asked) == sorted(pairs)


def test_batches_for_training_have_a_length_that_fits() -> None:
    generator = np.random.default_rng(0)
    lengths = {sample_recall(None, batch=2, n=33, generator=generator)[0].shape[1] for _ in range(50)}
    assert lengths == {2 * n_pair for n_pair in PAIRS if 2 * n_pair <= 33}


class Oracle(nn.Module):
    """Looks each key up in the text, and is wrong about a share of them."""

    def __init__(self, wrong: float):
        super().__init__()
        self.wrong = wrong

    def forward(self, tokens: Tensor) -> Tensor:
        n = tokens.shape[1] // 2
        logits = torch.zeros(*tokens.shape, VOCAB_SIZE)
        for row, text in enumerate(tokens.tolist()):
            pairs = dict(divmod(token, N_VALUE) for token in text[:n])
            for i, question in enumerate(text[n:]):
                value = FIRST_ANSWER + pairs[question - FIRST_QUESTION]
                logits[row, n + i, value if i >= self.wrong * n else NOTHING] = 1.0
        return logits


@pytest.mark.parametrize("wrong", [0.0, 0.25, 1.0])
def test_the_share_found_is_that_of_the_keys_asked_for(wrong: float) -> None:
    assert recall_accuracy(Oracle(wrong), n_pair=8, n_text=4) == pytest.approx(1 - wrong)  # type: ignore[arg-type]


def test_more_pairs_than_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="n_pair must be at most"):
        recall_batch(batch=1, n_pair=N_KEY + 1, generator=np.random.default_rng(0))
