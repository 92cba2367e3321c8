"""What rounding promises: no entry off by more than half a step, codes that unpack, noise as in theory."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from scaling_transformers.efficiency import quantize
from scaling_transformers.efficiency.quantization import dequantize, unpack

ENTRIES = st.floats(-1e3, 1e3, width=32)


@st.composite
def problems(draw):
    """A matrix, a number of bits, and a group size that divides its columns or None."""
    n_out, n_group, size = (draw(st.integers(1, 5)) for _ in range(3))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    weight = draw(st_numpy.arrays(dtype, (n_out, n_group * size), elements=ENTRIES))
    return weight, draw(st.integers(2, 8)), draw(st.sampled_from([None, size]))


@given(problem=problems())
@settings(deadline=None, derandomize=True)
def test_no_entry_is_off_by_more_than_half_a_step(problem):
    weight, bits, group_size = problem
    quantized = quantize(weight, bits=bits, group_size=group_size)
    found = quantized.dequantize()
    size = group_size or weight.shape[1]
    half = np.repeat(quantized.scales, size, axis=1) / 2
    rounding = np.abs(weight) * 4 * np.finfo(weight.dtype).eps
    assert found.dtype == weight.dtype
    assert (np.abs(found - weight) <= half + rounding).all()


@given(problem=problems())
@settings(deadline=None, derandomize=True)
def test_codes_are_the_nearest_whole_numbers_of_steps_row_by_row(problem):
    weight, bits, group_size = problem
    quantized, limit = quantize(weight, bits=bits, group_size=group_size), 2 ** (bits - 1) - 1
    size = group_size or weight.shape[1]
    assert quantized.codes.dtype == np.int8
    assert quantized.scales.shape == (weight.shape[0], weight.shape[1] // size)
    for row, column in np.ndindex(weight.shape):
        start = column - column % size
        largest = np.abs(weight[row, start : start + size]).max()
        exact = limit * float(weight[row, column]) / float(largest) if largest else 0.0
        if largest > 1e-30:  # below, the step itself is rounded
            assert abs(quantized.codes[row, column] - exact) <= 0.5 + 1e-4


@given(problem=problems())
@settings(deadline=None, derandomize=True)
def test_torch_unpacks_what_numpy_packed(problem):
    weight, bits, group_size = problem
    quantized = quantize(weight, bits=bits, group_size=group_size)
    packed, scales = torch.from_numpy(quantized.packed), torch.from_numpy(quantized.scales)
    codes = unpack(packed, bits=bits, shape=quantized.shape)
    matrix = dequantize(packed, scales, bits=bits, shape=quantized.shape)
    np.testing.assert_array_equal(codes.numpy(), quantized.codes)
    np.testing.assert_array_equal(matrix.numpy(), quantized.dequantize())


@pytest.mark.parametrize("bits", range(2, 9))
def test_codes_take_their_bits_and_no_more(bits):
    weight = np.random.default_rng(0).normal(size=(7, 15)).astype(np.float32)
    quantized = quantize(weight, bits=bits, group_size=5)
    assert quantized.packed.nbytes == math.ceil(7 * 15 * bits / 8)
    assert quantized.nbytes == quantized.packed.nbytes + 7 * 3 * 4


def test_four_bits_lie_two_to_a_byte():
    quantized = quantize(np.array([[7.0, -7.0, 3.0, 0.0]]), bits=4)
    assert [f"{byte:08b}" for byte in quantized.packed] == ["11100000", "10100111"]  # each with 7 added


@pytest.mark.parametrize("bits", [4, 8])
def test_the_error_is_that_of_uniform_noise(bits):
    weight = np.random.default_rng(0).normal(size=(256, 1024))
    quantized = quantize(weight, bits=bits)
    noise = (quantized.dequantize() - weight) ** 2 / (quantized.scales**2 / 12)
    # u**2 of a uniform u has a deviation of sqrt(4 / 5) of its mean; five standard errors
    assert noise.mean() == pytest.approx(1.0, abs=5 * math.sqrt(0.8 / noise.size))


def test_groups_keep_an_outlier_to_itself():
    weight = np.random.default_rng(0).normal(size=(4, 64))
    weight[:, 0] = 50.0
    errors = [
        np.square(quantize(weight, bits=4, group_size=size).dequantize() - weight)[:, 16:].mean()
        for size in (None, 16)
    ]
    assert errors[1] < errors[0] / 10


def test_a_row_of_zeros_stays_zero():
    quantized = quantize(np.zeros((2, 6), dtype=np.float32), bits=4, group_size=3)
    assert (quantized.dequantize() == 0).all()
    assert np.isfinite(quantized.scales).all()


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(4), r"weight must be a floating NumPy array with two axes; got .*\(4,\)"),
        (np.ones((2, 2), dtype=int), "weight must be a floating NumPy array"),
        ([[1.0]], "weight must be a floating NumPy array with two axes; got <class 'list'>"),
        (np.array([[1.0, np.nan]]), "weight must be finite and not empty; .* 1 of them NaN or infinite"),
        (np.ones((0, 4)), r"weight must be finite and not empty; got 0 entries of shape \(0, 4\)"),
    ],
)
def test_what_is_no_finite_matrix_is_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        quantize(weight, bits=8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 9}, "bits must be a whole number from 2 to 8; got 9"),
        ({"bits": 4.0}, "bits must be a whole number from 2 to 8; got 4.0"),
        ({"bits": 4, "group_size": 4}, "group_size must divide the 6 columns of each matrix; got 4"),
        ({"bits": 4, "group_size": 7}, "group_size must be a whole number from 1 to 6; got 7"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        quantize(np.ones((2, 6)), **options)
