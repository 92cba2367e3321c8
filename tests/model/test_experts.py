"""What a mixture of experts promises: each token's own experts, weighted, and no token more."""

import numpy as np
import pytest
import torch

from scaling_transformers import TransformerConfig
from scaling_transformers.attention import softmax
from scaling_transformers.model import Transformer
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
