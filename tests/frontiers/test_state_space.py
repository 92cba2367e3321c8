"""The state space, against the recurrence written out and the solution of its equation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from scaling_transformers.config import TransformerConfig
from scaling_transformers.frontiers.cheap_counts import N_TAP
from scaling_transformers.frontiers.state_space import StateSpace, discretise, scan, selective_scan
from scaling_transformers.model.attention import Context

CONFIG = TransformerConfig(
    2, 8, 2, vocab_size=11, n_ctx=32, position="rotary", norm="rmsnorm", bias=False, tie_embeddings=False
)


def layer(seed: int = 0) -> StateSpace:
    torch.manual_seed(seed)
    made = StateSpace(CONFIG, n_state=4).double()
    torch.nn.init.normal_(made.out.weight)  # it starts at zero, where nothing could be seen
    return made


def plain(u: Tensor, step: Tensor, rate: Tensor, b: Tensor, c: Tensor, start: Tensor) -> Tensor:
    """Token by token, with nothing but autograd."""
    state, out = start, []
    for t in range(len(u)):
        decay = torch.exp(step[t][..., None] * rate)
        gain = (decay - 1) / rate
        state = decay * state + gain * b[t][:, None, :] * u[t][..., None]
        out.append((state * c[t][:, None, :]).sum(dim=-1))
    return torch.stack(out)


def inputs(n: int, batch: int = 2, d: int = 3, n_state: int = 4, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return [
        draw(n, batch, d),
        draw(n, batch, d).exp(),
        -draw(d, n_state).exp(),
        draw(n, batch, n_state),
        draw(n, batch, n_state),
        draw(batch, d, n_state),
    ]


@given(n=st.integers(1, 40), chunk=st.integers(1, 9), backward=st.booleans(), seed=st.integers(0, 99))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_the_scan_is_the_recurrence_for_every_length_of_chunk(
    n: int, chunk: int, backward: bool, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    decay, drive = generator.random((n, 2, 3)), generator.standard_normal((n, 2, 3))
    expected = np.zeros_like(drive)
    for t in reversed(range(n)) if backward else range(n):
        if backward:
            expected[t] = drive[t] + (decay[t + 1] * expected[t + 1] if t + 1 < n else 0)
        else:
            expected[t] = drive[t] + (decay[t] * expected[t - 1] if t else 0)
    found = scan(torch.from_numpy(decay), torch.from_numpy(drive), chunk=chunk, backward=backward)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_a_decay_to_nothing_does_not_overflow() -> None:
    found = scan(torch.full((64, 1), 1e-30), torch.ones(64, 1))
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, torch.ones(64, 1))


def test_the_scan_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="one shape"):
        scan(torch.ones(3, 1), torch.ones(4, 1))
    with pytest.raises(ValueError, match="chunk"):
        scan(torch.ones(3, 1), torch.ones(3, 1), chunk=0)


def test_zero_order_hold_solves_the_equation() -> None:
    step, rate, h, x = 0.7, -1.3, 0.4, 2.0
    decay, gain = discretise(torch.tensor([[step]]).double(), torch.tensor([[rate]]).double())
    fine = h
    for _ in range(100_000):  # h' = rate h + x in small steps
        fine += step / 100_000 * (rate * fine + x)
    assert decay.item() * h + gain.item() * x == pytest.approx(fine, rel=1e-4)
    assert decay.item() == pytest.approx(math.exp(step * rate))


def test_the_gain_of_a_short_step_keeps_its_digits() -> None:
    _, gain = discretise(torch.tensor([1e-6]), torch.tensor([[-1.0]]))
    assert gain.item() == pytest.approx(1e-6, rel=1e-4)


@pytest.mark.parametrize("n", [1, 16, 21])
def test_the_selective_scan_and_its_gradients_are_those_of_the_recurrence(n: int) -> None:
    one, other = inputs(n), inputs(n)
    for part in (*one, *other):
        part.requires_grad_()
    found, last = selective_scan(*one)
    expected = plain(*other)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(expected.shape, dtype=torch.float64)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for mine, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)
    assert last.shape == one[-1].shape


@given(cut=st.integers(1, 19))
@settings(deadline=None, derandomize=True, max_examples=10)
def test_a_text_in_two_parts_gives_what_it_gives_at_once(cut: int) -> None:
    module = layer()
    x = torch.randn(2, 20, CONFIG.d_model, dtype=torch.float64)
    whole, state = module.read(x)
    first, middle = module.read(x[:, :cut])
    second, end = module.read(x[:, cut:], middle)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    for mine, theirs in zip(end, state, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_one_token_at_a_time_gives_what_the_whole_text_gives() -> None:
    module, state, parts = layer(), None, []
    x = torch.randn(1, 12, CONFIG.d_model, dtype=torch.float64)
    for t in range(12):
        out, state = module.read(x[:, t : t + 1], state)
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts, dim=1), module(x, Context())[0])


def test_no_token_sees_a_later_one() -> None:
    module = layer()
    x = torch.randn(1, 12, CONFIG.d_model, dtype=torch.float64)
    changed = x.clone()
    changed[:, 7:] += 1
    one, other = (module.read(part)[0] for part in (x, changed))
    torch.testing.assert_close(one[:, :7], other[:, :7])
    assert not torch.allclose(one[:, 7], other[:, 7])


def test_the_layer_is_its_equations() -> None:
    module = layer()
    x = torch.randn(1, 6, CONFIG.d_model, dtype=torch.float64)
    d, n_state = module.d, module.n_state
    entered, gate = (x[0] @ module.enter.weight.T).split(d, dim=1)
    padded = torch.cat([torch.zeros(N_TAP - 1, d, dtype=torch.float64), entered])
    taps = module.taps.view(N_TAP, d).T[:, None]  # as torch has a convolution of each channel alone
    u = F.silu(F.conv1d(padded.T[None], taps, module.taps_bias, groups=d)[0].T)
    chosen = u @ module.select.weight.T
    step = F.softplus(chosen[:, :1] + module.step_bias)
    rate = -module.log_rate.view(d, n_state).exp()
    b, c = chosen[:, 1 : 1 + n_state], chosen[:, 1 + n_state :]
    start = torch.zeros(1, d, n_state, dtype=torch.float64)
    y = plain(u[:, None], step[:, None], rate, b[:, None], c[:, None], start)[:, 0] + module.skip * u
    expected = (y * F.silu(gate)) @ module.out.weight.T
    torch.testing.assert_close(module.read(x)[0][0], expected)


def test_steps_start_between_a_thousandth_and_a_tenth() -> None:
    steps = F.softplus(layer().step_bias)
    assert ((steps > 0.9e-3) & (steps < 0.11)).all()


def test_what_has_no_meaning_without_weights_is_refused() -> None:
    module = layer()
    with pytest.raises(ValueError, match="return_attention"):
        module(torch.zeros(1, 3, 8, dtype=torch.float64), Context(return_attention=True))
    with pytest.raises(ValueError, match="decoder"):
        StateSpace(CONFIG.replace(kind="encoder"))
