"""What a mixture of experts promises: each token's own experts, weighted, and no token more."""

import math

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from scaling_transformers import TransformerConfig
from scaling_transformers.accounting import count_parameters, forward_flops
from scaling_transformers.attention import softmax
from scaling_transformers.efficiency import quantized_bytes
from scaling_transformers.efficiency.quantized_linear import quantize_model
from scaling_transformers.model import Trace, Transformer
from scaling_transformers.model.feed_forward import FeedForward, MixtureOfExperts

SIZES = {"n_layer": 2, "d_model": 16, "n_head": 4, "vocab_size": 11, "n_ctx": 8}


def make_layer(n_expert, n_active, **changes):
    config = TransformerConfig(**SIZES, n_expert=n_expert, n_expert_active=n_active, **changes)
    torch.manual_seed(0)
    return MixtureOfExperts(config).double(), config


def some_input(seed=1):
    return torch.randn(3, 7, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
@torch.no_grad()
def test_one_expert_is_the_dense_layer(activation):
    layer, config = make_layer(1, 1, activation=activation)
    dense = FeedForward(config).double()
    dense.load_state_dict(layer.experts[0].state_dict())
    torch.testing.assert_close(layer(some_input()), dense(some_input()), rtol=0, atol=0)
    names = [name for name, _ in Transformer(config).named_parameters()]
    assert "blocks.0.feed_forward.up.weight" in names
    assert not any("router" in name for name in names)


@torch.no_grad()
def test_equal_experts_are_the_dense_layer():
    layer, _ = make_layer(5, 3)
    for expert in layer.experts:
        expert.load_state_dict(layer.experts[0].state_dict())
    torch.testing.assert_close(layer(some_input()), layer.experts[0](some_input()))


@pytest.mark.parametrize(("n_expert", "n_active"), [(2, 1), (4, 2), (8, 3), (4, 4)])
@torch.no_grad()
def test_the_largest_shares_of_the_softmax_are_kept_and_sum_to_one(n_expert, n_active):
    layer, _ = make_layer(n_expert, n_active)
    x = some_input()
    weights, chosen = layer.route(x)
    shares = softmax(x.numpy() @ layer.router.weight.numpy().T)
    kept = np.sort(shares)[..., ::-1][..., :n_active]
    np.testing.assert_allclose(weights, kept / kept.sum(axis=-1, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(shares, chosen.numpy(), axis=-1), kept, rtol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_each_token_gets_the_weighted_sum_of_its_experts(bias):
    layer, _ = make_layer(4, 2, bias=bias, activation="swiglu")
    x = some_input()
    weights, chosen = layer.route(x)
    out = layer(x)
    for place in np.ndindex(3, 7):
        parts = zip(weights[place], chosen[place], strict=True)
        wanted = sum(weight * layer.experts[int(index)](x[place]) for weight, index in parts)
        torch.testing.assert_close(out[place], wanted)


def test_an_expert_that_nobody_picks_has_a_gradient_of_zero():
    layer, _ = make_layer(3, 1)
    with torch.no_grad():
        layer.router.weight.zero_()
        layer.router.weight[0] = 1.0  # one token of ones: the first expert's score is the largest
    layer(torch.ones(1, 1, 16, dtype=torch.float64)).square().sum().backward()
    used = [bool((expert.up.weight.grad != 0).any()) for expert in layer.experts]
    assert used == [True, False, False]


@pytest.mark.parametrize("query", [0, 3, 6])
def test_a_decoder_with_experts_never_looks_ahead(query):
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(**SIZES, n_expert=4, n_expert_active=2)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    seen = []
    model.embedding.register_forward_hook(lambda *call: (seen.append(call[2]), call[2].retain_grad())[0])
    tokens = torch.randint(11, (3, 7), generator=torch.Generator().manual_seed(1))
    model(tokens)[:, query].square().sum().backward()
    assert ((seen[0].grad != 0).any(dim=-1) == (torch.arange(7) <= query)).all()


@torch.no_grad()
def test_experts_compute_in_half_precision():
    layer, _ = make_layer(4, 2)
    out = layer.bfloat16()(some_input().bfloat16())
    assert out.dtype == torch.bfloat16
    assert out.isfinite().all()


def make_model(seed=0, **changes):
    """In float64, its weights large enough for every layer to have a say."""
    torch.manual_seed(seed)
    config = TransformerConfig(**{**SIZES, "n_expert": 4, "n_expert_active": 2, **changes})
    model = Transformer(config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def some_tokens(batch=3, n=7):
    return torch.randint(11, (batch, n), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_shared_experts_serve_every_token():
    layer, _ = make_layer(4, 2, n_expert_shared=2)
    x = some_input()
    whole = layer(x)
    shared, layer.shared = layer.shared, torch.nn.ModuleList()
    torch.testing.assert_close(whole, layer(x) + sum(expert(x) for expert in shared))


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.25, 4.0])
@torch.no_grad()
def test_an_expert_without_room_adds_nothing(factor):
    layer, _ = make_layer(4, 2, capacity_factor=factor)
    x, trace = some_input(), Trace()
    weights, chosen = layer.route(x)
    room, dropped = math.ceil(factor * 7 * 2 / 4), 0
    out = layer(x, trace)
    for text in range(3):
        left = dict.fromkeys(range(4), room)
        for token in range(7):
            wanted = torch.zeros(16, dtype=torch.float64)
            for weight, index in zip(weights[text, token], chosen[text, token].tolist(), strict=True):
                if left[index]:
                    left[index] -= 1
                    wanted += weight * layer.experts[index](x[text, token])
                else:
                    dropped += 1
            torch.testing.assert_close(out[text, token], wanted)
    assert float(trace.routing[0].dropped) == pytest.approx(dropped / (3 * 7 * 2), abs=1e-6)
    assert dropped > 0 or factor > 1
    assert dropped == 0 or factor < 4


@pytest.mark.parametrize("n_active", [1, 2, 4])
@torch.no_grad()
def test_experts_that_choose_serve_the_tokens_that_want_them_most(n_active):
    layer, _ = make_layer(4, n_active, routing="expert_choice")
    x, trace = some_input(), Trace()
    shares = softmax(x.numpy() @ layer.router.weight.numpy().T)
    wanted, taken = torch.zeros_like(x), torch.zeros(3, 7, dtype=torch.bool)
    for text in range(3):
        for index in range(4):
            for token in np.argsort(-shares[text, :, index])[: math.ceil(7 * n_active / 4)]:
                wanted[text, token] += shares[text, token, index] * layer.experts[index](x[text, token])
                taken[text, token] = True
    torch.testing.assert_close(layer(x, trace), wanted)
    assert float(trace.routing[0].dropped) == pytest.approx(1 - taken.double().mean().item(), abs=1e-6)
    torch.testing.assert_close(trace.routing[0].load, torch.full((4,), 0.25, dtype=torch.float64))


def earlier_outputs_change(model, at=4):
    """Whether any other token in a place changes what the model says before it."""
    tokens = some_tokens()
    with torch.no_grad():
        before = model(tokens)[:, :at]
        for token in range(11):
            tokens[:, at] = token
            if not torch.allclose(model(tokens)[:, :at], before, rtol=0, atol=1e-10):
                return True
    return False


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"capacity_factor": 0.5},
        {"capacity_factor": 1.0, "n_expert_shared": 1},
        {"balance": "bias"},
    ],
)
def test_tokens_that_choose_never_look_ahead_not_even_when_some_are_dropped(changes):
    assert not earlier_outputs_change(make_model(**changes).eval())


