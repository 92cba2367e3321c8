"""Reads a ``config.json`` of the ``transformers`` package in the words of `TransformerConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PLAIN = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
}
_GATED = {"silu": "swiglu", "swish": "swiglu", "gelu": "geglu"}
_ROPE_THETA = {"llama": 10_000.0, "mistral": 10_000.0, "mixtral": 1_000_000.0}  # where the file is silent
# What changes the sums that the model does, and the one value that `TransformerConfig` covers.
_SWITCHES: dict[str, dict[str, Any]] = {
    "gpt2": {
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
    },
    "bert": {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False},
    "llama": {},
    "mistral": {},
    "mixtral": {},
}


def fields_from_huggingface(published: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `TransformerConfig` for the content of a ``config.json``.

    Reads the families GPT-2, BERT, Llama, Mistral and Mixtral, as published (``rope_theta`` beside the other
    keys) and as transformers 5 writes them (``rope_parameters``). An optional key that is missing means what
    ``transformers`` takes it to mean. ``sliding_window`` is ``window``: both count the query itself.

    Raises
    ------
    ValueError
        If a size is missing, or a value is one that `TransformerConfig` cannot express; the message names
        the key.

    Source: the configuration classes and ``masking_utils.sliding_window_overlay`` of transformers 5.24.0.
    """
    if not isinstance(published, Mapping):
        raise ValueError(f"published must be the dict of a config.json; got {type(published).__name__}")
    family = _need(published, "model_type")
    if not isinstance(family, str) or family not in _SWITCHES:
        raise ValueError(f"model_type must be one of {tuple(_SWITCHES)}; got {family!r}")
    for key, covered in _SWITCHES[family].items():
        if published.get(key, covered) != covered:
            raise ValueError(f"{key} must be {covered!r}; got {published[key]!r}")
    if family == "gpt2":
        return _gpt2(published)
    return _bert(published) if family == "bert" else _llama(published, family)


def _gpt2(published: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "n_layer": _count(published, "n_layer"),
        "d_model": _count(published, "n_embd"),
        "n_head": _count(published, "n_head"),
        "vocab_size": _count(published, "vocab_size"),
        "n_ctx": _count(published, "n_positions"),
        "d_ff": _count(published, "n_inner", default=None),
        "activation": _activation(published, "activation_function", _PLAIN),
        "norm_eps": _number(published, "layer_norm_epsilon"),
        "tie_embeddings": _flag(published, "tie_word_embeddings", default=True),
    }


def _bert(published: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_sizes(published),
        "kind": "encoder",
        "activation": _activation(published, "hidden_act", _PLAIN),
        "norm_placement": "post",
        "norm_eps": _number(published, "layer_norm_eps"),
        "n_token_type": _count(published, "type_vocab_size"),
        "pooler": True,
        "tie_embeddings": _flag(published, "tie_word_embeddings", default=True),
    }


def _llama(published: Mapping[str, Any], family: str) -> dict[str, Any]:
    mistral = family in ("mistral", "mixtral")
    bias = _flag(published, "attention_bias", default=False)
    if _flag(published, "mlp_bias", default=False) != bias:
        raise ValueError(
            f"mlp_bias must equal attention_bias={bias}; got {published.get('mlp_bias', False)!r}"
        )
    fields = {
        **_sizes(published),
        "n_kv_head": _count(published, "num_key_value_heads", default=8 if mistral else None),
        "d_head": _count(published, "head_dim", default=None),
        "activation": _activation(published, "hidden_act", _GATED),
        "norm": "rmsnorm",
        "norm_eps": _number(published, "rms_norm_eps"),
        "position": "rotary",
        "rope_theta": _rope_theta(published, family),
        "bias": bias,
        "tie_embeddings": _flag(published, "tie_word_embeddings", default=False),
    }
    if mistral:
        fields["window"] = _count(published, "sliding_window", default=4096 if family == "mistral" else None)
    if family == "mixtral":
        fields["n_expert"] = _count(published, "num_local_experts")
        fields["n_expert_active"] = _count(published, "num_experts_per_tok")
    return fields


def _sizes(published: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes that all families but GPT-2 call by the same names."""
    return {
        "n_layer": _count(published, "num_hidden_layers"),
        "d_model": _count(published, "hidden_size"),
        "n_head": _count(published, "num_attention_heads"),
        "vocab_size": _count(published, "vocab_size"),
        "n_ctx": _count(published, "max_position_embeddings"),
        "d_ff": _count(published, "intermediate_size"),
    }


def _rope_theta(published: Mapping[str, Any], family: str) -> float:
    """The base of the rotary angles, from wherever the file keeps it; refuses every rescaling of them."""
    for key in ("rope_parameters", "rope_scaling"):
        rope = published.get(key)
        if rope is None:
            continue
        if not isinstance(rope, Mapping):
            raise ValueError(f"{key} must be a dict or null; got {rope!r}")
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise ValueError(f"{key} must have rope_type 'default'; got {kind!r}")
        if rope.get("partial_rotary_factor", 1.0) != 1.0:
            raise ValueError(f"{key} must turn whole heads; got {rope['partial_rotary_factor']!r} of a head")
        if rope.get("rope_theta") is not None:
            return _number(rope, "rope_theta")
    if published.get("rope_parameters") is not None and "rope_theta" not in published:
        raise ValueError("rope_parameters must hold 'rope_theta'; it is missing")
    if published.get("rope_theta") is None:
        return _ROPE_THETA[family]
    return _number(published, "rope_theta")


def _need(published: Mapping[str, Any], key: str) -> Any:
    if key not in published:
        raise ValueError(f"{key} is missing from the config")
    return published[key]


def _count(published: Mapping[str, Any], key: str, **optional: int | None) -> int | None:
    """A whole number of at least 1; ``default=`` allows the key to be missing, and its value to be null."""
    value = published.get(key, optional["default"]) if optional else _need(published, key)
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{key} must be a whole number of at least 1; got {value!r}")
    return value


def _number(published: Mapping[str, Any], key: str) -> float:
    value = _need(published, key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError(f"{key} must be a positive finite number; got {value!r}")
    return float(value)


def _flag(published: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = published.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"{key} must be true or false; got {value!r}")
    return value


def _activation(published: Mapping[str, Any], key: str, known: Mapping[str, str]) -> str:
    name = _need(published, key)
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"{key} must be one of {tuple(known)}; got {name!r}")
    return known[name]
