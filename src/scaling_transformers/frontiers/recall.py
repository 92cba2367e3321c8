"""A task of memory alone: pairs of a key and a value are read, then the keys are asked for, in any order."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from scaling_transformers.attention.masks import require_count
from scaling_transformers.model import Transformer
from scaling_transformers.training.loop import measuring

N_KEY, N_VALUE = 16, 4
FIRST_QUESTION = N_KEY * N_VALUE  # tokens before it are pairs, N_VALUE of each key
FIRST_ANSWER = FIRST_QUESTION + N_KEY
NOTHING = FIRST_ANSWER + N_VALUE  # what is to be answered where nothing was asked
VOCAB_SIZE = NOTHING + 1
PAIRS = (1, 2, 4, 8, 16)


def recall_batch(*, batch: int, n_pair: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Texts of ``n_pair`` pairs with different keys, and then a question for each key, in another order.

    A pair is one token, so that no layer has to join a key with the value beside it, and a question is
    one. The target of a question is its key's value; that of a pair is `NOTHING`.

    Returns
    -------
    tokens, targets : integer tensors, shape (batch, 2 * n_pair)

    Raises
    ------
    ValueError
        If ``n_pair`` is not a whole number from 1 to `N_KEY`, or ``batch`` not one of at least 1.

    Source: Arora et al. 2023 (Zoology), multi-query associative recall, made easier: there a key and its
    value are two tokens.
    """
    require_count(batch=batch, n_pair=n_pair)
    if n_pair > N_KEY:
        raise ValueError(f"n_pair must be at most {N_KEY}; got {n_pair}")
    keys = generator.random((batch, N_KEY)).argsort(axis=1)[:, :n_pair]
    values = generator.integers(N_VALUE, size=(batch, n_pair))
    order = generator.random((batch, n_pair)).argsort(axis=1)
    asked, answers = (np.take_along_axis(part, order, axis=1) for part in (keys, values))
    pairs = N_VALUE * keys + values
    tokens = np.concatenate([pairs, FIRST_QUESTION + asked], axis=1)
    targets = np.concatenate([np.full_like(pairs, NOTHING), FIRST_ANSWER + answers], axis=1)
    return torch.from_numpy(tokens), torch.from_numpy(targets)


def sample_recall(text: Any, *, batch: int, n: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Texts for `train`, all with as many pairs: one of the `PAIRS` that fit into ``n`` tokens, at random.

    ``batch`` texts of the most pairs; of fewer pairs as many more, so that a batch always asks as much.
    """
    del text  # the task is drawn, not read
    fit = [n_pair for n_pair in PAIRS if 2 * n_pair <= n]
    n_pair = int(generator.choice(fit))
    return recall_batch(batch=batch * fit[-1] // n_pair, n_pair=n_pair, generator=generator)


def recall_accuracy(model: Transformer, *, n_pair: int, n_text: int = 128, seed: int = 0) -> float:
    """Share of the keys asked for whose value is the model's first choice among all tokens.

    Guessing a value gives ``1 / N_VALUE``.
    """
    generator = np.random.default_rng([seed, n_pair])
    tokens, targets = recall_batch(batch=n_text, n_pair=n_pair, generator=generator)
    with measuring(model):
        found = model(tokens).argmax(dim=-1)
    return float((found == targets)[:, n_pair:].double().mean())
