"""What counting promises: the number of parameters that the built model holds, part by part."""

import time

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import TransformerConfig, preset
from scaling_transformers.accounting import count_parameters, latent_attention_parameters
from scaling_transformers.attention import latent_attention
from scaling_transformers.model import Transformer

LLAMA = ["llama-7b", "llama-13b", "llama-33b", "llama-65b", "llama-2-7b", "llama-2-13b", "llama-2-70b"]
LLAMA += ["llama-3-8b", "llama-3-70b", "llama-3-405b"]
GPT = ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "gpt3-175b"]
BERT = ["bert-base", "bert-large"]


def build_published(name):
    """The ``transformers`` model of a preset, without memory for its weights."""
    config = preset(name)
    sizes = {
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "max_position_embeddings": config.n_ctx,
    }
    grouped = {**sizes, "num_key_value_heads": config.n_kv_head, "head_dim": config.d_head}
    with torch.device("meta"):
        if name in GPT:
            return transformers.GPT2LMHeadModel(
                transformers.GPT2Config(
                    vocab_size=config.vocab_size,
                    n_positions=config.n_ctx,
                    n_embd=config.d_model,
                    n_layer=config.n_layer,
                    n_head=config.n_head,
                )
            )
        if name in BERT:
            return transformers.BertModel(transformers.BertConfig(**sizes))
        if name in LLAMA:
            return transformers.LlamaForCausalLM(transformers.LlamaConfig(**grouped))
        if name == "mistral-7b":
            return transformers.MistralForCausalLM(transformers.MistralConfig(**grouped))
        return transformers.MixtralForCausalLM(transformers.MixtralConfig(**grouped))


