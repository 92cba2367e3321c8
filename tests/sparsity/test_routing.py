"""What routing promises: the experts of the formula, room for so many, and balance that is worth its name."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from scaling_transformers.sparsity.routing import (
    balance_loss,
    expert_capacity,
    expert_choice,
    load,
    load_entropy,
    top_k,
    updated_bias,
    within_capacity,
)

DRAWN = settings(deadline=None, derandomize=True, max_examples=40)


@st.composite
def routers(draw):
    """Logits (batch, n, n_expert) and the experts a token picks."""
    n_expert = draw(st.integers(2, 6))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 9)), n_expert)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    scale = draw(st.sampled_from([0.1, 1.0, 5.0]))
    logits = scale * torch.randn(shape, dtype=torch.float64, generator=generator)
    return logits, draw(st.integers(1, n_expert))


@DRAWN
@given(router=routers(), seed=st.integers(0, 1000))
def test_a_bias_changes_the_choice_and_not_the_weights(router, seed):
    logits, n_active = router
    bias = torch.randn(logits.shape[-1], dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    weights, experts, probabilities = (each.numpy() for each in top_k(logits, n_active=n_active, bias=bias))
    exponentials = np.exp(logits.numpy())
    shares = exponentials / exponentials.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(probabilities, shares, rtol=1e-12)
    wanted = np.argsort(-(shares + bias.numpy()), axis=-1)[..., :n_active]
    np.testing.assert_array_equal(experts, wanted)
    picked = np.take_along_axis(shares, wanted, axis=-1)
    np.testing.assert_allclose(weights, picked / picked.sum(axis=-1, keepdims=True), rtol=1e-12)


@DRAWN
@given(router=routers(), factor=st.floats(0.1, 3))
def test_an_expert_serves_the_first_tokens_of_each_text_up_to_its_room(router, factor):
    logits, n_active = router
    n, n_expert = logits.shape[1:]
    experts = top_k(logits, n_active=n_active).experts
    capacity = expert_capacity(n, n_expert=n_expert, n_active=n_active, factor=factor)
    kept = within_capacity(experts, n_expert=n_expert, capacity=capacity)
    for text in range(len(logits)):
        room = dict.fromkeys(range(n_expert), capacity)
        for token in range(n):
            for rank in range(n_active):
                expert = int(experts[text, token, rank])
                assert bool(kept[text, token, rank]) is (room[expert] > 0)
                room[expert] -= 1


@DRAWN
@given(n=st.integers(1, 50), n_expert=st.integers(1, 9), data=st.data())
def test_an_equal_share_drops_nothing_of_a_balanced_text(n, n_expert, data):
    n_active = data.draw(st.integers(1, n_expert))
    pairs = np.arange(n * n_active) % n_expert  # in turn: as equal as can be
    counts = np.bincount(pairs, minlength=n_expert)
    assert counts.max() == expert_capacity(n, n_expert=n_expert, n_active=n_active)


def test_all_experts_have_room_for_all_at_most():
    assert expert_capacity(7, n_expert=4, n_active=2, factor=100) == 7
    assert expert_capacity(1, n_expert=8, n_active=1, factor=0.1) == 1


@DRAWN
@given(router=routers(), data=st.data())
def test_each_expert_takes_the_tokens_that_want_it_most(router, data):
    logits, _ = router
    batch, n, n_expert = logits.shape
    n_taken = data.draw(st.integers(1, n))
    weights, tokens = expert_choice(logits, n_taken=n_taken)
    assert weights.shape == tokens.shape == (batch, n_expert, n_taken)
    exponentials = np.exp(logits.numpy())
    shares = exponentials / exponentials.sum(axis=-1, keepdims=True)
    for text in range(batch):
        for expert in range(n_expert):
            wanted = np.argsort(-shares[text, :, expert])[:n_taken]
            np.testing.assert_array_equal(tokens[text, expert], wanted)
            np.testing.assert_allclose(weights[text, expert], shares[text, wanted, expert], rtol=1e-12)


def test_when_experts_choose_a_later_token_takes_the_place_of_an_earlier():
    logits = torch.tensor([[[2.0, 0.0], [0.0, 2.0], [0.0, 1.0]]])
    before = expert_choice(logits, n_taken=1).tokens
    logits[0, 2] = torch.tensor([9.0, 0.0])
    assert before.flatten().tolist() == [0, 1]
    assert expert_choice(logits, n_taken=1).tokens.flatten().tolist() == [2, 1]


@DRAWN
@given(router=routers())
def test_the_balance_loss_is_that_of_the_library_over_the_experts_a_token(router):
    logits, n_active = router
    _, experts, probabilities = top_k(logits, n_active=n_active)
    n_expert = logits.shape[-1]
    peer = load_balancing_loss_func((logits.flatten(0, 1),), n_expert, n_active)
    assert float(balance_loss(probabilities, experts)) == pytest.approx(float(peer) / n_active, rel=1e-6)


@pytest.mark.parametrize(("n_expert", "n_active"), [(4, 1), (4, 2), (8, 3)])
def test_the_balance_loss_is_one_in_balance_and_most_where_the_same_experts_get_all(n_expert, n_active):
    even = torch.full((n_expert, n_expert), 1 / n_expert)
    in_turn = (torch.arange(n_expert)[:, None] + torch.arange(n_active)) % n_expert
    assert float(balance_loss(even, in_turn)) == pytest.approx(1)
    same = torch.arange(n_active).expand(n_expert, -1)
    sure = torch.zeros(n_expert, n_expert)
    sure[:, :n_active] = 1 / n_active
    assert float(balance_loss(sure, same)) == pytest.approx(n_expert / n_active)


def test_the_gradient_of_the_balance_loss_takes_from_the_busy():
    logits = torch.zeros(6, 3, requires_grad=True)
    experts = torch.tensor([[0]] * 4 + [[1]] * 2)
    balance_loss(logits.softmax(dim=-1), experts).backward()
    slopes = logits.grad.sum(dim=0)
    assert slopes[0] > slopes[1] > slopes[2]


@DRAWN
@given(counts=st.lists(st.integers(0, 9), min_size=2, max_size=6).filter(any))
def test_load_and_its_entropy_are_those_of_the_counts(counts):
    experts = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))[:, None]
    shares = load(experts, n_expert=len(counts))
    np.testing.assert_allclose(shares, np.array(counts) / sum(counts), rtol=1e-6)
    used = [count / sum(counts) for count in counts if count]
    entropy = -sum(share * math.log(share) for share in used) / math.log(len(counts))
    assert float(load_entropy(shares)) == pytest.approx(entropy, rel=1e-5, abs=1e-6)


def test_the_bias_rises_for_the_idle_and_falls_for_the_busy():
    bias = updated_bias(torch.zeros(4), torch.tensor([0.5, 0.25, 0.25, 0.0]), rate=0.01)
    torch.testing.assert_close(bias, torch.tensor([-0.01, 0.0, 0.0, 0.01]))


def test_the_bias_brings_a_skewed_router_into_balance():
    generator = torch.Generator().manual_seed(0)
    skew, bias = torch.tensor([1.5, 0.5, 0.0, -0.5]), torch.zeros(4)
    entropies = []
    for _ in range(300):
        logits = skew + torch.randn(256, 4, generator=generator)
        shares = load(top_k(logits, n_active=2, bias=bias).experts, n_expert=4)
        entropies.append(float(load_entropy(shares)))
        bias = updated_bias(bias, shares, rate=0.005)
    assert entropies[0] < 0.93
    assert np.mean(entropies[-50:]) > 0.995


LOGITS = torch.zeros(1, 4, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: top_k(LOGITS, n_active=4), "n_active must be at most n_expert=3; got 4"),
        (lambda: top_k(LOGITS, n_active=0), "n_active must be a whole number of at least 1"),
        (lambda: top_k(LOGITS, n_active=1, bias=torch.zeros(2)), r"bias must have shape \(3,\); got \(2,\)"),
        (lambda: expert_choice(LOGITS, n_taken=5), "n_taken must be at most the 4 tokens of a text; got 5"),
        (lambda: expert_choice(LOGITS, n_taken=0), "n_taken must be a whole number of at least 1"),
        (lambda: expert_capacity(4, n_expert=3, n_active=4), "n_active must be at most n_expert=3"),
        (
            lambda: expert_capacity(4, n_expert=3, n_active=1, factor=0.0),
            "factor must be positive and finite",
        ),
        (lambda: expert_capacity(0, n_expert=3, n_active=1), "n must be a whole number of at least 1"),
        (
            lambda: within_capacity(torch.zeros(1, 2, 1, dtype=torch.int64), n_expert=3, capacity=0),
            "capacity must be a whole number of at least 1",
        ),
        (lambda: load_entropy(torch.ones(1)), "load must have one axis of at least 2 experts"),
    ],
)
def test_what_cannot_be_routed_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
