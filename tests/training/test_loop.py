"""What training promises: it learns, it repeats to the bit, and it stops when the loss is lost."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from scaling_transformers import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.training import sample_batch, token_losses, train, validation_loss

PERIODIC = np.tile(np.frombuffer(b"abcdefgh", dtype=np.uint8) - ord("a"), 50)


def make(seed=0):
    torch.manual_seed(seed)
    return Transformer(TransformerConfig(1, 16, 2, 8, 16))


def run(seed=0, n_step=60, **changes):
    model = make()
    return model, train(
        model, PERIODIC, n_step=n_step, batch=8, n=8, seed=seed, **{"learning_rate": 1e-2, **changes}
    )


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    length=st.integers(2, 40), n=st.integers(1, 40), batch=st.integers(1, 5), seed=st.integers(0, 2**32 - 1)
)
def test_targets_are_the_successors_in_the_text(length, n, batch, seed):
    n = min(n, length - 1)
    text = np.arange(length, dtype=np.uint8) + 100  # every token tells where it stood
    tokens, targets = sample_batch(text, batch=batch, n=n, generator=np.random.default_rng(seed))
    assert tokens.shape == targets.shape == (batch, n)
    assert tokens.dtype == targets.dtype == torch.int64
    assert (targets == tokens + 1).all()
    assert (tokens[:, 1:] == targets[:, :-1]).all()
    assert tokens.min() >= 100
    assert targets.max() < 100 + length


def test_every_cut_of_a_text_can_be_drawn():
    text = np.arange(6, dtype=np.uint8)
    tokens, _ = sample_batch(text, batch=200, n=2, generator=np.random.default_rng(0))
    assert set(tokens[:, 0].tolist()) == {0, 1, 2, 3}


def test_a_text_too_short_is_refused():
    with pytest.raises(ValueError, match=r"text must have one axis of at least 9 tokens; got shape \(8,\)"):
        sample_batch(PERIODIC[:8], batch=1, n=8, generator=np.random.default_rng(0))


def test_training_learns_a_periodic_text():
    model, losses = run()
    assert losses[0] == pytest.approx(math.log(8), abs=0.1)  # knows nothing yet
    assert losses[-1] < 0.1
    assert validation_loss(model, PERIODIC, n=8, n_text=8) < 0.1


def test_training_repeats_to_the_bit_for_one_seed():
    (one, first), (other, second), (_, third) = run(n_step=8), run(n_step=8), run(n_step=8, seed=1)
    assert first == second
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert first != third


def test_each_step_is_told_its_loss():
    told = []
    _, losses = run(n_step=5, each_step=lambda step, loss: told.append((step, loss)))
    assert told == list(enumerate(losses))


def test_a_lost_loss_names_step_and_learning_rate():
    with pytest.raises(FloatingPointError, match=r"loss is nan at step [1-9]\d* with learning rate 1e\+30"):
        run(learning_rate=1e30)


def test_validation_loss_is_the_mean_over_all_tokens():
    model, text = make(), np.random.default_rng(3).integers(0, 8, 200).astype(np.uint8)
    drawn, generator, losses = [], np.random.default_rng(5), []
    for count in (32, 8):  # an uneven last batch, which a mean of means would weigh too much
        drawn.append(sample_batch(text, batch=count, n=4, generator=generator))
    for tokens, targets in drawn:
        for text_tokens, text_targets in zip(tokens, targets, strict=True):
            losses += F.cross_entropy(model(text_tokens[None])[0], text_targets, reduction="none").tolist()
    assert validation_loss(model, text, n=4, n_text=40, seed=5) == pytest.approx(np.mean(losses), rel=1e-6)
    assert all(parameter.grad is None for parameter in model.parameters())


@torch.no_grad()
def test_the_loss_of_a_token_is_that_of_predicting_it_from_those_before():
    model = make()
    tokens = torch.from_numpy(PERIODIC[:12].astype(np.int64))[None]
    losses = token_losses(model, tokens)
    assert losses.shape == (1, 11)
    for place in range(1, 12):
        chances = torch.softmax(model(tokens[:, :place])[0, -1], dim=0)
        assert losses[0, place - 1].item() == pytest.approx(-math.log(chances[tokens[0, place]]), rel=1e-5)


@pytest.mark.parametrize(("name", "value"), [("batch", 0), ("n", 0), ("n", 1.5)])
def test_a_batch_without_tokens_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1"):
        sample_batch(
            np.zeros(50, np.uint8), **{"batch": 2, "n": 4, name: value}, generator=np.random.default_rng(0)
        )