def test_experts_that_choose_look_ahead():
    assert earlier_outputs_change(make_model(routing="expert_choice"))


def test_the_trace_has_a_row_a_layer_and_the_loss_is_a_mean():
    model, trace = make_model(), Trace()
    model(some_tokens(), trace=trace)
    assert len(trace.routing) == len(trace.losses) == 2
    for load, entropy, dropped in trace.routing:
        assert float(load.sum()) == pytest.approx(1)
        assert 0 < float(entropy) < 1
        assert float(dropped) == 0
    total = sum(trace.losses)
    assert 0.5 < total.item() < 1.5  # near 1, not near the number of layers times it
    total.backward()
    assert all(block.feed_forward.router.weight.grad.abs().sum() > 0 for block in model.blocks)
    for changes in ({"balance": "bias"}, {"routing": "expert_choice"}):
        trace = Trace()
        make_model(**changes)(some_tokens(), trace=trace)
        assert len(trace.routing) == 2
        assert not trace.losses


def test_the_bias_follows_the_load_in_training_alone_and_is_saved():
    layer, _ = make_layer(4, 2, balance="bias")
    x, trace = some_input(), Trace()
    layer.eval()(x)
    assert not layer.balance_bias.any()
    layer.train()(x, trace)
    load = trace.routing[0].load
    wanted = 1e-3 * torch.sign(0.25 - load).double()
    torch.testing.assert_close(layer.state_dict()["balance_bias"], wanted)
    assert wanted.any()
    layer.balance_bias[3] = 10.0
    weights, chosen = layer.route(x)
    assert (chosen == 3).any(dim=-1).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 7, dtype=torch.float64))


