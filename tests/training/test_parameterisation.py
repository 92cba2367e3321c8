"""Rates that transfer: what a step does to the logits does not depend on width."""

import numpy as np
import pytest
import torch
from torch import nn

from scaling_transformers import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.training import train
from scaling_transformers.training.parameterisation import (
    BASE_WIDTH,
    initialise_for_transfer,
    parameter_groups,
)

WIDTHS = (32, 128, 512)
TEXT = np.random.default_rng(0).integers(0, 16, 500).astype(np.uint8)


def make(d_model, *, transfer=True, **changes):
    torch.manual_seed(0)
    options = {"norm": "rmsnorm", "bias": False, "qkv_bias": False, "tie_embeddings": False, **changes}
    model = Transformer(TransformerConfig(1, d_model, 2, 16, 16, **options))
    return initialise_for_transfer(model) if transfer else model


@torch.no_grad()
def changes_of(width, *, transfer):
    """How far six steps move the residual stream before its last norm and the logits, by root mean square."""
    model = make(width, transfer=transfer)
    tokens = torch.from_numpy(TEXT[:64].astype(np.int64)).view(4, 16)
    stream = []
    model.final_norm.register_forward_hook(lambda _, inputs, __: stream.append(inputs[0]))
    before = model(tokens)
    with torch.enable_grad():
        train(model, TEXT, n_step=6, batch=4, n=16, learning_rate=1e-2, transfer=transfer)
    after = model(tokens)
    return [float(change.square().mean().sqrt()) for change in (stream[-1] - stream[0], after - before)]


def test_with_transfer_a_step_changes_the_same_at_every_width_and_without_it_more_in_wider_models():
    flat = np.array([changes_of(width, transfer=True) for width in WIDTHS])
    steep = np.array([changes_of(width, transfer=False) for width in WIDTHS])
    assert (flat.max(axis=0) / flat.min(axis=0) < 2).all(), flat
    assert (steep[-1] / steep[0] > 5).all(), steep


@pytest.mark.parametrize("changes", [{}, {"norm": "layernorm", "bias": True, "activation": "swiglu"}])
def test_each_parameter_is_in_one_group_at_the_rate_of_its_width(changes):
    model = make(128, **changes)
    groups = parameter_groups(model, learning_rate=0.5)
    found = {id(parameter): group for group in groups for parameter in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(found) == len(list(model.parameters()))
    assert len({group["lr"] for group in groups}) == len(groups)
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            reads = (
                module.in_features if isinstance(module, nn.Linear) and parameter.ndim == 2 else BASE_WIDTH
            )
            assert found[id(parameter)]["lr"] == pytest.approx(0.5 * BASE_WIDTH / reads)
            assert found[id(parameter)]["weight_decay"] == 0


def test_at_the_base_width_a_matrix_has_the_rate_itself():
    model = make(BASE_WIDTH)
    rates = {group["lr"] for group in parameter_groups(model, learning_rate=0.5) for _ in group["params"]}
    down = BASE_WIDTH / model.config.d_ff
    assert rates == {0.5, 0.5 * down}


def test_weights_start_at_the_scale_of_what_they_read():
    model = make(512)
    block = model.blocks[0]
    assert block.attention.query.weight.std().item() == pytest.approx(512**-0.5, rel=0.02)
    assert block.feed_forward.up.weight.std().item() == pytest.approx(512**-0.5, rel=0.02)
    assert model.embedding.weight.std().item() == pytest.approx(0.5, rel=0.05)
    for zero in (block.attention.out.weight, block.feed_forward.down.weight, model.unembedding.weight):
        assert not zero.any()
    assert (model.final_norm.weight == 1).all()


def test_tied_embeddings_are_refused():
    with pytest.raises(ValueError, match="tie_embeddings must be False"):
        make(32, tie_embeddings=True)
