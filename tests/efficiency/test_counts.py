"""What the counts promise: what the built and changed model holds, to the last parameter and byte."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers import TransformerConfig, preset
from scaling_transformers.accounting import count_parameters
from scaling_transformers.efficiency import lora_parameters, quantized_bytes, shared_parameters
from scaling_transformers.efficiency.counts import linear_layers
from scaling_transformers.efficiency.lora import add_lora
from scaling_transformers.efficiency.quantized_linear import quantize_model
from scaling_transformers.efficiency.sharing import share_layers
from scaling_transformers.model import Transformer


@st.composite
def configs(draw):
    """Small configs whose matrices differ from each other: grouped heads, gates, experts, any width."""
    n_kv_head = draw(st.integers(1, 2))
    n_expert = draw(st.integers(1, 3))
    return TransformerConfig(
        draw(st.integers(1, 4)),
        draw(st.integers(1, 8)),
        n_kv_head * draw(st.integers(1, 2)),
        draw(st.integers(1, 20)),
        draw(st.integers(1, 9)),
        n_kv_head=n_kv_head,
        d_head=draw(st.integers(1, 5)),
        d_ff=draw(st.integers(1, 12)),
        activation=draw(st.sampled_from(["gelu", "relu", "swiglu", "geglu"])),
        norm=draw(st.sampled_from(["layernorm", "rmsnorm"])),
        norm_placement=draw(st.sampled_from(["pre", "post"])),
        position=draw(st.sampled_from(["learned", "alibi", "none"])),
        bias=draw(st.booleans()),
        qkv_bias=draw(st.booleans()),
        tie_embeddings=draw(st.booleans()),
        n_expert=n_expert,
        n_expert_active=draw(st.integers(1, n_expert)),
    )


def n_held(model, trainable_only=False):
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable_only)


@given(config=configs())
@settings(deadline=None, derandomize=True)
def test_the_matrices_and_their_biases_are_all_that_accounting_counts_in_the_blocks(config):
    layers, parts = linear_layers(config), count_parameters(config).by_part
    biased = {"query": config.qkv_bias, "key": config.qkv_bias, "value": config.qkv_bias, "router": False}
    n = sum(m.n_matrix * m.n_out * (m.n_in + biased.get(name, config.bias)) for name, m in layers.items())
    assert n == parts["attention"] + parts["feed_forward"] + parts["router"]


@given(config=configs(), data=st.data())
@settings(deadline=None, derandomize=True)
def test_trainable_parameters_are_those_of_the_count(config, data):
    layers = linear_layers(config)
    targets = data.draw(st.lists(st.sampled_from(sorted(layers)), min_size=1, unique=True))
    rank = data.draw(st.integers(1, min(min(layers[name][1:]) for name in targets)))
    model = add_lora(Transformer(config), rank=rank, targets=targets)
    assert lora_parameters(config, rank=rank, targets=targets) == n_held(model, trainable_only=True)


@pytest.mark.parametrize(("rank", "millions"), [(1, 4.7), (8, 37.7)])  # Hu et al. 2021, table 4
def test_updates_of_gpt3_are_as_many_as_the_authors_report(rank, millions):
    assert round(lora_parameters(preset("gpt3-175b"), rank=rank) / 1e6, 1) == millions


@given(config=configs(), data=st.data())
@settings(deadline=None, derandomize=True)
def test_shared_parameters_are_those_that_remain(config, data):
    group = data.draw(st.integers(1, config.n_layer))
    model = share_layers(Transformer(config), group=group)
    assert shared_parameters(config, group=group) == n_held(model)


def stored_bytes(model):
    """Bytes of all storage that a saved model needs, what two names share once."""
    tensors = {tensor.data_ptr(): tensor for tensor in model.state_dict().values()}
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors.values())


@given(config=configs(), data=st.data(), half=st.booleans(), bits=st.integers(2, 8))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_bytes_are_those_that_the_quantised_model_stores(config, data, half, bits):
    model = Transformer(config).to(torch.bfloat16 if half else torch.float32)
    columns = {m.n_in for m in linear_layers(config).values()}
    sizes = [size for size in range(1, 9) if not any(n_in % size for n_in in columns)]
    group_size = data.draw(st.sampled_from([None, *sizes]))
    quantize_model(model, bits=bits, group_size=group_size)
    wanted = quantized_bytes(config, bits=bits, group_size=group_size, bytes_per_element=2 if half else 4)
    assert wanted == stored_bytes(model)


SMALL = TransformerConfig(3, 8, 2, 11, 16, n_kv_head=1, d_ff=12)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["gate"], r"targets must be different names among \('query', .*'down'\); got \['gate'\]"),
        (["query", "query"], "targets must be different names"),
        ([], "targets must be different names"),
        ("queries", "targets must be different names"),
    ],
)
def test_a_target_that_is_not_there_is_refused_with_those_that_are(targets, message):
    with pytest.raises(ValueError, match=message):
        lora_parameters(SMALL, rank=1, targets=targets)


@pytest.mark.parametrize("rank", [0, 5, 1.0, True])
def test_a_rank_beyond_the_smallest_matrix_is_refused(rank):
    with pytest.raises(
        ValueError, match="rank of an update to 'value' must be a whole number from 1 to 4; got"
    ):
        lora_parameters(SMALL, rank=rank)


@pytest.mark.parametrize("group", [0, 4, 1.5])
def test_a_group_of_more_layers_than_there_are_is_refused(group):
    with pytest.raises(ValueError, match="group must be a whole number from 1 to 3; got"):
        shared_parameters(SMALL, group=group)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 1}, "bits must be a whole number from 2 to 8; got 1"),
        ({"bits": 16}, "bits must be a whole number from 2 to 8; got 16"),
        ({"bits": 4, "group_size": 8}, "group_size must divide the 12 columns of each matrix; got 8"),
        ({"bits": 4, "group_size": 0}, "group_size must be a whole number from 1 to 8; got 0"),
        ({"bits": 4, "bytes_per_element": 0}, "bytes_per_element must be a positive finite number; got 0"),
    ],
)
def test_bytes_that_cannot_be_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        quantized_bytes(SMALL, **options)


@pytest.mark.parametrize(
    "count",
    [
        lambda config: lora_parameters(config, rank=1),
        lambda config: shared_parameters(config, group=1),
        lambda config: quantized_bytes(config, bits=8),
    ],
)
def test_only_a_config_is_counted(count):
    with pytest.raises(ValueError, match="config must be a TransformerConfig"):
        count("gpt2")
