"""What a preset and a ``config.json`` promise: the published model, or an error that says what is wrong."""

import csv
import re
from importlib.resources import files

import pytest
import torch
import transformers
from transformers.masking_utils import sliding_window_causal_mask_function

from scaling_transformers import TransformerConfig, preset
from scaling_transformers.attention import window_mask

NAMES = [
    "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "gpt3-175b", "bert-base", "bert-large",
    "llama-7b", "llama-13b", "llama-33b", "llama-65b", "llama-2-7b", "llama-2-13b", "llama-2-70b",
    "llama-3-8b", "llama-3-70b", "llama-3-405b", "mistral-7b", "mixtral-8x7b",
]  # fmt: skip

# The form of the files on the hub, less the keys that say nothing about the architecture.
GPT2 = {
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024,
    "resid_pdrop": 0.1, "vocab_size": 50257,
}  # fmt: skip
BERT = {
    "architectures": ["BertForMaskedLM"], "hidden_act": "gelu", "hidden_size": 768, "intermediate_size": 3072,
    "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "model_type": "bert", "num_attention_heads": 12,
    "num_hidden_layers": 12, "position_embedding_type": "absolute", "type_vocab_size": 2, "vocab_size": 30522,
}  # fmt: skip
LLAMA = {
    "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 4096,
    "intermediate_size": 11008, "max_position_embeddings": 2048, "model_type": "llama",
    "num_attention_heads": 32, "num_hidden_layers": 32, "rms_norm_eps": 1e-06, "tie_word_embeddings": False,
    "vocab_size": 32000,
}  # fmt: skip
LLAMA_2_70B = {
    "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 8192,
    "intermediate_size": 28672, "max_position_embeddings": 4096, "model_type": "llama",
    "num_attention_heads": 64, "num_hidden_layers": 80, "num_key_value_heads": 8, "pretraining_tp": 1,
    "rms_norm_eps": 1e-05, "rope_scaling": None, "tie_word_embeddings": False, "vocab_size": 32000,
}  # fmt: skip
LLAMA_3_8B = {
    "architectures": ["LlamaForCausalLM"], "attention_bias": False, "hidden_act": "silu",
    "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 8192, "model_type": "llama",
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
    "rope_scaling": None, "rope_theta": 500000.0, "tie_word_embeddings": False, "vocab_size": 128256,
}  # fmt: skip
MISTRAL = {
    "architectures": ["MistralForCausalLM"], "hidden_act": "silu", "hidden_size": 4096,
    "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral",
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": False, "vocab_size": 32000,
}  # fmt: skip
MIXTRAL = {
    **MISTRAL, "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "num_experts_per_tok": 2,
    "num_local_experts": 8, "rope_theta": 1000000.0, "sliding_window": None,
}  # fmt: skip

CLASSES = [
    transformers.GPT2Config,
    transformers.BertConfig,
    transformers.LlamaConfig,
    transformers.MistralConfig,
    transformers.MixtralConfig,
]


def test_the_table_lists_the_presets_each_with_its_source():
    text = (files("scaling_transformers") / "data" / "presets.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["name"] for row in rows] == NAMES
    assert all(re.search(r"config\.json of |et al\. 20\d\d", row["source"]) for row in rows)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("gpt2", GPT2),
        ("bert-base", BERT),
        ("llama-7b", LLAMA),
        ("llama-2-70b", LLAMA_2_70B),
        ("llama-3-8b", LLAMA_3_8B),
        ("mistral-7b", MISTRAL),
        ("mixtral-8x7b", MIXTRAL),
    ],
)
def test_a_preset_is_what_the_published_file_says(name, published):
    assert TransformerConfig.from_huggingface(published) == preset(name)


@pytest.mark.parametrize(
    ("name", "published"),
    [("gpt2", GPT2), ("bert-base", BERT), ("mistral-7b", MISTRAL), ("mixtral-8x7b", MIXTRAL)],
)
def test_a_file_means_the_same_after_a_pass_through_transformers(name, published):
    written = transformers.CONFIG_MAPPING[published["model_type"]].from_dict(published).to_dict()
    assert TransformerConfig.from_huggingface(written) == preset(name)


@pytest.mark.parametrize("published", [GPT2, BERT, LLAMA, LLAMA_2_70B, LLAMA_3_8B, MISTRAL, MIXTRAL])
@pytest.mark.parametrize(
    "key",
    ["num_key_value_heads", "sliding_window", "rope_theta", "tie_word_embeddings", "head_dim", "n_inner"],
)
def test_a_missing_optional_key_means_what_transformers_takes_it_to_mean(published, key):
    silent = {name: value for name, value in published.items() if name != key}
    written = transformers.CONFIG_MAPPING[published["model_type"]].from_dict(silent).to_dict()
    assert TransformerConfig.from_huggingface(silent) == TransformerConfig.from_huggingface(written)


