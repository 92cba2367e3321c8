"""What exits promise: answers and FLOPs of a decoder that skips blocks, and confidence that is measured."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from scaling_transformers import TransformerConfig
from scaling_transformers.accounting import forward_flops
from scaling_transformers.efficiency.sharing import share_layers
from scaling_transformers.model import Transformer
from scaling_transformers.sparsity.early_exit import (
    calibration,
    early_exit,
    exit_flops,
    exit_states,
    fit_temperature,
)
from scaling_transformers.training import exit_loss, train


def make(seed=0, **changes):
    sizes = {"n_layer": 4, "d_model": 16, "n_head": 4, "vocab_size": 11, "n_ctx": 8}
    torch.manual_seed(seed)
    model = Transformer(TransformerConfig(**{**sizes, **changes})).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def some_tokens(batch=3, n=7):
    return torch.randint(11, (batch, n), generator=torch.Generator().manual_seed(1))


def cut_off(model, n_layer):
    """The model of the first ``n_layer`` blocks."""
    short = Transformer(model.config.replace(n_layer=n_layer)).double()
    short.load_state_dict({k: v for k, v in model.state_dict().items() if k in short.state_dict()})
    return short


def decode(model, tokens, threshold):
    """Text by text, token by token, block by block, with kept keys and values: logits and blocks passed."""
    config, found, layers = model.config, [], []
    for text in tokens:
        keys, values = ([[] for _ in model.blocks] for _ in range(2))
        for token in text:
            x, left, logits = model.embedding(token), None, None
            for layer, block in enumerate(model.blocks):
                attention, read = block.attention, block.attention_norm(x)
                keys[layer].append(attention.key(read).view(config.n_kv_head, 1, -1))
                values[layer].append(attention.value(read).view(config.n_kv_head, 1, -1))
                if left is not None:
                    continue
                group = config.n_head // config.n_kv_head
                k, v = (torch.cat(part[layer], dim=1).repeat_interleave(group, 0) for part in (keys, values))
                q = attention.query(read).view(config.n_head, 1, -1)
                scores = (q @ k.mT) / math.sqrt(config.d_head)
                x = x + attention.out((scores.softmax(dim=-1) @ v).reshape(1, -1))[0]
                x = x + block.feed_forward(block.feed_forward_norm(x)[None])[0]
                logits = model.unembedding(model.final_norm(x))
                if logits.softmax(dim=-1).max() >= threshold or layer == config.n_layer - 1:
                    left = layer + 1
            found.append(logits)
            layers.append(left)
    return torch.stack(found).unflatten(0, tokens.shape), torch.tensor(layers).view(tokens.shape)


@pytest.mark.parametrize("position", ["learned", "rotary", "alibi"])
@torch.no_grad()
def test_states_at_an_exit_are_those_of_the_model_that_ends_there(position):
    model, tokens = make(position=position), some_tokens()
    states = exit_states(model, tokens)
    assert states.shape == (4, 3, 7, 16)
    for n_layer in range(1, 5):
        torch.testing.assert_close(
            model.unembedding(states[n_layer - 1]), cut_off(model, n_layer)(tokens), rtol=1e-9, atol=1e-9
        )


@settings(deadline=None, derandomize=True, max_examples=6)
@given(
    threshold=st.sampled_from([0.2, 0.3, 0.4, 0.5, 0.7]),
    seed=st.integers(0, 100),
    n_kv_head=st.sampled_from([2, 4]),
    activation=st.sampled_from(["gelu", "swiglu"]),
)
@torch.no_grad()
def test_answers_and_flops_are_those_of_a_decoder_that_skips_blocks(threshold, seed, n_kv_head, activation):
    model = make(seed=seed, n_kv_head=n_kv_head, activation=activation, position="none")
    tokens = some_tokens(batch=2, n=5)
    with FlopCounterMode(display=False) as counter:
        logits, layer = decode(model, tokens, threshold)
    found = early_exit(model, tokens, threshold=threshold)
    assert torch.equal(found.layer, layer)
    torch.testing.assert_close(found.logits, logits, rtol=1e-9, atol=1e-9)
    assert torch.equal(found.predictions, logits.argmax(dim=-1))
    torch.testing.assert_close(found.confidence, logits.softmax(dim=-1).amax(dim=-1))
    assert found.flops == counter.get_total_flops()
    assert found.flops_full == forward_flops(model.config, batch=2, seq_len=5, causal_skip=True).total


def test_tokens_of_these_tests_leave_at_different_blocks():
    assert len(early_exit(make(), some_tokens(), threshold=0.4).layer.unique()) > 2


@torch.no_grad()
def test_without_exits_it_is_the_model_and_with_the_first_the_model_of_one_block():
    model, tokens = make(), some_tokens()
    whole, first = (early_exit(model, tokens, threshold=t) for t in (1.1, 1e-9))
    assert torch.equal(whole.logits, model(tokens))
    assert (whole.layer == 4).all()
    assert whole.share > 1  # asking every block costs, and nothing is saved
    torch.testing.assert_close(first.logits, cut_off(model, 1)(tokens), rtol=1e-9, atol=1e-9)
    assert (first.layer == 1).all()
    assert first.share < 0.5
    assert not any(block._forward_hooks for block in model.blocks)


@torch.no_grad()
def test_no_token_changes_what_comes_before_it():
    model, tokens = make(), some_tokens()
    changed = tokens.clone()
    changed[:, 4:] = (changed[:, 4:] + 1) % 11
    before, after = (early_exit(model, t, threshold=0.4) for t in (tokens, changed))
    assert torch.equal(before.layer[:, :4], after.layer[:, :4])
    torch.testing.assert_close(before.logits[:, :4], after.logits[:, :4], rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_one_block_in_several_places_is_an_exit_in_each():
    shared, tokens = share_layers(make(), group=4), some_tokens()
    plain = make()
    for block in plain.blocks:
        block.load_state_dict(shared.blocks[0].state_dict())
    one, other = (early_exit(model, tokens, threshold=0.4) for model in (shared, plain))
    assert torch.equal(one.layer, other.layer)
    assert torch.equal(one.logits, other.logits)


@torch.no_grad()
def test_a_high_temperature_keeps_tokens_from_leaving():
    model, tokens = make(), some_tokens()
    plain = early_exit(model, tokens, threshold=0.4)
    cooled = early_exit(model, tokens, threshold=0.4, temperatures=[1e6, 1, 1, 1])
    assert (plain.layer == 1).any()
    assert not (cooled.layer == 1).any()


def test_flops_do_not_depend_on_the_rest_of_a_batch():
    config = make().config
    layer = torch.tensor([[1, 2, 3], [4, 4, 1]])
    together = exit_flops(config, layer)
    alone = [exit_flops(config, row[None]) for row in layer]
    assert together == tuple(sum(part) for part in zip(*alone, strict=True))


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    answers=st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30),
    n_bin=st.integers(1, 12),
)
def test_the_table_is_that_of_a_loop_over_bins(answers, n_bin):
    confidence, correct = (np.array(part) for part in zip(*answers, strict=True))
    found = calibration(confidence, correct, n_bin=n_bin, n_bootstrap=20)
    error = 0.0
    for i in range(n_bin):
        inside = [(sure, right) for sure, right in answers if i == max(0, math.ceil(sure * n_bin) - 1)]
        assert found.count[i] == len(inside)
        if not inside:
            assert np.isnan(found.confidence[i])
            assert np.isnan(found.accuracy[i])
            continue
        sure, right = (np.mean(part) for part in zip(*inside, strict=True))
        assert (found.confidence[i], found.accuracy[i]) == (pytest.approx(sure), pytest.approx(right))
        error += len(inside) / len(answers) * abs(right - sure)
    assert found.error == pytest.approx(error)
    assert 0 <= found.interval[0] <= found.interval[1] <= 1


def test_the_error_is_near_zero_of_honest_answers_and_the_gap_of_boasting_ones():
    generator = np.random.default_rng(0)
    sure = generator.uniform(0.3, 0.8, size=4000)
    draw = generator.uniform(size=4000)
    honest, boasting = (calibration(sure + gap, draw < sure, n_bootstrap=100) for gap in (0.0, 0.2))
    assert honest.error < 0.04
    assert boasting.error == pytest.approx(0.2, abs=0.03)
    assert boasting.interval[0] < 0.2 < boasting.interval[1]


@settings(deadline=None, derandomize=True, max_examples=25)
@given(seed=st.integers(0, 1000), scale=st.floats(0.2, 5.0))
def test_the_temperature_is_the_one_that_a_search_of_torchs_finds(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(200, 5, generator=generator, dtype=torch.float64)
    targets = torch.multinomial((logits * scale).softmax(dim=-1), 1, generator=generator)[:, 0]
    found = fit_temperature(logits, targets)
    inverse = torch.ones((), dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([inverse], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def loss():
        search.zero_grad()
        value = F.cross_entropy(inverse * logits, targets)
        value.backward()
        return value

    search.step(loss)
    assert 1 / found == pytest.approx(inverse.item(), rel=1e-4)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_spoiled_the_logits_is_found(temperature):
    generator = np.random.default_rng(0)
    logits = 2 * generator.standard_normal((20_000, 5))
    noise = generator.gumbel(size=logits.shape)
    targets = (logits + noise).argmax(axis=1)  # the Gumbel trick draws from the softmax of the logits
    found = fit_temperature(torch.from_numpy(logits * temperature), torch.from_numpy(targets))
    assert found == pytest.approx(temperature, rel=0.05)


def test_the_temperature_stays_within_its_bounds():
    logits = torch.tensor([[3.0, 0.0, -1.0], [0.0, 2.0, 1.0]])
    assert fit_temperature(logits, logits.argmax(dim=-1)) == pytest.approx(0.01, rel=0.02)
    assert fit_temperature(logits, logits.argmin(dim=-1)) == pytest.approx(100)


def test_the_loss_of_all_exits_is_the_mean_of_their_losses():
    model, tokens = make(tie_embeddings=False), some_tokens(n=8)
    tokens, targets = tokens[:, :-1], tokens[:, 1:]
    expected = torch.stack(
        [
            F.cross_entropy(model.unembedding(states).flatten(0, 1), targets.flatten())
            for states in exit_states(model, tokens)
        ]
    ).mean()
    expected.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    found = exit_loss(model, tokens, targets)
    found.backward()
    assert found.item() == pytest.approx(expected.item(), abs=1e-12)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("every_exit", [False, True])
def test_trained_for_it_the_first_block_can_answer(every_exit):
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(3, 16, 2, 8, 16))
    text = torch.arange(8).repeat(50).numpy()
    train(model, text, n_step=60, batch=4, n=8, learning_rate=1e-2, every_exit=every_exit)
    tokens = torch.arange(8)[None]
    right = model.unembedding(exit_states(model, tokens)[0]).argmax(dim=-1) == (tokens + 1) % 8
    assert bool(right.all()) == every_exit
    if every_exit:
        sure = early_exit(model, tokens, threshold=0.5)
        assert (sure.predictions == (tokens + 1) % 8).all()
        assert sure.share < 1


@pytest.mark.parametrize(
    "changes", [{"halting": "act"}, {"depth_keep": 0.5}, {"shorten": 2}, {"kind": "encoder", "n_merge": 1}]
)
def test_models_whose_tokens_skip_blocks_have_no_exits(changes):
    config = TransformerConfig(4, 16, 4, 11, 16, **changes)
    with pytest.raises(ValueError, match="exits need"):
        exit_flops(config, torch.ones(1, 2, dtype=torch.int64))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: early_exit(make(), some_tokens(), threshold=0), "threshold must be positive and finite"),
        (
            lambda: early_exit(make(), some_tokens(), threshold=0.5, temperatures=[1, 1]),
            "temperatures must be 4 positive numbers",
        ),
        (
            lambda: early_exit(make(kind="encoder"), some_tokens(), threshold=0.5),
            "kind must be 'decoder'",
        ),
        (
            lambda: exit_flops(make().config, torch.tensor([[5]])),
            r"layer must have shape \(batch, n\) and lie from 1 to n_layer=4",
        ),
        (lambda: calibration([0.5, 0.5], [True]), "confidence and correct must have one shape"),
        (lambda: calibration([], []), "confidence and correct must have one shape"),
        (lambda: calibration([1.5], [True]), "confidence must lie from 0 to 1"),
        (lambda: calibration([math.nan], [True]), "confidence must lie from 0 to 1"),
        (lambda: calibration([0.5], [2]), "correct must hold True and False"),
        (lambda: calibration([0.5], [1], n_bin=0), "n_bin must be a whole number of at least 1"),
        (
            lambda: fit_temperature(torch.zeros(3, 5), torch.zeros(2, dtype=torch.int64)),
            "targets must have the shape of logits",
        ),
        (
            lambda: fit_temperature(torch.full((1, 2), math.inf), torch.zeros(1, dtype=torch.int64)),
            "logits must be finite",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
