"""Models with another mixer: what they compute, how they start, what they refuse."""

from __future__ import annotations

import pytest
import torch

from scaling_transformers.attention import linear_attention
from scaling_transformers.config import TransformerConfig
from scaling_transformers.frontiers.cheap_counts import WAYS
from scaling_transformers.frontiers.mixers import LinearAttention, make_model
from scaling_transformers.frontiers.state_space import StateSpace
from scaling_transformers.model.attention import Context
from scaling_transformers.training.loop import train

CONFIG = TransformerConfig(
    2, 16, 1, vocab_size=9, n_ctx=32, position="rotary", norm="rmsnorm", bias=False, tie_embeddings=False
)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_starts_without_knowledge_and_learns(way: str) -> None:
    torch.manual_seed(0)
    model = make_model(CONFIG, way)
    text = torch.arange(600).remainder(9).to(torch.uint8).numpy()  # each token follows from the last
    losses = train(model, text, n_step=30, batch=4, n=32, learning_rate=8e-3, transfer=True)
    assert losses[0] == pytest.approx(torch.tensor(9.0).log().item(), abs=1e-5)
    assert losses[-1] < 1.0


@pytest.mark.parametrize("way", WAYS)
def test_no_way_looks_ahead(way: str) -> None:
    torch.manual_seed(0)
    model = make_model(CONFIG, way).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        tokens = torch.randint(9, (1, 32))
        changed = tokens.clone()
        changed[0, 20:] = (changed[0, 20:] + 1) % 9
        one, other = model(tokens), model(changed)
    torch.testing.assert_close(one[:, :20], other[:, :20])
    assert not torch.allclose(one[:, 20], other[:, 20])


def test_linear_attention_is_its_projections_around_the_book_s_mathematics() -> None:
    layer = LinearAttention(CONFIG)
    x = torch.randn(2, 32, 16)
    q, k, v = (part(x)[:, None] for part in (layer.query, layer.key, layer.value))  # one head
    expected = layer.out(linear_attention(q, k, v, is_causal=True)[:, 0])
    torch.testing.assert_close(layer(x, Context())[0], expected)


def test_ways_have_their_modules_and_about_as_many_weights() -> None:
    sizes = {way: sum(p.numel() for p in make_model(CONFIG, way).parameters()) for way in WAYS}
    assert isinstance(make_model(CONFIG, "state space").blocks[1].attention, StateSpace)
    assert sizes["ternary"] == sizes["int4"] == sizes["linear"] == sizes["dense"]
    wide = CONFIG.replace(d_model=64, n_head=4)
    dense, other = (
        sum(p.numel() for p in make_model(wide, w).parameters()) for w in ("dense", "state space")
    )
    assert abs(other / dense - 1) < 0.05


def test_what_linear_attention_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing but angles"):
        LinearAttention(CONFIG)(torch.zeros(1, 32, 16), Context(return_attention=True))
    with pytest.raises(ValueError, match="way must be one of"):
        make_model(CONFIG, "windowed")
