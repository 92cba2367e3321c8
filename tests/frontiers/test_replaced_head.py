"""A head given its own weights changes nothing; one given none is a head taken out."""

import numpy as np
import pytest
import torch

from scaling_transformers import TransformerConfig
from scaling_transformers.attention import attention_weights
from scaling_transformers.frontiers.replaced_head import queries_and_keys, replaced_losses
from scaling_transformers.model import Transformer
from scaling_transformers.training import token_losses


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(2, 16, 4, 20, 12)).double().eval()
    for parameter in model.parameters():
        parameter.data.mul_(4.0)  # so that the head matters
    return model


@pytest.fixture
def tokens():
    return torch.randint(20, (3, 11), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layer", [0, 1])
def test_a_head_with_its_own_weights_is_itself(model, tokens, layer):
    q, k = queries_and_keys(model, tokens[:, :-1], layer=layer, head=2)
    weights = attention_weights(q[:, None], k[:, None], is_causal=True)[:, 0]
    with torch.no_grad():
        _, patterns = model(tokens[:, :-1], return_attention=True)
    np.testing.assert_allclose(weights, patterns[layer][:, 2].numpy(), atol=1e-12)
    losses = replaced_losses(model, tokens, weights=weights, layer=layer, head=2)
    np.testing.assert_allclose(losses, token_losses(model, tokens).numpy(), atol=1e-12)


def test_a_head_without_weights_is_a_head_taken_out(model, tokens):
    gate = torch.ones(2, 4, dtype=torch.float64)
    gate[1, 0] = 0.0
    expected = token_losses(model, tokens, head_gate=gate).numpy()
    nothing = np.zeros((3, 10, 10))
    np.testing.assert_allclose(
        replaced_losses(model, tokens, weights=nothing, layer=1, head=0), expected, atol=1e-12
    )
    assert np.abs(expected - token_losses(model, tokens).numpy()).max() > 1e-3


def test_no_hook_is_left_behind(model, tokens):
    before = token_losses(model, tokens)
    replaced_losses(model, tokens, weights=np.zeros((3, 10, 10)), layer=0, head=0)
    assert torch.equal(token_losses(model, tokens), before)


def test_what_does_not_fit_is_refused(model, tokens):
    with pytest.raises(ValueError, match="head must be a whole number from 0 to 3"):
        queries_and_keys(model, tokens, layer=0, head=4)
    with pytest.raises(ValueError, match="weights must have shape"):
        replaced_losses(model, tokens, weights=np.zeros((3, 11, 11)), layer=0, head=0)
    with pytest.raises(ValueError, match="tokens must have shape"):
        queries_and_keys(model, tokens[0], layer=0, head=0)
    turned = Transformer(TransformerConfig(1, 16, 4, 20, 12, position="rotary"))
    with pytest.raises(ValueError, match="no rotary positions"):
        queries_and_keys(turned, tokens, layer=0, head=0)
