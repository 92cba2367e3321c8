"""What the trainable model promises: the architecture that its config names, and no look ahead."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from scaling_transformers import TransformerConfig
from scaling_transformers.attention import alibi_bias, causal_mask, softmax, window_mask
from scaling_transformers.model import Transformer
from scaling_transformers.model.feed_forward import FeedForward

POSITIONS = ["learned", "sinusoidal", "rotary", "alibi", "none"]


def make(seed=0, **changes):
    """A small model in float64, its weights large enough for attention to have a say."""
    sizes = {"n_layer": 2, "d_model": 16, "n_head": 4, "vocab_size": 11, "n_ctx": 8}
    torch.manual_seed(seed)
    model = Transformer(TransformerConfig(**{**sizes, **changes})).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def some_tokens(batch=3, n=7):
    return torch.randint(11, (batch, n), generator=torch.Generator().manual_seed(1))


def reach(model, tokens, query):
    """For each token, whether the logits at ``query`` have any gradient by its embedding."""
    seen = []
    hook = model.embedding.register_forward_hook(
        lambda *call: (seen.append(call[2]), call[2].retain_grad())[0]
    )
    model(tokens)[:, query].square().sum().backward()
    hook.remove()
    return (seen[0].grad != 0).any(dim=-1)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("query", [0, 3, 6])
def test_a_decoder_never_looks_ahead_and_an_encoder_looks_both_ways(position, query):
    tokens = some_tokens()
    decoder, encoder = (make(position=position, kind=kind) for kind in ("decoder", "encoder"))
    behind = torch.arange(7) <= query
    assert (reach(decoder, tokens, query) == behind).all()
    assert reach(encoder, tokens, query).all()


@pytest.mark.parametrize("position", ["learned", "alibi"])
def test_a_window_reaches_one_window_less_one_further_with_each_layer(position):
    model = make(position=position, window=2, n_layer=3)
    assert reach(model, some_tokens(), 6).tolist() == [[False] * 3 + [True] * 4] * 3


CASES = [
    *itertools.product(POSITIONS, ["decoder", "encoder"], [None], [1, 2, 4]),
    *itertools.product(POSITIONS, ["decoder"], [1, 3, 8], [2]),
]


@pytest.mark.parametrize(("position", "kind", "window", "n_kv_head"), CASES)
def test_the_weights_shown_are_the_weights_used(position, kind, window, n_kv_head):
    model = make(position=position, kind=kind, window=window, n_kv_head=n_kv_head)
    tokens = some_tokens()
    logits, patterns = model(tokens, return_attention=True)
    torch.testing.assert_close(logits, model(tokens), rtol=1e-10, atol=1e-10)
    allowed = torch.ones(7, 7, dtype=torch.bool)
    if kind == "decoder":
        allowed = torch.from_numpy(causal_mask(7) if window is None else window_mask(7, window=window))
    assert len(patterns) == 2
    for weights in patterns:
        assert weights.shape == (3, 4, 7, 7)
        assert ((weights > 0) == allowed).all()
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 4, 7, dtype=torch.float64))


def torchs_own_layer(block, config):
    """torch's encoder layer with a block's weights; heads that share keys get copies of them."""
    peer = nn.TransformerEncoderLayer(
        config.d_model,
        config.n_head,
        dim_feedforward=config.d_ff,
        dropout=0.0,
        activation=config.activation,
        batch_first=True,
        norm_first=config.norm_placement == "pre",
        dtype=torch.float64,
    )
    own, group = block.attention, config.n_head // config.n_kv_head
    for name in ("weight", "bias"):
        key, value = (
            getattr(part, name).unflatten(0, (config.n_kv_head, -1)).repeat_interleave(group, 0).flatten(0, 1)
            for part in (own.key, own.value)
        )
        joined = torch.cat([getattr(own.query, name), key, value])
        getattr(peer.self_attn, f"in_proj_{name}").copy_(joined)
    for theirs, ours in (
        (peer.self_attn.out_proj, own.out),
        (peer.linear1, block.feed_forward.up),
        (peer.linear2, block.feed_forward.down),
        (peer.norm1, block.attention_norm),
        (peer.norm2, block.feed_forward_norm),
    ):
        theirs.load_state_dict(ours.state_dict())
    return peer


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
@pytest.mark.parametrize("placement", ["pre", "post"])
@pytest.mark.parametrize(("activation", "n_kv_head"), [("gelu", 4), ("relu", 2)])
@torch.no_grad()
def test_it_is_torchs_own_encoder_with_the_same_weights(kind, placement, activation, n_kv_head):
    model = make(
        kind=kind, norm_placement=placement, activation=activation, n_kv_head=n_kv_head, position="none"
    )
    tokens = some_tokens()
    later = torch.ones(7, 7, dtype=torch.bool).triu(1)
    x = model.embedding(tokens)
    if placement == "post" and kind == "encoder":  # as BERT has it
        x = nn.functional.layer_norm(x, (16,), model.embedding_norm.weight, model.embedding_norm.bias)
    for block in model.blocks:
        x = torchs_own_layer(block, model.config)(x, src_mask=later if kind == "decoder" else None)
    if placement == "pre":
        x = nn.functional.layer_norm(x, (16,), model.final_norm.weight, model.final_norm.bias)
    torch.testing.assert_close(model(tokens), x @ model.embedding.weight.T)


FORMULAS = {
    "relu": lambda up, gate: max(up, 0.0),
    "gelu": lambda up, gate: gelu(up),
    # Hendrycks and Gimpel 2016, section 2
    "gelu_tanh": lambda up, gate: up / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3))),
    # Shazeer 2020, equation 6
    "swiglu": lambda up, gate: up * gate / (1 + math.exp(-gate)),
    "geglu": lambda up, gate: up * gelu(gate),
}


def gelu(x):
    return x / 2 * (1 + math.erf(x / math.sqrt(2)))


@pytest.mark.parametrize("activation", FORMULAS)
@torch.no_grad()
def test_a_feed_forward_layer_is_the_published_formula(activation):
    torch.manual_seed(0)
    layer = FeedForward(TransformerConfig(1, 16, 4, 11, 8, activation=activation)).double()
    x = torch.randn(5, 16, dtype=torch.float64)
    up, gate = layer.up(x), layer.up(x) if layer.gate is None else layer.gate(x)
    hidden = np.vectorize(FORMULAS[activation])(up.numpy(), gate.numpy())
    torch.testing.assert_close(layer(x), layer.down(torch.from_numpy(hidden)))


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
@torch.no_grad()
def test_without_queries_a_head_attends_by_position_alone(kind):
    penalty = alibi_bias(4, 7)
    if kind == "decoder":
        penalty = np.where(causal_mask(7), penalty, -np.inf)
    for position, bias in (("alibi", penalty), ("rotary", np.where(penalty == -np.inf, penalty, 0.0))):
        model = make(kind=kind, position=position, n_layer=1)
        model.blocks[0].attention.query.weight.zero_()
        model.blocks[0].attention.query.bias.zero_()
        _, (weights,) = model(some_tokens(), return_attention=True)
        np.testing.assert_allclose(weights, np.broadcast_to(softmax(bias), weights.shape), atol=1e-6)


@torch.no_grad()
def test_rotary_attention_to_one_repeated_token_depends_on_distance_alone():
    model = make(position="rotary", n_layer=1, n_kv_head=2)
    _, (weights,) = model(torch.full((1, 8), 5), return_attention=True)
    logs = weights[0].log()
    by_distance = logs - logs.diagonal(dim1=-2, dim2=-1)[..., None]  # against the weight at distance 0
    for distance in range(1, 8):
        line = by_distance.diagonal(offset=-distance, dim1=-2, dim2=-1)
        torch.testing.assert_close(line, line[:, :1].expand_as(line))
        assert line.abs().max() > 0.05  # and it does depend on it


@pytest.mark.parametrize(("position", "moved"), [("learned", True), ("sinusoidal", True), ("none", False)])
@torch.no_grad()
def test_only_positions_tell_an_encoder_about_order(position, moved):
    model = make(kind="encoder", position=position)
    tokens, order = some_tokens(), torch.tensor([6, 2, 0, 4, 1, 3, 5])
    out, shuffled = model(tokens)[:, order], model(tokens[:, order])
    assert torch.allclose(out, shuffled, atol=1e-10) is not moved


@pytest.mark.parametrize("n_kv_head", [2, 4])
@torch.no_grad()
def test_a_head_gate_of_zero_removes_the_head(n_kv_head):
    model, tokens = make(n_kv_head=n_kv_head), some_tokens()
    whole = model(tokens)
    torch.testing.assert_close(model(tokens, head_gate=torch.ones(2, 4)), whole)
    for layer, head in itertools.product(range(2), range(4)):
        gate = torch.ones(2, 4)
        gate[layer, head] = 0
        gated = model(tokens, head_gate=gate)
        assert not torch.allclose(gated, whole)
        torch.testing.assert_close(model(tokens, head_gate=gate, return_attention=True)[0], gated)
        cut = make(n_kv_head=n_kv_head)
        cut.blocks[layer].attention.out.weight[:, 4 * head : 4 * head + 4] = 0
        torch.testing.assert_close(gated, cut(tokens))


def test_tied_embeddings_are_one_matrix():
    tied, free = make(), make(tie_embeddings=False)
    assert tied.unembedding.weight is tied.embedding.weight
    assert free.unembedding.weight is not free.embedding.weight


@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
def test_without_biases_only_matrices_and_scales_are_left(norm):
    model = make(bias=False, norm=norm, activation="swiglu", position="rotary")
    assert [name for name, _ in model.named_parameters() if "bias" in name] == []
    with_qkv = make(bias=False, qkv_bias=True)
    assert {name.split(".")[-2] for name, _ in with_qkv.named_parameters() if "bias" in name} == {
        "query",
        "key",
        "value",
    }


TOKENS = torch.zeros(1, 4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (TOKENS.double(), "tokens must be a tensor of whole numbers; got torch.float64"),
        (TOKENS.bool(), "tokens must be a tensor of whole numbers; got torch.bool"),
        (TOKENS.numpy(), "tokens must be a tensor of whole numbers; got int64"),
        ([[1, 2]], "tokens must be a tensor of whole numbers; got <class 'list'>"),
        (TOKENS[0], r"tokens must have shape \(batch, n\); got \(4,\)"),
        (TOKENS[:0], r"tokens must have shape \(batch, n\); got \(0, 4\)"),
        (TOKENS[:, :0], "tokens must have a length from 1 to n_ctx=8; got 0"),
        (TOKENS.expand(1, 4).repeat(1, 3), "tokens must have a length from 1 to n_ctx=8; got 12"),
        (TOKENS + 11, "tokens must lie below vocab_size=11 and not below 0; got 11 to 11"),
        (TOKENS - 1, "tokens must lie below vocab_size=11 and not below 0; got -1 to -1"),
    ],
)
def test_bad_tokens_are_named(tokens, message):
    with pytest.raises(ValueError, match=message):
        make()(tokens)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (torch.ones(4), r"head_gate must have shape \(2, 4\); got \(4,\)"),
        (torch.ones(4, 2), r"head_gate must have shape \(2, 4\); got \(4, 2\)"),
        (torch.full((2, 4), math.nan), "head_gate must be finite"),
    ],
)
def test_a_bad_head_gate_is_named(gate, message):
    with pytest.raises(ValueError, match=message):
        make()(TOKENS, head_gate=gate)


ENCODER = {"kind": "encoder", "norm_placement": "post", "n_token_type": 2, "pooler": True}


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
@torch.no_grad()
def test_padding_after_a_text_changes_nothing_before_it(position, kind):
    model, tokens = make(position=position, kind=kind), some_tokens()
    lengths = [7, 4, 1]
    mask = torch.arange(7) < torch.tensor(lengths)[:, None]
    out, patterns = model(tokens, mask=mask, return_attention=True)
    torch.testing.assert_close(out, model(tokens, mask=mask))
    for text, length in enumerate(lengths):
        torch.testing.assert_close(out[text, :length], model(tokens[text : text + 1, :length])[0])
        assert all((weights[text, :, :length, length:] == 0).all() for weights in patterns)


@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("position", ["rotary", "alibi", "none"])
@torch.no_grad()
def test_padding_before_a_text_changes_nothing_where_positions_are_relative(position, window):
    model, tokens = make(position=position, window=window), some_tokens()
    mask = torch.arange(7) >= 3
    out = model(tokens, mask=mask.expand(3, 7))
    assert out.isfinite().all()
    torch.testing.assert_close(out[:, 3:], model(tokens[:, 3:]))


@torch.no_grad()
def test_token_types_are_vectors_added_to_the_embeddings():
    model, tokens = make(**ENCODER), some_tokens()
    plain = model(tokens)
    torch.testing.assert_close(model(tokens, token_types=torch.zeros_like(tokens)), plain)
    types = tokens % 2
    mixed = model(tokens, token_types=types)
    assert not torch.allclose(mixed, plain)
    hook = model.embedding.register_forward_hook(
        lambda *call: (
            call[2]
            + (model.token_type_embedding.weight[1] - model.token_type_embedding.weight[0]) * types[..., None]
        )
    )
    torch.testing.assert_close(model(tokens), mixed)
    hook.remove()


@torch.no_grad()
def test_the_pooler_reads_the_first_token():
    model, tokens = make(**ENCODER), some_tokens()
    hidden = model.hidden(tokens)
    wanted = torch.tanh(hidden[:, 0] @ model.pooler.weight.T + model.pooler.bias)
    torch.testing.assert_close(model.pooled(tokens), wanted)
    torch.testing.assert_close(model(tokens), hidden @ model.embedding.weight.T)
    with pytest.raises(ValueError, match="pooler must be True in the config"):
        make().pooled(tokens)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"token_types": TOKENS.double()}, "token_types must be a tensor of whole numbers"),
        ({"token_types": TOKENS[:, 1:]}, r"token_types must have shape \(1, 4\); got \(1, 3\)"),
        ({"token_types": TOKENS + 2}, "token_types must lie below n_token_type=2 and not below 0; got 2"),
        ({"mask": TOKENS}, "mask must be a boolean tensor, True for real tokens; got torch.int64"),
        ({"mask": [[True] * 4]}, "mask must be a boolean tensor, True for real tokens; got <class 'list'>"),
        ({"mask": TOKENS[0] == 0}, r"mask must have shape \(1, 4\); got \(4,\)"),
        ({"mask": TOKENS == 1}, "mask must leave a real token in each text"),
    ],
)
def test_bad_token_types_and_masks_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**ENCODER)(TOKENS, **arguments)


def test_token_types_need_a_table():
    with pytest.raises(ValueError, match="token_types need n_token_type of at least 1"):
        make()(TOKENS, token_types=TOKENS)


@pytest.mark.parametrize(
    "design",
    [
        {},
        {"position": "rotary", "n_kv_head": 2, "window": 3, "norm": "rmsnorm", "activation": "swiglu"},
        {"position": "alibi", "kind": "encoder"},
    ],
)
def test_torch_compiles_the_model_into_one_graph(design):
    model, tokens = make(**design), some_tokens()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(tokens), model(tokens))
    torch.compiler.reset()


@pytest.mark.parametrize("position", POSITIONS)
def test_a_model_on_the_meta_device_has_shapes_and_no_numbers(position):
    with torch.device("meta"):
        model = Transformer(TransformerConfig(2, 16, 4, 11, 8, position=position))
        assert model(TOKENS.to("meta")).shape == (1, 4, 11)
    assert all(parameter.is_meta for parameter in model.parameters())
