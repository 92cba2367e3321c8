"""What the one description of a model promises: sensible defaults, and no impossible model."""

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import TransformerConfig

SIZES = {"n_layer": 2, "d_model": 48, "n_head": 6, "vocab_size": 100, "n_ctx": 32}


def config(**changes):
    return TransformerConfig(**{**SIZES, **changes})


def test_sizes_alone_describe_a_gpt_2():
    # Radford et al. 2019: pre-norm LayerNorm, GELU, learned positions, biases, tied embeddings.
    assert dataclasses.asdict(TransformerConfig(2, 48, 6, 100, 32)) == {
        **SIZES,
        "n_kv_head": 6,
        "d_head": 8,
        "d_ff": 192,
        "kind": "decoder",
        "activation": "gelu",
        "norm": "layernorm",
        "norm_placement": "pre",
        "position": "learned",
        "rope_theta": 10_000.0,
        "bias": True,
        "qkv_bias": True,
        "tie_embeddings": True,
        "n_token_type": 0,
        "pooler": False,
        "n_expert": 1,
        "n_expert_active": 1,
        "window": None,
        "norm_eps": 1e-5,
        "pattern": None,
        "n_expert_shared": 0,
        "routing": "top_k",
        "balance": "loss",
        "capacity_factor": None,
        "depth_keep": 1.0,
        "shorten": 1,
        "halting": None,
        "n_merge": 0,
    }


def test_everything_after_the_five_sizes_is_keyword_only():
    with pytest.raises(TypeError):
        TransformerConfig(2, 48, 6, 100, 32, 6)


COUNTS = ["n_layer", "d_model", "n_head", "vocab_size", "n_ctx", "n_kv_head", "d_head", "d_ff", "n_expert"]


@pytest.mark.parametrize("name", [*COUNTS, "n_expert_active", "window"])
@pytest.mark.parametrize("value", [0, -1, 2.0, True, "2", math.nan])
def test_a_size_is_a_whole_number_of_at_least_one(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be a whole number of at least 1; got "):
        config(**{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_model": 50}, "n_head must divide d_model=50 unless d_head is given; got 6"),
        ({"n_kv_head": 4}, "n_kv_head must divide n_head=6; got 4"),
        ({"n_kv_head": 12}, "n_kv_head must divide n_head=6; got 12"),
        ({"n_token_type": -1}, "n_token_type must be a whole number of at least 0; got -1"),
        ({"kind": "encoder-decoder"}, "kind must be one of .*'decoder', 'encoder'.*; got 'encoder-decoder'"),
        ({"activation": "swish"}, "activation must be one of .*'swiglu'.*; got 'swish'"),
        ({"norm": None}, "norm must be one of .*; got None"),
        ({"norm_placement": "mid"}, "norm_placement must be one of"),
        ({"position": "relative"}, "position must be one of"),
        ({"bias": 1}, "bias must be True or False; got 1"),
        ({"qkv_bias": "no"}, "qkv_bias must be True or False; got 'no'"),
        ({"tie_embeddings": None}, "tie_embeddings must be True or False"),
        ({"pooler": 0}, "pooler must be True or False"),
        ({"rope_theta": 0.0}, "rope_theta must be a positive finite number"),
        ({"rope_theta": math.inf}, "rope_theta must be a positive finite number"),
        ({"norm_eps": math.nan}, "norm_eps must be a positive finite number; got nan"),
        ({"norm_eps": True}, "norm_eps must be a positive finite number; got True"),
        ({"n_expert": 2, "n_expert_active": 3}, "n_expert_active must be at most n_expert=2; got 3"),
        ({"position": "rotary", "d_head": 7}, "d_head must be even for position='rotary'; got 7"),
        (
            {"position": "sinusoidal", "d_model": 45, "n_head": 5},
            "d_model must be even for position='sinusoidal'",
        ),
        ({"kind": "encoder", "window": 4}, "window needs kind='decoder'; got window=4"),
        ({"pooler": True}, "pooler needs kind='encoder'"),
        ({"n_expert_shared": 1}, "n_expert_shared needs n_expert of at least 2; got 1"),
        ({"capacity_factor": 1.0}, "capacity_factor needs n_expert of at least 2"),
        (
            {"n_expert": 2, "capacity_factor": 0.0},
            "capacity_factor must be a positive finite number; got 0.0",
        ),
        ({"n_expert": 2, "routing": "random"}, "routing must be one of .*'expert_choice'.*; got 'random'"),
        (
            {"n_expert": 2, "routing": "expert_choice", "balance": "bias"},
            "routing='expert_choice' is balanced",
        ),
        ({"depth_keep": 0.0}, "depth_keep must be a positive finite number; got 0.0"),
        ({"depth_keep": 1.5}, "depth_keep must be above 0 and at most 1; got 1.5"),
        ({"depth_keep": 0.5, "n_layer": 1}, "depth_keep needs n_layer of at least 2; got 1"),
        ({"depth_keep": 0.5, "kind": "encoder"}, "depth_keep needs kind='decoder'"),
        ({"shorten": 0}, "shorten must be a whole number of at least 1; got 0"),
        ({"shorten": 2}, "shorten needs n_layer of at least 3; got 2"),
        ({"shorten": 2, "n_layer": 3, "norm_placement": "post"}, "shorten needs norm_placement='pre'"),
        ({"halting": "soon"}, "halting must be one of .*'act', 'ponder'.*; got 'soon'"),
        ({"halting": "act", "depth_keep": 0.5}, "halting cannot go with depth_keep"),
        ({"n_merge": 1}, "n_merge needs kind='encoder'"),
        ({"n_merge": 9, "kind": "encoder"}, "n_merge must leave half of n_ctx=32 tokens"),
        ({"pattern": "strided"}, "pattern must be one of scaling_transformers.sparsity; got 'strided'"),
    ],
)
def test_an_impossible_model_is_named(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        config(**changes)


def test_a_width_of_head_given_frees_the_width_of_the_model():
    assert config(d_model=50, d_head=8).d_head == 8


def test_a_config_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().n_layer = 3


def test_equal_configs_are_one_key():
    assert len({config(), config(d_ff=192), config(n_layer=3)}) == 2


def test_replacing_a_size_moves_what_follows_from_it():
    grown = config().replace(d_model=96, n_head=8, bias=False)
    assert (grown.n_kv_head, grown.d_head, grown.d_ff, grown.qkv_bias) == (8, 12, 384, False)


def test_replacing_a_size_keeps_what_was_chosen():
    chosen = config(n_kv_head=2, d_head=16, d_ff=100, qkv_bias=False)
    grown = chosen.replace(d_model=96, n_head=12)
    assert (grown.n_kv_head, grown.d_head, grown.d_ff, grown.qkv_bias) == (2, 16, 100, False)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    n_kv_head=st.integers(1, 4),
    group=st.integers(1, 4),
    d_model=st.integers(1, 30),
    d_head=st.integers(1, 5),
    d_ff=st.none() | st.integers(1, 120),
)
def test_replacing_nothing_changes_nothing(n_kv_head, group, d_model, d_head, d_ff):
    made = config(n_head=n_kv_head * group, n_kv_head=n_kv_head, d_model=d_model, d_head=d_head, d_ff=d_ff)
    assert made.replace() == made
    assert made.replace(n_layer=7).replace(n_layer=made.n_layer) == made


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layers": 3}, r"unknown field 'n_layers'; the fields are \('n_layer'"),
        ({"n_head": 5}, "n_head must divide d_model=48"),
    ],
)
def test_a_bad_replacement_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        config().replace(**changes)