def test_finer_experts_are_more_ways_at_the_same_price():
    coarse = TransformerConfig(**SIZES, n_expert=4, n_expert_active=1, d_ff=32, bias=False)
    fine = coarse.replace(n_expert=16, n_expert_active=4, d_ff=8)
    both = [count_parameters(config) for config in (coarse, fine)]
    router = [count.by_part["router"] for count in both]
    assert both[0].active - router[0] == both[1].active - router[1]
    assert both[0].total - router[0] == both[1].total - router[1]
    flops = [forward_flops(config, batch=1, seq_len=8).by_part["feed_forward"] for config in (coarse, fine)]
    assert flops[0] == flops[1]
    assert math.comb(16, 4) > 100 * math.comb(4, 1)


SPREAD = [
    {},
    {"n_expert": 3, "n_expert_active": 3, "activation": "swiglu"},
    {"n_expert_shared": 2},
    {"n_expert_shared": 1, "activation": "geglu", "bias": False, "balance": "bias"},
    {"routing": "expert_choice"},
    {"routing": "expert_choice", "n_expert": 5, "n_expert_shared": 1},
    {"routing": "expert_choice", "n_expert_active": 4, "kind": "encoder"},
]


@pytest.mark.parametrize("changes", SPREAD)
@pytest.mark.parametrize("n", [1, 5, 8])
def test_a_model_of_experts_costs_and_holds_what_is_counted(changes, n):
    model = make_model(**changes)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model(some_tokens(n=n))
    assert counter.get_total_flops() == forward_flops(model.config, batch=3, seq_len=n).total
    assert sum(each.numel() for each in model.parameters()) == count_parameters(model.config).total


@pytest.mark.parametrize("factor", [0.3, 0.5, 1.0, 2.0])
def test_with_a_capacity_the_count_is_the_most_that_a_text_can_cost(factor):
    model = make_model(capacity_factor=factor)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model(some_tokens(n=8))
    assert counter.get_total_flops() <= forward_flops(model.config, batch=3, seq_len=8).total


def test_shared_experts_are_quantised_like_the_others():
    model = make_model(n_expert_shared=1).float()
    wanted = quantized_bytes(model.config, bits=4, bytes_per_element=4)
    quantize_model(model, bits=4)
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}.values()
    assert sum(each.numel() * each.element_size() for each in tensors) == wanted


@torch.no_grad()
def test_with_a_capacity_a_text_is_read_again_for_each_token():
    model, tokens = make_model(capacity_factor=0.5), some_tokens(n=3)
    text = model.generate(tokens, max_new_tokens=5, temperature=0)
    for end in range(3, 8):
        assert (model(text[:, :end])[:, -1].argmax(dim=-1) == text[:, end]).all()


@pytest.mark.parametrize(
    ("changes", "call", "message"),
    [
        (
            {"routing": "expert_choice"},
            lambda model: model.generate(some_tokens(), max_new_tokens=1),
            "routing='expert_choice' cannot generate: experts choose by the tokens to come",
        ),
        (
            {"routing": "expert_choice"},
            lambda model: model.new_cache(batch=1),
            "a cache needs tokens that can be read one by one; routing='expert_choice'",
        ),
        (
            {"capacity_factor": 1.0},
            lambda model: model.new_cache(batch=1),
            "a cache needs tokens that can be read one by one; capacity_factor=1.0",
        ),
        (
            {"capacity_factor": 1.0},
            lambda model: model(some_tokens(), mask=torch.ones(3, 7, dtype=torch.bool)),
            "mask cannot go with capacity_factor or expert_choice",
        ),
    ],
)
def test_what_experts_cannot_do_is_refused(changes, call, message):
    with pytest.raises(ValueError, match=message):
        call(make_model(**changes))
