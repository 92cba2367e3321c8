"""With the same weights the model gives the numbers of the transformers library, to the last digits."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before the import: nothing here may reach for a network

import pytest
import torch
import transformers

from scaling_transformers import TransformerConfig
from scaling_transformers.model import Transformer

TOLERANCE = 1e-5  # largest absolute difference, in float32
VOCAB, N_CTX, N = 37, 32, 20
NO_TOKENS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
LLAMA_LIKE = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": N_CTX,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0},
    **NO_TOKENS,
}
OURS_LLAMA_LIKE = {
    "d_ff": 48,
    "n_kv_head": 2,
    "norm": "rmsnorm",
    "norm_eps": 1e-6,
    "activation": "swiglu",
    "position": "rotary",
    "rope_theta": 5000.0,
    "bias": False,
    "tie_embeddings": False,
}


def ours(**changes):
    return TransformerConfig(3, 32, 4, VOCAB, N_CTX, **changes)


def gpt2(**changes):
    sizes = {"vocab_size": VOCAB, "n_positions": N_CTX, "n_embd": 32, "n_layer": 3, "n_head": 4, **NO_TOKENS}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **changes))


def bert(**changes):
    config = transformers.BertConfig(
        vocab_size=VOCAB,
        max_position_embeddings=N_CTX,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        type_vocab_size=2,
        **changes,
    )
    return transformers.BertModel(config)


def llama(**changes):
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA_LIKE | changes))


def mistral(**changes):
    return transformers.MistralForCausalLM(
        transformers.MistralConfig(**LLAMA_LIKE, sliding_window=6, **changes)
    )


def mixtral(**changes):
    own = {"sliding_window": None, "num_local_experts": 4, "num_experts_per_tok": 2}
    config = transformers.MixtralConfig(**LLAMA_LIKE | own | changes)
    return transformers.MixtralForCausalLM(config)


BERT_CONFIG = ours(
    d_ff=48,
    kind="encoder",
    norm_placement="post",
    norm_eps=1e-12,
    n_token_type=2,
    pooler=True,
)
DECODERS = {
    "gpt2": (gpt2, ours(activation="gelu_tanh")),
    "llama": (llama, ours(**OURS_LLAMA_LIKE)),
    "mistral": (mistral, ours(**OURS_LLAMA_LIKE, window=6)),
    "mixtral": (mixtral, ours(**OURS_LLAMA_LIKE, n_expert=4, n_expert_active=2)),
}
TIED = {
    "gpt2": DECODERS["gpt2"],
    "llama": (
        lambda **changes: llama(tie_word_embeddings=True, **changes),
        ours(**OURS_LLAMA_LIKE).replace(tie_embeddings=True),
    ),
}


def peer_of(build, implementation="eager", seed=0):
    """A model of the library with random weights, biases and norms among them."""
    torch.manual_seed(seed)
    peer = build(attn_implementation=implementation).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return peer


def some_tokens(batch=3):
    return torch.randint(VOCAB, (batch, N), generator=torch.Generator().manual_seed(1))


def largest_difference(a, b):
    assert a.dtype == b.dtype == torch.float32
    assert a.shape == b.shape
    assert b.std() > 0.3  # there is something to get wrong
    return float((a - b).abs().max())


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("family", DECODERS)
@torch.no_grad()
def test_logits_in_one_pass_and_token_by_token(family, implementation, record_property):
    build, config = DECODERS[family]
    peer, tokens = peer_of(build, implementation), some_tokens()
    model = Transformer(config).load_huggingface(peer.state_dict())
    wanted = peer(tokens, use_cache=False).logits
    cache = model.new_cache(batch=3)
    steps = torch.cat([model(token, cache=cache) for token in tokens.split(1, dim=1)], dim=1)
    shown, _ = model(tokens, return_attention=True)
    differences = {
        "one pass": largest_difference(model(tokens), wanted),
        "token by token": largest_difference(steps, wanted),
        "weights shown": largest_difference(shown, wanted),
    }
    record_property("differences", str(differences))
    assert max(differences.values()) <= TOLERANCE, differences


VARIANTS = {
    "heads wider than their share": (
        lambda **changes: mistral(head_dim=12, **changes),
        ours(**OURS_LLAMA_LIKE, window=6, d_head=12),
    ),
    "one key head": (
        lambda **changes: llama(**changes | {"num_key_value_heads": 1}),
        ours(**OURS_LLAMA_LIKE | {"n_kv_head": 1}),
    ),
    "biases": (
        lambda **changes: llama(attention_bias=True, mlp_bias=True, **changes),
        ours(**OURS_LLAMA_LIKE | {"bias": True}),
    ),
    "experts behind a window": (
        lambda **changes: mixtral(**changes | {"sliding_window": 5, "num_experts_per_tok": 1}),
        ours(**OURS_LLAMA_LIKE, window=5, n_expert=4, n_expert_active=1),
    ),
    "another width and activation": (
        lambda **changes: gpt2(n_inner=40, activation_function="relu", **changes),
        ours(d_ff=40, activation="relu"),
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_logits_of_less_common_designs(variant):
    build, config = VARIANTS[variant]
    peer, tokens = peer_of(build), some_tokens()
    model = Transformer(config).load_huggingface(peer.state_dict())
    wanted, cache = peer(tokens, use_cache=False).logits, model.new_cache(batch=3)
    pieces = torch.cat([model(piece, cache=cache) for piece in tokens.split(7, dim=1)], dim=1)
    assert largest_difference(model(tokens), wanted) <= TOLERANCE
    assert largest_difference(pieces, wanted) <= TOLERANCE


@pytest.mark.parametrize("family", DECODERS)
@torch.no_grad()
def test_the_likeliest_continuation_is_the_librarys(family):
    build, config = DECODERS[family]
    peer, tokens = peer_of(build), some_tokens()
    model = Transformer(config).load_huggingface(peer.state_dict())
    settings = transformers.GenerationConfig(
        max_new_tokens=10, min_new_tokens=10, do_sample=False, pad_token_id=0
    )
    wanted = peer.generate(tokens, attention_mask=torch.ones_like(tokens), generation_config=settings)
    assert (model.generate(tokens, max_new_tokens=10, temperature=0) == wanted).all()


@torch.no_grad()
def test_the_mistral_window_is_shorter_than_the_text_and_matters():
    peer = peer_of(mistral)
    windowed, whole = (
        Transformer(config).load_huggingface(peer.state_dict())
        for config in (DECODERS["mistral"][1], DECODERS["llama"][1])
    )
    gap = (windowed(some_tokens()) - whole(some_tokens())).abs().amax(dim=(0, 2))
    assert (gap[:6] <= TOLERANCE).all()
    assert (gap[6:] > 0.01).all()


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("prefix", ["", "bert."])
@torch.no_grad()
def test_bert_hidden_states_and_pooled_output(implementation, padded, prefix, record_property):
    peer, tokens = peer_of(bert, implementation), some_tokens()
    types = (torch.arange(N) >= 8).long().expand(3, N)
    mask = torch.arange(N) < torch.tensor([N, 12, 5])[:, None] if padded else None
    state = {prefix + key: value for key, value in peer.state_dict().items()}
    model = Transformer(BERT_CONFIG).load_huggingface(state)
    wanted = peer(tokens, token_type_ids=types, attention_mask=None if mask is None else mask.long())
    hidden = model.hidden(tokens, token_types=types, mask=mask)
    real = slice(None) if mask is None else mask
    differences = {
        "hidden": largest_difference(hidden[real], wanted.last_hidden_state[real]),
        "pooled": largest_difference(
            model.pooled(tokens, token_types=types, mask=mask), wanted.pooler_output
        ),
    }
    record_property("differences", str(differences))
    assert max(differences.values()) <= TOLERANCE, differences


@torch.no_grad()
def test_bert_as_first_published_calls_scale_and_shift_gamma_and_beta():
    state = peer_of(bert).state_dict()
    old = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for key, value in state.items()
    }
    assert sum("gamma" in key for key in old) == 7
    new_model, old_model = (Transformer(BERT_CONFIG).load_huggingface(each) for each in (state, old))
    assert (new_model(some_tokens()) == old_model(some_tokens())).all()
    with pytest.raises(ValueError, match=r"unexpected: embeddings\.LayerNorm\.(gamma|weight)$"):
        new_model.load_huggingface(state | {"embeddings.LayerNorm.gamma": torch.ones(32)})


def published_mixtral(state):
    """Experts one by one, as the published checkpoint of Mixtral has them."""
    out = {}
    for key, value in state.items():
        layer, _, rest = key.partition(".mlp.")
        if rest == "gate.weight":
            out[f"{layer}.block_sparse_moe.gate.weight"] = value
        elif rest == "experts.gate_up_proj":
            for expert, both in enumerate(value):
                w1, w3 = both.chunk(2)
                out[f"{layer}.block_sparse_moe.experts.{expert}.w1.weight"] = w1
                out[f"{layer}.block_sparse_moe.experts.{expert}.w3.weight"] = w3
        elif rest == "experts.down_proj":
            for expert, w2 in enumerate(value):
                out[f"{layer}.block_sparse_moe.experts.{expert}.w2.weight"] = w2
        else:
            out[key] = value
    return out


@torch.no_grad()
def test_mixtral_as_published_is_mixtral_as_the_library_holds_it():
    state, config = peer_of(mixtral).state_dict(), DECODERS["mixtral"][1]
    published = published_mixtral(state)
    assert "model.layers.2.block_sparse_moe.experts.3.w2.weight" in published
    fused, single = (Transformer(config).load_huggingface(each) for each in (state, published))
    assert (fused(some_tokens()) == single(some_tokens())).all()


@torch.no_grad()
def test_the_library_writes_mixtral_as_published(tmp_path):
    """What it saves to disk are the published names; so the helper above is right."""
    from safetensors.torch import load_file

    peer = peer_of(mixtral)
    peer.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    assert set(saved) == set(published_mixtral(peer.state_dict()))
    model = Transformer(DECODERS["mixtral"][1]).load_huggingface(saved)
    assert largest_difference(model(some_tokens()), peer(some_tokens()).logits) <= TOLERANCE


@pytest.mark.parametrize("family", TIED)
@torch.no_grad()
def test_a_tied_head_may_be_absent_but_not_another(family):
    build, config = TIED[family]
    peer, tokens = peer_of(build), some_tokens()
    state = dict(peer.state_dict())
    with_head = Transformer(config).load_huggingface(state)
    head = state.pop("lm_head.weight")
    without = Transformer(config).load_huggingface(state)
    wanted = peer(tokens).logits
    assert largest_difference(with_head(tokens), wanted) <= TOLERANCE
    assert largest_difference(without(tokens), wanted) <= TOLERANCE
    state["lm_head.weight"] = head + 1
    with pytest.raises(ValueError, match=r"tie_embeddings is True, but lm_head\.weight is not"):
        Transformer(config).load_huggingface(state)


BUFFERS = {
    "gpt2": ["transformer.h.0.attn.bias", "transformer.h.2.attn.masked_bias"],
    "llama": ["model.rotary_emb.inv_freq", "model.layers.1.self_attn.rotary_emb.inv_freq"],
    "bert": ["embeddings.position_ids"],
}


@pytest.mark.parametrize("family", BUFFERS)
def test_buffers_are_passed_over_and_the_prefix_may_be_left_out(family):
    build, config = (bert, BERT_CONFIG) if family == "bert" else DECODERS[family]
    state = dict(peer_of(build).state_dict()) | {key: torch.ones(3) for key in BUFFERS[family]}
    one = Transformer(config).load_huggingface(state)
    bare = {key.removeprefix("transformer.").removeprefix("model."): value for key, value in state.items()}
    other = Transformer(config).load_huggingface(bare)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert (a == b).all()


@pytest.mark.parametrize("family", [*DECODERS, "bert"])
def test_every_key_of_the_checkpoint_is_needed_and_a_failure_loads_nothing(family):
    build, config = (bert, BERT_CONFIG) if family == "bert" else DECODERS[family]
    state, model = dict(peer_of(build).state_dict()), Transformer(config)
    before = [parameter.clone() for parameter in model.parameters()]
    optional = {"lm_head.weight"} if config.tie_embeddings else set()
    for key in set(state) - optional:
        rest = {name: value for name, value in state.items() if name != key}
        with pytest.raises(ValueError, match="nothing was loaded") as error:
            model.load_huggingface(rest)
        if "gate_up_proj" not in key:  # without it the layer reads as one of the published kind
            assert str(error.value).endswith(f"missing: {key}")
    assert all((a == b).all() for a, b in zip(model.parameters(), before, strict=True))


def test_all_missing_unexpected_and_misshapen_keys_stand_in_one_message():
    build, config = DECODERS["llama"]
    state, model = dict(peer_of(build).state_dict()), Transformer(config)
    del state["model.norm.weight"], state["model.layers.1.mlp.up_proj.weight"]
    state["model.layers.3.mlp.up_proj.weight"] = state["cls.extra"] = torch.ones(2)
    state["model.layers.0.self_attn.k_proj.weight"] = torch.ones(32, 32)
    with pytest.raises(ValueError, match="nothing was loaded") as error:
        model.load_huggingface(state)
    message = str(error.value)
    assert "missing: model.layers.1.mlp.up_proj.weight, model.norm.weight;" in message
    assert "unexpected: cls.extra, model.layers.3.mlp.up_proj.weight;" in message
    assert "model.layers.0.self_attn.k_proj.weight must have shape (16, 32); got (32, 32)" in message


@pytest.mark.parametrize(
    ("family", "config", "message"),
    [
        ("llama", ours(), "missing: .*position_embedding.weight"),
        ("bert", BERT_CONFIG.replace(pooler=False), "unexpected: pooler.dense.bias, pooler.dense.weight$"),
        ("bert", BERT_CONFIG.replace(n_token_type=0), "unexpected: embeddings.token_type_embeddings.weight$"),
        (
            "mixtral",
            ours(**OURS_LLAMA_LIKE, n_expert=3, n_expert_active=2),
            r"experts.gate_up_proj must have shape \(3, 96, 32\); got \(4, 96, 32\)",
        ),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(family, config, message):
    build = bert if family == "bert" else DECODERS[family][0]
    with pytest.raises(ValueError, match=message):
        Transformer(config).load_huggingface(peer_of(build).state_dict())


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "state_dict must be a GPT-2, BERT, Llama, Mistral or Mixtral checkpoint"),
        ({"weight": torch.ones(2)}, r"its keys begin \['weight'\]"),
        (None, "state_dict must map names to tensors; got <class 'NoneType'>"),
        ({1: torch.ones(2)}, "state_dict must map names to tensors"),
    ],
)
def test_what_is_no_checkpoint_is_refused(state, message):
    with pytest.raises(ValueError, match=message):
        Transformer(ours()).load_huggingface(state)
