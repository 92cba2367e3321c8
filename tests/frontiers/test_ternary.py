"""Weights of few values: how they are rounded, what gradient passes, and what a rounded model is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scaling_transformers.config import TransformerConfig
from scaling_transformers.efficiency import quantize
from scaling_transformers.efficiency.quantized_linear import quantize_model
from scaling_transformers.frontiers.ternary import (
    freeze_rounding,
    int4,
    packed_ternary,
    round_after_training,
    round_in_training,
    straight_through,
    ternary,
)
from scaling_transformers.model import Transformer

CONFIG = TransformerConfig(
    2, 16, 2, vocab_size=11, n_ctx=8, position="rotary", norm="rmsnorm", bias=False, tie_embeddings=False
)
TOKENS = torch.arange(8)[None] % 11
MATRICES = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(0, 999))


def matrix(shape: tuple[int, int, int]) -> np.ndarray:
    n_out, n_in, seed = shape
    return np.random.default_rng(seed).standard_normal((n_out, n_in))


def model(seed: int = 0) -> Transformer:
    torch.manual_seed(seed)
    return Transformer(CONFIG)


@given(shape=MATRICES)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_ternary_takes_each_weight_to_the_nearest_of_three_values(shape: tuple[int, int, int]) -> None:
    weight = matrix(shape)
    scale = np.mean(np.abs(weight))
    values = np.array([-scale, 0, scale])
    expected = values[np.argmin(np.abs(weight[..., None] - values), axis=-1)]
    np.testing.assert_allclose(ternary(torch.from_numpy(weight)).numpy(), expected)


@given(shape=MATRICES)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_int4_is_what_the_book_rounds_with_numpy(shape: tuple[int, int, int]) -> None:
    weight = matrix(shape)
    expected = quantize(weight, bits=4).dequantize()
    np.testing.assert_allclose(int4(torch.from_numpy(weight)).numpy(), expected)


def test_a_matrix_of_zeros_stays_one() -> None:
    for rounding in (ternary, int4):
        assert not rounding(torch.zeros(3, 4)).any()
    assert not packed_ternary(np.zeros((3, 4), np.float32)).dequantize().any()


@given(shape=MATRICES)
@settings(deadline=None, derandomize=True, max_examples=20)
def test_packed_codes_are_the_rounded_matrix(shape: tuple[int, int, int]) -> None:
    weight = matrix(shape)
    packed = packed_ternary(weight)
    np.testing.assert_allclose(packed.dequantize(), ternary(torch.from_numpy(weight)).numpy())
    assert packed.packed.nbytes == -(-weight.size * 2 // 8)


def test_the_gradient_passes_straight_through() -> None:
    weight, factor = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)
    (straight_through(weight, ternary(weight)) * factor).sum().backward()
    torch.testing.assert_close(weight.grad, factor)


@pytest.mark.parametrize("rounding", ["ternary", "int4"])
def test_a_step_moves_the_float_weights_and_the_model_reads_rounded_ones(rounding: str) -> None:
    made = round_in_training(model(), rounding=rounding)
    layer = made.blocks[0].feed_forward.up
    before = layer.parametrizations.weight.original.detach().clone()
    made(TOKENS).square().mean().backward()
    torch.optim.SGD(made.parameters(), lr=0.1).step()
    assert (layer.parametrizations.weight.original != before).any()
    assert len(layer.weight[0].unique()) <= (3 if rounding == "ternary" else 15)
    assert sum(p.numel() for p in made.parameters()) == sum(p.numel() for p in model().parameters())


@pytest.mark.parametrize("rounding", ["ternary", "int4"])
def test_freezing_and_rounding_afterwards_give_what_training_sees(rounding: str) -> None:
    seen = round_in_training(model(), rounding=rounding)(TOKENS)
    frozen = freeze_rounding(round_in_training(model(), rounding=rounding))
    torch.testing.assert_close(frozen(TOKENS), seen)
    torch.testing.assert_close(round_after_training(model(), rounding=rounding)(TOKENS), seen)
    assert set(frozen.state_dict()) == set(model().state_dict())


def test_a_model_trained_for_four_bits_loses_nothing_when_packed_in_four_bits() -> None:
    seen = round_in_training(model(), rounding="int4")(TOKENS)
    packed = quantize_model(freeze_rounding(round_in_training(model(), rounding="int4")), bits=4)
    torch.testing.assert_close(packed(TOKENS), seen)


def test_embeddings_and_norms_stay_floats() -> None:
    made, plain = round_after_training(model(), rounding="ternary"), model()
    torch.testing.assert_close(made.unembedding.weight, plain.unembedding.weight)
    torch.testing.assert_close(made.embedding.weight, plain.embedding.weight)


def test_a_second_rounding_and_an_unknown_one_are_refused() -> None:
    made = round_in_training(model(), rounding="int4")
    with pytest.raises(ValueError, match="no rounded weights"):
        round_in_training(made, rounding="ternary")
    for change in (round_in_training, round_after_training):
        with pytest.raises(ValueError, match="rounding must be one of"):
            change(model(), rounding="int3")


def test_modules_that_are_not_linear_layers_are_left_alone() -> None:
    made = round_in_training(model(), rounding="ternary")
    assert not isinstance(made.unembedding, nn.utils.parametrize.ParametrizationList)
    assert not nn.utils.parametrize.is_parametrized(made.unembedding)
