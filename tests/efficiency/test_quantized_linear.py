"""What a quantised model promises: the products of the rounded weights, all else as it was."""

import numpy as np
import pytest
import torch
from torch import nn

from scaling_transformers import TransformerConfig
from scaling_transformers.efficiency import quantize
from scaling_transformers.efficiency.quantized_linear import QuantizedLinear, quantize_model
from scaling_transformers.model import Transformer

TOKENS = torch.randint(11, (2, 9), generator=torch.Generator().manual_seed(0))


def make(**changes):
    torch.manual_seed(0)
    experts = {"n_expert": 3, "n_expert_active": 2, "activation": "swiglu"}
    return Transformer(TransformerConfig(2, 16, 4, 11, 16, **experts, **changes))


@torch.no_grad()
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("group_size", [None, 4])
def test_a_model_computes_with_the_rounded_weights(bits, group_size):
    model, rounded = quantize_model(make(), bits=bits, group_size=group_size), make()
    for module in rounded.blocks.modules():
        if isinstance(module, nn.Linear):
            quantized = quantize(module.weight.numpy(), bits=bits, group_size=group_size)
            module.weight.copy_(torch.from_numpy(quantized.dequantize()))
    torch.testing.assert_close(model(TOKENS), rounded(TOKENS), rtol=0, atol=1e-6)
    assert (model(TOKENS) - make()(TOKENS)).abs().max() > 1e-4  # rounding shows


@pytest.mark.parametrize("tie", [True, False])
def test_every_linear_layer_of_the_blocks_is_quantised_and_none_beside(tie):
    before = make(tie_embeddings=tie)
    model = quantize_model(make(tie_embeddings=tie), bits=8)
    linear = {name for name, module in before.named_modules() if isinstance(module, nn.Linear)}
    left = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    found = {name for name, module in model.named_modules() if isinstance(module, QuantizedLinear)}
    assert left == {"unembedding"}
    assert found == linear - left
    assert (model.unembedding.weight is model.embedding.weight) == tie


@torch.no_grad()
def test_half_precision_stays_half_precision():
    model = quantize_model(make().bfloat16(), bits=4)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model(TOKENS).dtype == torch.bfloat16
    assert model(TOKENS).isfinite().all()


@torch.no_grad()
def test_a_cast_changes_scales_and_not_codes():
    model = quantize_model(make(), bits=4)
    before = model.blocks[0].attention.query.packed.clone()
    out = model.double()(TOKENS)
    assert out.dtype == torch.float64
    assert torch.equal(model.blocks[0].attention.query.packed, before)


@torch.no_grad()
def test_what_was_saved_is_loaded_to_the_bit():
    model = quantize_model(make(), bits=3, group_size=8)
    torch.manual_seed(1)
    other = quantize_model(Transformer(model.config), bits=3, group_size=8)
    assert not torch.equal(other(TOKENS), model(TOKENS))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(TOKENS), model(TOKENS))


@torch.no_grad()
def test_a_quantised_model_writes_the_same_with_a_cache_as_without():
    model = quantize_model(make(), bits=4)
    text = model.generate(TOKENS, max_new_tokens=5, temperature=0)
    assert (model(text)[:, 8:-1].argmax(dim=-1) == text[:, 9:]).all()


def test_a_layer_without_bias_works_and_gradients_reach_its_input():
    linear = nn.Linear(8, 3, bias=False)
    layer, x = QuantizedLinear(linear, bits=8), torch.ones(2, 8, requires_grad=True)
    layer(x).sum().backward()
    weight = quantize(linear.weight.detach().numpy(), bits=8).dequantize()
    np.testing.assert_allclose(x.grad, np.tile(weight.sum(axis=0), (2, 1)), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 1}, "bits must be a whole number from 2 to 8; got 1"),
        ({"bits": 4, "group_size": 32}, "group_size must be a whole number from 1 to 16; got 32"),
        ({"bits": 4, "group_size": 3}, "group_size must divide the 16 columns of each matrix; got 3"),
    ],
)
def test_options_out_of_range_are_refused_and_the_model_left_alone(options, message):
    model = make()
    with pytest.raises(ValueError, match=message):
        quantize_model(model, **options)
    assert not any(isinstance(module, QuantizedLinear) for module in model.modules())


def test_a_model_is_quantised_once():
    model = quantize_model(make(), bits=8)
    with pytest.raises(ValueError, match="model must have linear layers in its blocks to quantise"):
        quantize_model(model, bits=4)
