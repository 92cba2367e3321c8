"""What the FLOP count promises: what torch's own counter sees, and the conventions of the papers by name."""

import csv
from importlib.resources import files

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from scaling_transformers import TransformerConfig, preset
from scaling_transformers.accounting import (
    chinchilla_forward_flops,
    count_parameters,
    forward_flops,
    training_flops,
)
from scaling_transformers.attention import causal_mask, window_mask
from scaling_transformers.model import Transformer

with (files("scaling_transformers") / "data" / "chinchilla_flops.csv").open(encoding="utf-8") as file:
    TABLE_A4 = list(csv.DictReader(file))


@st.composite
def dense_configs(draw):
    n_kv_head = draw(st.integers(1, 3))
    return TransformerConfig(
        draw(st.integers(1, 3)),
        2 * draw(st.integers(1, 8)),
        n_kv_head * draw(st.integers(1, 3)),
        draw(st.integers(1, 20)),
        draw(st.integers(8, 12)),
        n_kv_head=n_kv_head,
        d_head=2 * draw(st.integers(1, 3)),
        d_ff=draw(st.integers(1, 20)),
        kind=draw(st.sampled_from(["decoder", "encoder"])),
        norm_placement=draw(st.sampled_from(["pre", "post"])),
        activation=draw(st.sampled_from(["gelu", "relu", "swiglu", "geglu"])),
        norm=draw(st.sampled_from(["layernorm", "rmsnorm"])),
        position=draw(st.sampled_from(["learned", "sinusoidal", "rotary", "alibi", "none"])),
        bias=draw(st.booleans()),
        tie_embeddings=draw(st.booleans()),
    )