def n_held(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", [*GPT, *BERT, *LLAMA, "mistral-7b", "mixtral-8x7b"])
def test_the_count_is_that_of_the_published_model(name):
    assert count_parameters(preset(name)).total == n_held(build_published(name))


@pytest.mark.parametrize(
    ("name", "billions"),
    [  # the authors round or cut to one digit
        ("llama-7b", 6.7),  # Touvron et al. 2023a, table 2
        ("llama-13b", 13.0),
        ("llama-33b", 32.5),
        ("llama-65b", 65.2),
        ("gpt3-175b", 174.6),  # Brown et al. 2020, table D.1
        ("mixtral-8x7b", 46.7),  # Mistral AI, "Mixtral of experts", December 2023
    ],
)
def test_the_count_is_what_the_authors_report(name, billions):
    assert count_parameters(preset(name)).total / 1e9 == pytest.approx(billions, abs=0.1)


def test_two_experts_of_eight_leave_the_active_parameters_that_the_authors_report():
    active = count_parameters(preset("mixtral-8x7b")).active
    assert round(active / 1e9, 1) == 12.9  # the same announcement: 12.9B a token


@st.composite
def configs(draw):
    """Small configs of every choice that `Transformer` builds."""
    n_kv_head, d_head = draw(st.integers(1, 3)), 2 * draw(st.integers(1, 3))
    n_head = n_kv_head * draw(st.integers(1, 2))
    kind, norm_placement = draw(
        st.sampled_from([("decoder", "pre"), ("decoder", "post"), ("encoder", "pre"), ("encoder", "post")])
    )
    n_expert = draw(st.integers(1, 3))
    return TransformerConfig(
        draw(st.integers(1, 3)),
        2 * draw(st.integers(1, 8)),
        n_head,
        draw(st.integers(1, 20)),
        draw(st.integers(1, 9)),
        n_kv_head=n_kv_head,
        d_head=d_head,
        d_ff=draw(st.integers(1, 20)),
        kind=kind,
        norm_placement=norm_placement,
        activation=draw(st.sampled_from(["gelu", "relu", "swiglu", "geglu"])),
        norm=draw(st.sampled_from(["layernorm", "rmsnorm"])),
        position=draw(st.sampled_from(["learned", "sinusoidal", "rotary", "alibi", "none"])),
        bias=draw(st.booleans()),
        qkv_bias=draw(st.booleans()),
        tie_embeddings=draw(st.booleans()),
        n_token_type=draw(st.integers(0, 2)),
        pooler=kind == "encoder" and draw(st.booleans()),
        n_expert=n_expert,
        n_expert_active=draw(st.integers(1, n_expert)),
    )


@given(config=configs())
@settings(deadline=None)
def test_each_part_is_what_the_built_model_holds(config):
    with torch.device("meta"):
        model = Transformer(config)
    held = dict.fromkeys(count_parameters(config).by_part, 0)
    for name, parameter in model.named_parameters():  # a tied matrix comes once, as the embedding
        part = (
            "norms" if "norm" in name
            else "router" if "router" in name
            else "feed_forward" if "feed_forward" in name
            else "attention" if "attention" in name
            else {"embedding": "token_embedding"}.get(name.split(".")[0], name.split(".")[0])
        )  # fmt: skip
        held[part] += parameter.numel()
    assert count_parameters(config).by_part == held


@pytest.mark.parametrize("name", [*GPT, *BERT, *LLAMA, "mistral-7b", "mixtral-8x7b"])
def test_our_model_of_a_preset_holds_as_many(name):
    with torch.device("meta"):
        model = Transformer(preset(name))
    assert n_held(model) == count_parameters(preset(name)).total


@given(config=configs(), n_expert=st.integers(2, 6), data=st.data())
def test_the_sums_agree_and_idle_experts_are_all_that_is_not_active(config, n_expert, data):
    n_active = data.draw(st.integers(1, n_expert))
    count = count_parameters(config.replace(n_expert=n_expert, n_expert_active=n_active))
    fewer = count_parameters(config.replace(n_expert=n_active, n_expert_active=n_active))
    assert count.total == count.embedding + count.non_embedding == sum(count.by_part.values())
    router_rows = (n_expert - (n_active if n_active > 1 else 0)) * config.d_model * config.n_layer
    assert count.active == fewer.total + router_rows


@given(config=configs())
def test_tying_leaves_the_non_embedding_count_alone(config):
    tied, untied = (count_parameters(config.replace(tie_embeddings=tie)) for tie in (True, False))
    assert tied.non_embedding == untied.non_embedding
    assert untied.total - tied.total == config.vocab_size * config.d_model


def test_a_thousand_configs_are_counted_in_a_moment():
    config = preset("mixtral-8x7b")
    start = time.perf_counter()
    for _ in range(1000):
        count_parameters(config)
    assert time.perf_counter() - start < 0.1


@pytest.mark.parametrize("config", [None, "gpt2", {"n_layer": 12}])
def test_only_a_config_is_counted(config):
    with pytest.raises(ValueError, match="config must be a TransformerConfig"):
        count_parameters(config)


@settings(deadline=None, derandomize=True)
@given(sizes=st.tuples(*[st.integers(1, 6)] * 5), d_rotary=st.sampled_from([0, 2, 4]))
def test_latent_attention_has_as_many_parameters_as_the_matrices_that_compute_it(sizes, d_rotary):
    n_layer, d_model, n_head, d_head, d_latent = sizes
    shapes = {
        "w_q": (d_model, n_head * d_head),
        "w_down": (d_model, d_latent),
        "w_up_k": (d_latent, n_head * d_head),
        "w_up_v": (d_latent, n_head * d_head),
        "w_o": (n_head * d_head, d_model),
    }
    if d_rotary:
        shapes |= {"w_q_rotary": (d_model, n_head * d_rotary), "w_k_rotary": (d_model, d_rotary)}
    weights = {name: np.ones(shape) for name, shape in shapes.items()}
    assert latent_attention(np.ones((3, d_model)), n_head=n_head, **weights).shape == (3, d_model)
    counted = latent_attention_parameters(
        n_layer=n_layer, d_model=d_model, n_head=n_head, d_head=d_head, d_latent=d_latent, d_rotary=d_rotary
    )
    assert counted == n_layer * sum(weight.size for weight in weights.values())


def test_bad_sizes_of_latent_attention_are_refused_by_name():
    good = {"n_layer": 1, "d_model": 8, "n_head": 2, "d_head": 4, "d_latent": 4, "d_rotary": 2}
    for name in good:
        with pytest.raises(ValueError, match=f"{name} must be a whole number of at least"):
            latent_attention_parameters(**{**good, name: -1})