@pytest.mark.parametrize("published_class", CLASSES)
def test_what_transformers_writes_by_default_is_read(published_class):
    published = published_class()
    config = TransformerConfig.from_huggingface(published.to_dict())
    assert (config.n_layer, config.d_model) == (published.num_hidden_layers, published.hidden_size)
    assert (config.n_head, config.n_ctx) == (published.num_attention_heads, published.max_position_embeddings)
    assert config.vocab_size == published.vocab_size
    assert config.tie_embeddings == published.tie_word_embeddings


def test_the_window_counts_as_in_transformers():
    allowed, places = sliding_window_causal_mask_function(3), torch.arange(8)
    assert window_mask(8, window=3).tolist() == [
        [bool(allowed(0, 0, query, key)) for key in places] for query in places
    ]


@pytest.mark.parametrize(
    ("name", "near"), [("gpt-2", "gpt2"), ("llama2-7b", "llama-2-7b"), ("Mistral-7B", "mistral-7b")]
)
def test_an_unknown_name_lists_the_near_ones(name, near):
    with pytest.raises(ValueError, match=f"name .*did you mean .*'{near}'"):
        preset(name)


@pytest.mark.parametrize("name", ["zzz", 7, None, ["zzz"]])
def test_a_name_near_to_none_lists_all(name):
    with pytest.raises(ValueError, match=r"name must .*'gpt2-xl', 'gpt3-175b'"):
        preset(name)


@pytest.mark.parametrize(
    ("published", "changes", "key"),
    [
        (GPT2, {"model_type": "t5"}, "model_type"),
        (GPT2, {"model_type": ["gpt2"]}, "model_type"),
        (GPT2, {"activation_function": "tanh"}, "activation_function"),
        (GPT2, {"n_layer": "12"}, "n_layer"),
        (GPT2, {"n_embd": None}, "n_embd"),
        (GPT2, {"n_inner": 0}, "n_inner"),
        (GPT2, {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        (GPT2, {"scale_attn_weights": False}, "scale_attn_weights"),
        (GPT2, {"add_cross_attention": True}, "add_cross_attention"),
        (GPT2, {"layer_norm_epsilon": float("nan")}, "layer_norm_epsilon"),
        (GPT2, {"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
        (BERT, {"hidden_act": "silu"}, "hidden_act"),
        (BERT, {"is_decoder": True}, "is_decoder"),
        (BERT, {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        (LLAMA, {"hidden_act": "gelu_new"}, "hidden_act"),
        (LLAMA, {"attention_bias": True}, "mlp_bias must equal attention_bias"),
        (LLAMA, {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling .*'linear'"),
        (LLAMA, {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling .*'llama3'"),
        (LLAMA, {"rope_scaling": "linear"}, "rope_scaling"),
        (LLAMA, {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_parameters .*'yarn'"),
        (LLAMA, {"rope_parameters": {"rope_type": "default"}}, "rope_parameters .*'rope_theta'"),
        (LLAMA, {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "rope_parameters"),
        (LLAMA, {"rope_theta": -1.0}, "rope_theta"),
        (MISTRAL, {"sliding_window": 0}, "sliding_window"),
        (MIXTRAL, {"num_experts_per_tok": True}, "num_experts_per_tok"),
    ],
)
def test_what_no_config_can_express_is_refused_by_its_key(published, changes, key):
    with pytest.raises(ValueError, match=key):
        TransformerConfig.from_huggingface({**published, **changes})


@pytest.mark.parametrize(
    ("published", "key"),
    [
        *[(GPT2, key) for key in ("model_type", "n_layer", "n_embd", "n_head", "n_positions", "vocab_size")],
        (GPT2, "activation_function"),
        *[(BERT, key) for key in ("hidden_size", "intermediate_size", "type_vocab_size", "layer_norm_eps")],
        *[(LLAMA, key) for key in ("num_hidden_layers", "num_attention_heads", "rms_norm_eps", "hidden_act")],
        *[(MIXTRAL, key) for key in ("num_local_experts", "num_experts_per_tok", "max_position_embeddings")],
    ],
)
def test_a_missing_key_is_named(published, key):
    with pytest.raises(ValueError, match=f"^{key} is missing"):
        TransformerConfig.from_huggingface({name: value for name, value in published.items() if name != key})


@pytest.mark.parametrize("published", [None, "gpt2", 3, [("model_type", "gpt2")]])
def test_only_a_dict_is_read(published):
    with pytest.raises(ValueError, match="published must be the dict"):
        TransformerConfig.from_huggingface(published)
