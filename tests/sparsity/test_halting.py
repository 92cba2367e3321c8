"""What halting promises: chances that sum to 1, as the papers write them, and FLOPs that follow the steps."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions

from scaling_transformers import TransformerConfig
from scaling_transformers.accounting import forward_flops
from scaling_transformers.sparsity.halting import (
    act,
    divergence,
    expected_loss,
    flops_of_tokens,
    flops_run,
    geometric_prior,
    halting_log_probabilities,
    mean_state,
    median_step,
)

CHANCES = st.lists(st.floats(0, 1), max_size=8)
LOGITS = st.lists(st.floats(-30, 30), max_size=8)


def act_step_by_step(halting, epsilon):
    """Graves 2016, section 2, in words: go on until the sum is near 1 or no step is left."""
    weights, total, n_step = [], 0.0, len(halting) + 1
    for n in range(1, n_step + 1):
        if n == n_step or total + halting[n - 1] >= 1 - epsilon:
            remainder = 1 - sum(weights)
            return [*weights, remainder] + [0.0] * (n_step - n), n, remainder
        weights.append(halting[n - 1])
        total += halting[n - 1]
    raise AssertionError


@settings(deadline=None, derandomize=True)
@given(halting=CHANCES, epsilon=st.sampled_from([0.0, 0.01, 0.3]))
def test_weights_steps_and_remainder_are_those_of_a_loop_over_the_steps(halting, epsilon):
    found = act(torch.tensor(halting, dtype=torch.float64), epsilon=epsilon)
    weights, steps, remainder = act_step_by_step(halting, epsilon)
    assert found.weights.tolist() == pytest.approx(weights, abs=1e-12)
    assert found.weights.sum().item() == pytest.approx(1)
    assert (found.steps.item(), found.remainder.item()) == (steps, pytest.approx(remainder))
    assert found.cost.item() == pytest.approx(steps + remainder)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    batch=st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=4),
)
def test_tokens_halt_each_on_its_own(batch):
    together = act(torch.tensor(batch))
    for i, halting in enumerate(batch):
        alone = act(torch.tensor(halting))
        assert all(torch.equal(whole[i], part) for whole, part in zip(together, alone, strict=True))


def test_the_ponder_cost_falls_where_earlier_steps_want_to_halt_more():
    halting = torch.tensor([0.2, 0.3, 0.9, 0.5], requires_grad=True)
    act(halting).cost.backward()
    assert halting.grad.tolist() == [-1, -1, 0, 0]  # the remainder is 1 - 0.2 - 0.3


def test_gradients_of_the_mean_state_are_those_of_small_changes():
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(2, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    halting = (0.4 * torch.rand(2, 3, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda s, h: mean_state(s, act(h).weights), (states, halting))


@settings(deadline=None, derandomize=True)
@given(logits=LOGITS)
def test_chances_to_halt_are_the_products_of_those_to_go_on_and_sum_to_one(logits):
    found = halting_log_probabilities(torch.tensor(logits, dtype=torch.float64)).exp()
    chances = [1 / (1 + math.exp(-logit)) for logit in logits] + [1.0]
    products = [
        chance * math.prod(1 / (1 + math.exp(logit)) for logit in logits[:n])
        for n, chance in enumerate(chances)
    ]
    assert found.tolist() == pytest.approx(products, rel=1e-9)
    assert found.sum().item() == pytest.approx(1)


@settings(deadline=None, derandomize=True)
@given(n_step=st.integers(1, 12), rate=st.floats(0.01, 0.99))
def test_the_prior_is_torchs_geometric_distribution_up_to_the_last_step(n_step, rate):
    failures = torch.arange(n_step, dtype=torch.float64)
    expected = distributions.Geometric(torch.tensor(rate, dtype=torch.float64)).log_prob(failures).exp()
    torch.testing.assert_close(geometric_prior(n_step=n_step, rate=rate), expected / expected.sum())


@settings(deadline=None, derandomize=True)
@given(logits=LOGITS, rate=st.floats(0.05, 0.95))
def test_the_divergence_is_torchs_own(logits, rate):
    chances = halting_log_probabilities(torch.tensor(logits, dtype=torch.float64))
    prior = geometric_prior(n_step=len(logits) + 1, rate=rate)
    expected = distributions.kl_divergence(
        distributions.Categorical(logits=chances), distributions.Categorical(probs=prior)
    )
    torch.testing.assert_close(divergence(chances, prior), expected, rtol=1e-7, atol=1e-9)


@settings(deadline=None, derandomize=True)
@given(logits=st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=6))
def test_even_certain_halting_has_a_finite_divergence_and_gradient(logits):
    wish = torch.tensor(logits, requires_grad=True)
    found = divergence(halting_log_probabilities(wish), geometric_prior(n_step=len(logits) + 1))
    found.backward()
    assert torch.isfinite(found)
    assert torch.isfinite(wish.grad).all()


def test_the_expected_loss_is_the_mean_over_many_draws():
    chances = halting_log_probabilities(torch.tensor([-1.0, 0.5, 0.0])).exp()
    losses = torch.tensor([4.0, 2.0, 1.0, 0.5])
    drawn = np.random.default_rng(0).choice(losses.numpy(), size=200_000, p=chances.double() / chances.sum())
    assert expected_loss(losses, chances).item() == pytest.approx(drawn.mean(), abs=0.02)


@settings(deadline=None, derandomize=True)
@given(logits=LOGITS)
def test_the_median_step_is_the_first_past_one_half(logits):
    chances = halting_log_probabilities(torch.tensor(logits, dtype=torch.float64))
    sums = np.cumsum(np.exp(chances.numpy()))
    expected = next((n for n, total in enumerate(sums, start=1) if total > 0.5), len(sums))
    assert median_step(chances).item() == expected


def test_flops_that_run_are_those_of_each_texts_slowest_token():
    config = TransformerConfig(4, 8, 2, 11, 6, halting="act")
    full = forward_flops(config, batch=2, seq_len=3).total
    assert flops_run(config, torch.full((2, 3), 4)) == full
    one_slow = flops_run(config, torch.tensor([[1, 4, 1], [1, 1, 1]]))
    assert flops_run(config, torch.ones(2, 3, dtype=torch.int64)) < one_slow < full


def test_a_decoder_that_takes_each_tokens_steps_saves_what_is_not_run_but_keys_and_values():
    config = TransformerConfig(4, 8, 2, 11, 6, n_kv_head=1, halting="act")
    run, full = flops_of_tokens(config, torch.full((2, 3), 4))
    assert run == full == forward_flops(config, batch=2, seq_len=3, causal_skip=True).total
    for steps in range(1, 4):
        short = forward_flops(config.replace(n_layer=steps), batch=2, seq_len=3, causal_skip=True).total
        halted = 2 * 3 * (2 * 8 * 2 * 4 + 2 * 8)  # six tokens: keys and values 4 wide, and the wish to halt
        assert flops_of_tokens(config, torch.full((2, 3), steps)) == (short + halted, full)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: act(torch.tensor([1.5])), "halting must lie from 0 to 1"),
        (lambda: act(torch.tensor([math.nan])), "halting must lie from 0 to 1"),
        (lambda: act(torch.tensor([0.5]), epsilon=1.0), "epsilon must be at least 0 and below 1; got 1.0"),
        (lambda: geometric_prior(n_step=3, rate=1.0), "rate must be above 0 and below 1; got 1.0"),
        (lambda: geometric_prior(n_step=0), "n_step must be a whole number of at least 1; got 0"),
        (
            lambda: flops_of_tokens(TransformerConfig(2, 8, 2, 11, 6, halting="ponder"), torch.ones(1, 2)),
            "halting must be 'act' in the config; got 'ponder'",
        ),
        (
            lambda: flops_run(TransformerConfig(2, 8, 2, 11, 6), torch.ones(1, 2)),
            "config must have halting",
        ),
        (
            lambda: flops_run(TransformerConfig(2, 8, 2, 11, 6, halting="act"), torch.tensor([[3]])),
            r"steps must have shape \(batch, n\) and lie from 1 to n_layer=2",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