@given(config=dense_configs(), batch=st.integers(1, 3), seq_len=st.integers(2, 8))
@settings(deadline=None, max_examples=50)
def test_one_pass_costs_what_the_counter_of_torch_sees(config, batch, seq_len):
    model, tokens = Transformer(config), torch.zeros(batch, seq_len, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        logits, _ = model(tokens, return_attention=True)
        forward = counter.get_total_flops()
        logits.sum().backward()
    both = counter.get_total_flops()
    ours = forward_flops(config, batch=batch, seq_len=seq_len)
    assert ours.total == forward == sum(ours.by_part.values())
    assert 3 * ours.total == both
    assert training_flops(config, n_tokens=batch * seq_len, seq_len=seq_len) == pytest.approx(both, rel=1e-14)


@given(config=dense_configs(), batch=st.integers(1, 3), seq_len=st.integers(2, 8))
@settings(deadline=None, max_examples=25)
def test_each_part_costs_what_the_counter_sees_in_its_module(config, batch, seq_len):
    model, tokens = Transformer(config), torch.zeros(batch, seq_len, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(tokens, return_attention=True)
    seen = {name: sum(by_operator.values()) for name, by_operator in counter.get_flop_counts().items()}

    def over_layers(*modules):
        names = [f"Transformer.blocks.{layer}.{name}" for layer in range(config.n_layer) for name in modules]
        return sum(seen[name] for name in names)

    projections = over_layers("attention.query", "attention.key", "attention.value")
    output = over_layers("attention.out")
    assert forward_flops(config, batch=batch, seq_len=seq_len).by_part == {
        "query_key_value": projections,
        "scores": (over_layers("attention") - projections - output) // 2,
        "values": (over_layers("attention") - projections - output) // 2,
        "output": output,
        "feed_forward": over_layers("feed_forward"),
        "router": 0,
        "unembedding": seen["Transformer.unembedding"],
        "pooler": 0,
    }


@given(n_expert=st.integers(2, 6), n_active=st.integers(1, 2), seq_len=st.integers(1, 8))
def test_an_expert_costs_what_a_feed_forward_costs_and_the_router_one_product(n_expert, n_active, seq_len):
    dense = TransformerConfig(2, 8, 2, 11, 8, activation="swiglu")
    sparse = dense.replace(n_expert=n_expert, n_expert_active=n_active)
    one, many = (forward_flops(config, batch=3, seq_len=seq_len).by_part for config in (dense, sparse))
    assert many["feed_forward"] == n_active * one["feed_forward"]
    with FlopCounterMode(display=False) as counter:
        torch.nn.Linear(8, n_expert, bias=False)(torch.zeros(3 * seq_len, 8))
    assert many["router"] == 2 * counter.get_total_flops()  # two layers


def test_the_pooler_reads_one_token_of_each_text():
    parts = forward_flops(preset("bert-base"), batch=5, seq_len=7).by_part
    with FlopCounterMode(display=False) as counter:
        torch.nn.Linear(768, 768, device="meta")(torch.zeros(5, 768, device="meta"))
    assert parts["pooler"] == counter.get_total_flops()


@given(seq_len=st.integers(1, 12), window=st.none() | st.integers(1, 14))
def test_skipping_counts_the_pairs_that_the_mask_allows(seq_len, window):
    config = TransformerConfig(1, 2, 1, 3, 12, window=window)
    full, skipped = (
        forward_flops(config, batch=1, seq_len=seq_len, causal_skip=skip).by_part for skip in (False, True)
    )
    allowed = causal_mask(seq_len) if window is None else window_mask(seq_len, window=window)
    for part in ("scores", "values"):
        assert full[part] == 2 * 2 * seq_len**2
        assert skipped.pop(part) == 2 * 2 * allowed.sum()
        full.pop(part)
    assert full == skipped


def test_an_encoder_has_nothing_to_skip():
    config = preset("bert-base")
    full, skipped = (forward_flops(config, batch=1, seq_len=9, causal_skip=skip) for skip in (False, True))
    assert full == skipped


def test_table_a4_of_the_chinchilla_paper_is_there_with_its_source():
    assert [row["n_params"] for row in TABLE_A4] == ["73e6", "305e6", "552e6", "1.1e9", "1.6e9", "6.8e9"]
    assert all("Hoffmann et al. 2022, table A4" in row["source"] for row in TABLE_A4)


@pytest.mark.parametrize("row", TABLE_A4, ids=lambda row: row["n_params"])
def test_table_a4_of_the_chinchilla_paper_leaves_out_embedding_and_logits(row):
    sizes = {name: int(row[name]) for name in ("n_layer", "d_model", "n_head", "d_head")}
    config = TransformerConfig(**sizes, vocab_size=32_000, n_ctx=2048, bias=False)
    parameters = count_parameters(config).by_part
    relative_positions = config.n_layer * config.d_model * config.n_head * config.d_head
    n_params = (
        parameters["attention"]
        + parameters["feed_forward"]
        + parameters["token_embedding"]
        + relative_positions
    )
    assert n_params == pytest.approx(float(row["n_params"]), rel=0.04)
    forward = chinchilla_forward_flops(config, seq_len=2048)
    without = forward.total - forward.by_part["embedding"] - forward.by_part["unembedding"]
    ratio = float(row["ratio_to_six_nd"])
    assert round(without / (2 * n_params * 2048), 2) == ratio
    assert round(forward.total / (2 * n_params * 2048), 2) > ratio  # the formulas as printed give more


def test_gpt3_took_the_flops_that_its_authors_report():
    flops = training_flops(preset("gpt3-175b"), n_tokens=300e9, convention="6nd")
    assert flops == pytest.approx(3.14e23, rel=0.005)  # Brown et al. 2020, table D.1


@given(config=dense_configs(), seq_len=st.integers(1, 8), n_tokens=st.floats(1, 1e15))
def test_the_conventions_differ_by_what_they_say(config, seq_len, n_tokens):
    exact, chinchilla, six = (
        training_flops(config, n_tokens=n_tokens, seq_len=seq_len, convention=name)
        for name in ("exact", "chinchilla", "6nd")
    )
    one_hot = 2 * seq_len * config.vocab_size * config.d_model
    softmax = 3 * config.n_layer * config.n_head * seq_len**2
    assert chinchilla - exact == pytest.approx(3 * (one_hot + softmax) * n_tokens / seq_len, rel=1e-9)
    assert six == pytest.approx(6 * count_parameters(config).non_embedding * n_tokens)


def test_a_mixture_trains_at_the_price_of_its_active_parameters():
    config = preset("mixtral-8x7b")
    count = count_parameters(config)
    assert training_flops(config, n_tokens=1, convention="6nd") == 6 * (count.active - count.embedding)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"batch": 0}, "batch"),
        ({"batch": 1.5}, "batch"),
        ({"batch": True}, "batch"),
        ({"seq_len": 0}, "seq_len"),
        ({"seq_len": 1025}, "seq_len must be at most n_ctx=1024"),
        ({"causal_skip": 1}, "causal_skip"),
    ],
)
def test_what_no_pass_can_be_is_refused(changes, name):
    with pytest.raises(ValueError, match=name):
        forward_flops(preset("gpt2"), **{"batch": 1, "seq_len": 8, **changes})


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"n_tokens": 0}, "n_tokens"),
        ({"n_tokens": float("inf")}, "n_tokens"),
        ({"n_tokens": "1e9"}, "n_tokens"),
        ({"seq_len": -1}, "seq_len"),
        ({"seq_len": 4096, "convention": "6nd"}, "seq_len"),
        ({"convention": "kaplan"}, "convention must be one of .*'6nd'"),
        ({"convention": None}, "convention"),
    ],
)
def test_what_no_training_can_be_is_refused(changes, name):
    with pytest.raises(ValueError, match=name):
        training_flops(preset("gpt2"), **{"n_tokens": 1e9, **changes})


@pytest.mark.parametrize("count", [forward_flops, chinchilla_forward_flops, training_flops])
def test_only_a_config_is_counted(count):
    options = {"n_tokens": 1} if count is training_flops else {"seq_len": 1}
    options |= {"batch": 1} if count is forward_flops else {}
    with pytest.raises(ValueError, match="config must be a TransformerConfig"):
        count("gpt2", **options)
