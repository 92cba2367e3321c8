"""What is counted, against torch's own counter, sizes of real modules, and sums by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from scaling_transformers.accounting import arithmetic_intensity, forward_flops, training_flops
from scaling_transformers.config import TransformerConfig
from scaling_transformers.footprint.operations import operation_energy
from scaling_transformers.frontiers import state_space
from scaling_transformers.frontiers.cheap_counts import (
    N_STATE,
    N_TAP,
    WAYS,
    crossover,
    decoding,
    forward_flops_of,
    mixer_flops,
    training_flops_of,
)
from scaling_transformers.frontiers.mixers import make_model
from scaling_transformers.frontiers.state_space import State, StateSpace

CONFIG = TransformerConfig(
    2, 32, 2, vocab_size=64, n_ctx=128, position="rotary", norm="rmsnorm", bias=False, tie_embeddings=False
)


def counted_by_torch(way: str, *, n: int) -> int:
    """FLOPs of the matrix products of a pass, as they run."""
    model = make_model(CONFIG, way)
    tokens = torch.zeros(1, n, dtype=torch.int64)
    # the fused kernel of CPUs hides its products from the counter
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        model(tokens)
    return counter.get_total_flops()


@pytest.mark.parametrize("way", ["dense", "ternary", "int4", "linear"])
def test_products_are_those_that_torch_counts(way: str) -> None:
    found = counted_by_torch(way, n=64)
    if way == "linear":  # each head makes its empty state by a product of one token, which is not counted
        found -= CONFIG.n_layer * CONFIG.n_head * 2 * CONFIG.d_head * (CONFIG.d_head + 1)
    assert sum(forward_flops_of(CONFIG, way, n=64).values()) == found


def test_products_of_the_state_space_are_those_that_torch_counts_and_the_rest_is_by_hand() -> None:
    n, d = 64, CONFIG.d_model
    # number by number: 7 of the 9 for each number of the state (C . h is a product), and the convolution
    by_hand = CONFIG.n_layer * n * d * (7 * N_STATE + 2 * N_TAP)
    found = sum(forward_flops_of(CONFIG, "state space", n=n).values())
    assert found - by_hand == counted_by_torch("state space", n=n)


def test_the_sizes_of_the_state_space_are_those_of_the_layer() -> None:
    assert (N_STATE, N_TAP) == (state_space.N_STATE, state_space.N_TAP)


@pytest.mark.parametrize("way", ["dense", "ternary", "int4"])
def test_softmax_models_cost_what_the_book_counts(way: str) -> None:
    assert (
        sum(forward_flops_of(CONFIG, way, n=128).values())
        == forward_flops(CONFIG, batch=1, seq_len=128).total
    )
    assert training_flops_of(CONFIG, way, n_tokens=1e6, n=128) == training_flops(
        CONFIG, n_tokens=1e6, seq_len=128
    )


def test_linear_mixing_grows_with_the_text_and_softmax_with_its_square() -> None:
    for way, factor in (("dense", 4), ("linear", 2), ("state space", 2)):
        assert mixer_flops(CONFIG, way, n=128) == factor * mixer_flops(CONFIG, way, n=64)


def test_writing_a_token_with_floats_costs_what_the_book_counts() -> None:
    base = arithmetic_intensity(CONFIG, batch=1, seq_len=100, n_new=1)
    found = decoding(CONFIG, "dense", context=100)
    assert (found.bytes, found.operations) == (base.bytes, base.flops)
    expected = operation_energy(flops_by_part=base.flops_by_part, bytes_by_part=base.bytes_by_part)
    assert found.energy().total == pytest.approx(expected.total)


@pytest.mark.parametrize(("way", "bits"), [("ternary", 2), ("int4", 4)])
def test_rounded_weights_save_their_bits_and_nothing_else(way: str, bits: int) -> None:
    linear = [
        module.weight
        for module in make_model(CONFIG, "dense").blocks.modules()
        if isinstance(module, torch.nn.Linear)
    ]
    n_weight, rows = sum(w.numel() for w in linear), sum(len(w) for w in linear)
    n_scale = len(linear) if way == "ternary" else rows
    dense, found = (decoding(CONFIG, name, context=50) for name in ("dense", way))
    assert dense.bytes - found.bytes == n_weight * (16 - bits) / 8 - 2 * n_scale
    for name in ("scores", "values", "unembedding"):
        assert found.work[name] == dense.work[name]


def test_a_ternary_product_multiplies_by_its_scale_alone() -> None:
    work = decoding(CONFIG, "ternary", context=50).work["feed_forward"]
    assert work.multiplies == CONFIG.n_layer * (CONFIG.d_ff + CONFIG.d_model)
    assert work.adds == CONFIG.n_layer * 2 * CONFIG.d_ff * CONFIG.d_model


@pytest.mark.parametrize("way", ["linear", "state space"])
def test_a_state_costs_the_same_at_every_length_of_text(way: str) -> None:
    assert decoding(CONFIG, way, context=10).work == decoding(CONFIG, way, context=10_000).work


def test_the_state_is_moved_twice() -> None:
    layer = StateSpace(CONFIG)
    _, state = layer.read(torch.zeros(1, 1, CONFIG.d_model))
    assert isinstance(state, State)
    numbers = sum(part.numel() for part in state)
    own = sum(p.numel() for name, p in layer.named_parameters() if "." not in name)
    d, chosen = CONFIG.d_model, 1 + 2 * N_STATE
    select = 2 * (d * chosen + d + chosen)
    expected = CONFIG.n_layer * (2 * 4 * numbers + 2 * own + 3 * 2 * d + select)
    assert decoding(CONFIG, "state space", context=1).work["state"].bytes == expected


def test_the_crossover_is_where_the_joules_cross() -> None:
    for way in ("linear", "state space"):
        at = crossover(CONFIG, way)
        assert at is not None
        joules = {
            (name, context): decoding(CONFIG, name, context=context).energy().total
            for name in ("dense", way)
            for context in (at - 1, at)
        }
        assert joules[way, at] < joules["dense", at]
        assert joules[way, at - 1] >= joules["dense", at - 1]


def test_the_crossover_of_linear_attention_is_near_twice_the_width_of_a_head() -> None:
    """By hand, bytes alone: 2 * 4 * d * (h + 1) of state against 4 * d for each token in the cache."""
    wide = CONFIG.replace(d_model=256, n_head=4)
    at = crossover(wide, "linear")
    assert at is not None
    assert at == pytest.approx(2 * (wide.d_head + 1), abs=3)


def test_a_way_that_is_never_dearer_crosses_at_once_and_one_that_is_never_cheaper_not_at_all() -> None:
    assert crossover(CONFIG, "int4") == 1
    assert crossover(CONFIG, "dense", dense="ternary", most=1000) is None


def test_unknown_ways_and_broken_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="way must be one of"):
        mixer_flops(CONFIG, "quantum", n=32)
    with pytest.raises(ValueError, match="multiple of 32"):
        mixer_flops(CONFIG, "linear", n=33)
    assert len(WAYS) == 5
