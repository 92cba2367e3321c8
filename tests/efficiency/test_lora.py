"""What low-rank updates promise: no change at first, they alone learn, and they fold into the weights."""

import numpy as np
import pytest
import torch

from scaling_transformers import TransformerConfig
from scaling_transformers.efficiency.lora import LoRALinear, add_lora, merge_lora
from scaling_transformers.efficiency.quantized_linear import quantize_model
from scaling_transformers.efficiency.sharing import share_layers
from scaling_transformers.model import Transformer
from scaling_transformers.training import train

ALL = ("query", "key", "value", "out", "up", "gate", "down", "router")
TEXT = np.tile(np.arange(11, dtype=np.uint8), 20)
TOKENS = torch.randint(11, (2, 9), generator=torch.Generator().manual_seed(0))


def make(**changes):
    torch.manual_seed(0)
    experts = {"n_expert": 3, "n_expert_active": 2, "activation": "swiglu"}
    return Transformer(TransformerConfig(2, 16, 4, 11, 16, n_kv_head=2, **experts).replace(**changes))


def trained(model):
    train(model, TEXT, n_step=5, batch=4, n=9, learning_rate=1e-2)
    return model


@torch.no_grad()
@pytest.mark.parametrize("targets", [("query", "value"), ALL])
def test_a_model_computes_at_first_what_it_did(targets):
    model = make()
    before = model(TOKENS)
    assert torch.equal(add_lora(model, rank=2, targets=targets)(TOKENS), before)
    added = {name.split(".")[-1] for name, module in model.named_modules() if isinstance(module, LoRALinear)}
    assert added == set(targets)


def test_training_moves_the_updates_and_nothing_else():
    model = make()
    before = {id(p): p.detach().clone() for p in model.parameters()}
    trained(add_lora(model, rank=2))
    for p in model.parameters():
        if id(p) in before:
            assert torch.equal(p, before[id(p)])
    updates = [module for module in model.modules() if isinstance(module, LoRALinear)]
    assert len(updates) == 4
    assert all(bool((module.b != 0).any()) for module in updates)


@torch.no_grad()
def test_an_update_is_the_product_of_its_factors_times_alpha_over_rank():
    layer = LoRALinear(torch.nn.Linear(6, 5), rank=2, alpha=3.0)
    layer.b.normal_(generator=torch.Generator().manual_seed(1))
    x = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    weight, bias, a, b = (p.numpy() for p in (layer.base.weight, layer.base.bias, layer.a, layer.b))
    wanted = x @ (weight + 1.5 * b @ a).T + bias
    np.testing.assert_allclose(layer(torch.from_numpy(x)), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("targets", [("query", "value"), ALL])
def test_merging_puts_plain_layers_back_that_compute_the_same(targets):
    model = make()
    names = [name for name, _ in model.named_modules()]
    trained(add_lora(model.double(), rank=2, alpha=5, targets=targets))
    with torch.no_grad():
        before, unchanged = model(TOKENS), make().double()(TOKENS)
        torch.testing.assert_close(merge_lora(model)(TOKENS), before, rtol=1e-12, atol=1e-12)
    assert (before - unchanged).abs().max() > 1e-3  # there was something to merge
    assert [name for name, _ in model.named_modules()] == names
    assert all(p.requires_grad for p in model.parameters())


def test_a_block_that_layers_share_gets_one_update():
    model = trained(add_lora(share_layers(make(), group=2), rank=2))
    assert sum(isinstance(module, LoRALinear) for module in model.modules()) == 2
    before = model(TOKENS)
    torch.testing.assert_close(merge_lora(model)(TOKENS), before)


def test_updates_learn_beside_quantised_weights():
    model = quantize_model(add_lora(make(), rank=2, targets=ALL), bits=4)
    losses = train(model, TEXT, n_step=60, batch=4, n=9, learning_rate=3e-2)
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.05
    with pytest.raises(ValueError, match="model must have plain weights to merge into; those of 'query' are"):
        merge_lora(model)


@torch.no_grad()
def test_a_model_with_updates_writes_the_same_with_a_cache_as_without():
    model = add_lora(make(), rank=2)
    for module in model.modules():
        if isinstance(module, LoRALinear):
            module.b.normal_(generator=torch.Generator().manual_seed(1))
    text = model.generate(TOKENS, max_new_tokens=5, temperature=0)
    assert (model(text)[:, 8:-1].argmax(dim=-1) == text[:, 9:]).all()


def test_one_seed_draws_one_update():
    def draw(seed):
        model = add_lora(make(), rank=2, generator=torch.Generator().manual_seed(seed))
        return model.blocks[0].attention.query.a

    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))


def test_what_has_updates_or_none_or_is_quantised_is_refused_and_left_alone():
    with pytest.raises(ValueError, match="model must have no low-rank updates yet"):
        add_lora(add_lora(make(), rank=1), rank=1)
    with pytest.raises(ValueError, match="model must have low-rank updates to merge; it has none"):
        merge_lora(make())
    model = quantize_model(make(), bits=8)
    with pytest.raises(ValueError, match="targets must be plain linear layers; 'query' is a QuantizedLinear"):
        add_lora(model, rank=1)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 9}, "rank of an update to 'value' must be a whole number from 1 to 8; got 9"),
        ({"rank": 1, "alpha": 0}, "alpha must be a positive finite number; got 0"),
        ({"rank": 1, "targets": ["head"]}, "targets must be different names among .*'gate', 'router'"),
    ],
)
def test_an_update_that_cannot_be_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        add_lora(make(), **options)
