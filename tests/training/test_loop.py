"""What training promises: it learns, it repeats to the bit, and it stops when the loss is lost."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from scaling_transformers import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.training import (
    next_token_loss,
    rate_factor,
    sample_batch,
    token_losses,
    train,
    validation_loss,
)
from scaling_transformers.training.language import SyntheticLanguage
from scaling_transformers.training.parameterisation import initialise_for_transfer, parameter_groups

PERIODIC = np.tile(np.frombuffer(b"abcdefgh", dtype=np.uint8) - ord("a"), 50)


CONFIG = TransformerConfig(1, 16, 2, 8, 16)


def make(seed=0):
    torch.manual_seed(seed)
    return Transformer(CONFIG)


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


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
    assert same_weights(one, other)
    assert first != third


def test_each_step_is_told_its_loss():
    told = []
    _, losses = run(n_step=5, each_step=lambda step, loss: told.append((step, loss)))
    assert told == list(enumerate(losses))


def test_a_lost_loss_names_step_learning_rate_and_batch():
    with pytest.raises(
        FloatingPointError, match=r"loss is nan at step [1-9]\d* with learning rate 1e\+30"
    ) as found:
        run(learning_rate=1e30)
    step, seed, tokens = re.search(
        r"on batch (\d+) of seed (\d+), whose first tokens are (.*)", str(found.value)
    ).groups()
    generator = np.random.default_rng(int(seed))
    for _ in range(int(step) + 1):  # the batch can be made again
        again, _ = sample_batch(PERIODIC, batch=8, n=8, generator=generator)
    assert str(again[0, :8].tolist()) == tokens


def test_a_gradient_that_is_lost_under_a_finite_loss_stops_the_run():
    model = make()
    model.final_norm.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(FloatingPointError, match=r"gradient norm is (inf|nan) at step 0 "):
        train(model, PERIODIC, n_step=5, batch=2, n=8, learning_rate=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def plain_train(model, text, *, n_step, batch, n, learning_rate, seed, transfer):
    """The loop as a textbook has it: torch's scheduler, the loss of the whole batch, no options."""
    generator = np.random.default_rng(seed)
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    if transfer:
        groups = parameter_groups(model, learning_rate=learning_rate)
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)
    warm_up = max(1, n_step // 50)

    def factor(step):
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - warm_up) / max(1, n_step - warm_up)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    losses = []
    for _ in range(n_step):
        tokens, targets = sample_batch(text, batch=batch, n=n, generator=generator)
        loss = next_token_loss(model, tokens, targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("transfer", [False, True])
@pytest.mark.parametrize(
    "text", [PERIODIC, SyntheticLanguage(vocab_size=8, n_rule=64)], ids=["text", "language"]
)
def test_without_options_training_is_the_textbook_loop_to_the_bit(text, transfer):
    one, other = (Transformer(CONFIG.replace(tie_embeddings=False)) for _ in range(2))
    torch.manual_seed(0)
    initialise_for_transfer(one)
    other.load_state_dict(one.state_dict())
    options = {"n_step": 55, "batch": 4, "n": 8, "learning_rate": 1e-2, "seed": 3, "transfer": transfer}
    assert train(one, text, **options) == plain_train(other, text, **options)
    assert same_weights(one, other)


@pytest.mark.parametrize("schedule", ["cosine", "wsd"])
@settings(deadline=None, max_examples=100, derandomize=True)
@given(n_step=st.integers(2, 5000))
def test_the_rate_rises_to_one_and_falls_to_a_tenth(schedule, n_step):
    factors = np.array([rate_factor(step, n_step=n_step, schedule=schedule) for step in range(n_step + 1)])
    warm_up = max(1, n_step // 50)
    np.testing.assert_allclose(factors[:warm_up], np.arange(1, warm_up + 1) / warm_up, rtol=1e-12)
    assert (np.diff(factors[warm_up - 1 :]) <= 1e-12).all()
    assert factors.max() == pytest.approx(1)
    assert factors[-1] == pytest.approx(0.1)
    if schedule == "wsd" and n_step >= 5:
        stable = factors[warm_up - 1 : n_step - n_step // 5 + 1]
        assert (stable == 1).all()
        np.testing.assert_allclose(np.diff(factors, n=2)[n_step - n_step // 5 :], 0, atol=1e-12)  # a line


def test_the_schedule_is_what_steps_the_optimizer(monkeypatch):
    seen, step = [], torch.optim.AdamW.step

    def watched(self, *args, **options):
        seen.append(self.param_groups[0]["lr"])
        return step(self, *args, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    run(n_step=20, schedule="wsd")
    assert seen == [1e-2 * rate_factor(step, n_step=20, schedule="wsd") for step in range(20)]


@pytest.mark.parametrize("accumulate", [2, 3, 8])  # 3 parts of 8 texts: of 3, 3 and 2
def test_a_batch_in_parts_has_the_gradient_of_the_whole(accumulate):
    whole, parts = make().double(), make().double()
    options = {"n_step": 10, "batch": 8, "n": 8, "learning_rate": 1e-2}
    one = train(whole, PERIODIC, **options)
    sizes = []
    parts.embedding.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    other = train(parts, PERIODIC, accumulate=accumulate, **options)
    assert max(sizes) == math.ceil(8 / accumulate)
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_bfloat16_learns_the_same_and_keeps_the_weights_in_float32():
    model, losses = run(dtype="bfloat16")
    _, exact = run()
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert losses != exact
    np.testing.assert_allclose(losses[:5], exact[:5], rtol=0, atol=0.02)
    assert losses[-1] < 0.1


def test_what_is_compiled_is_the_way_to_the_hidden_states(monkeypatch):
    compiled, compile = [], torch.compile

    def traced(function):  # by torch's tracer, as for any compiler, but then run as it is: no C++ needed
        compiled.append(function.__name__)
        return compile(function, backend="eager", fullgraph=True)

    monkeypatch.setattr(torch, "compile", traced)
    model, losses = run(n_step=3, compile=True)
    plain, expected = run(n_step=3)
    assert compiled == ["hidden"]
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-6)
    for a, b in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


def test_the_bar_shows_tokens_loss_and_rate(capsys):
    _, losses = run(n_step=4, progress=True)
    shown = capsys.readouterr().err
    assert "256/256" in shown  # 4 steps of 8 texts of 8 tokens
    assert "tokens/s" in shown
    assert f"loss={losses[-1]:.4f}" in shown
    assert "rate=" in shown
    run(n_step=4)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_step": 0}, "n_step must be a whole number of at least 1; got 0"),
        ({"accumulate": 0}, "accumulate must be a whole number of at least 1; got 0"),
        ({"accumulate": 9}, "accumulate must be at most batch=8; got 9"),
        ({"checkpoint_every": 0}, "checkpoint_every must be a whole number of at least 1; got 0"),
        ({"dtype": "float16"}, r"dtype must be one of \('float32', 'bfloat16'\); got 'float16'"),
        ({"schedule": "linear"}, r"schedule must be one of \('cosine', 'wsd'\); got 'linear'"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)


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


@pytest.mark.parametrize("was_training", [True, False])
def test_losses_are_measured_in_eval_mode_and_the_mode_is_put_back(was_training):
    torch.manual_seed(0)
    model = Transformer(CONFIG.replace(n_layer=2, depth_keep=0.5)).train(was_training)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    text = np.random.default_rng(3).integers(0, 8, 200).astype(np.uint8)
    tokens, targets = sample_batch(text, batch=8, n=9, generator=np.random.default_rng(5))
    measured = token_losses(model, tokens), validation_loss(model, text, n=9, n_text=8, seed=5)
    assert model.training is was_training

    def losses():
        with torch.no_grad():
            return F.cross_entropy(model(tokens).transpose(1, 2), targets, reduction="none")

    assert not torch.allclose(model.train() and losses(), model.eval() and losses())
    torch.testing.assert_close(measured[0], losses()[:, :-1])
    assert measured[1] == pytest.approx(losses().mean().item(), rel=1e-6)


def test_training_is_in_training_mode():
    model = make().eval()
    train(model, PERIODIC, n_step=1, batch=2, n=8, learning_rate=1e-3)
    assert model.training


@pytest.mark.parametrize(("name", "value"), [("batch", 0), ("n", 0), ("n", 1.5)])
def test_a_batch_without_tokens_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1"):
        sample_batch(
            np.zeros(50, np.uint8), **{"batch": 2, "n": 4, name: value}, generator=np.random.default_rng(0)
        )
