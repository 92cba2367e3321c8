"""What attention by tiles promises beside its answer: little memory, any block size."""

import tracemalloc

import numpy as np
import pytest

from scaling_transformers.attention import flash_attention, scaled_dot_product_attention


def peak_bytes(function, *arrays, **kwargs):
    tracemalloc.start()
    try:
        function(*arrays, **kwargs)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("is_causal", [False, True])
def test_it_needs_far_less_memory_than_the_matrix_of_scores(is_causal):
    n = 2048
    q, k, v = np.random.default_rng(0).normal(size=(3, n, 16)).astype(np.float32)
    matrix = n * n * q.itemsize
    assert peak_bytes(scaled_dot_product_attention, q, k, v) > matrix  # the measure sees NumPy's memory
    assert peak_bytes(flash_attention, q, k, v, is_causal=is_causal) < 0.1 * matrix


def test_its_memory_grows_with_the_length_and_not_with_its_square():
    arrays = np.random.default_rng(0).normal(size=(3, 4096, 8)).astype(np.float32)
    short, long = (peak_bytes(flash_attention, *arrays[:, :n], block_size=64) for n in (1024, 4096))
    assert long < 5 * short


def test_the_answer_can_be_written_to():
    q = np.ones((3, 4))
    out = flash_attention(q, q, q)
    out[0] = 2.0
    assert out[0].tolist() == [2.0] * 4


@pytest.mark.parametrize("block_size", [0, -1, 2.0, True, None])
def test_a_bad_block_size_is_named(block_size):
    q = np.ones((3, 4))
    with pytest.raises(ValueError, match="block_size must be a whole number of at least 1; got"):
        flash_attention(q, q, q, block_size=block_size)
