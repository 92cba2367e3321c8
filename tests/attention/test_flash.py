"""What attention by tiles promises beside its answer: little memory, any block size."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.attention import flash_attention, scaled_dot_product_attention, window_mask


def peak_bytes(function, *arrays, **kwargs):
    tracemalloc.start()
    try:
        function(*arrays, **kwargs)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("is_causal", [False, True])
def test_it_needs_far_less_memory_than_the_matrix_of_scores(is_causal):
    n = 4096
    q, k, v = np.random.default_rng(0).normal(size=(3, n, 16)).astype(np.float32)
    matrix = n * n * q.itemsize
    assert peak_bytes(scaled_dot_product_attention, q, k, v) > matrix  # the measure sees NumPy's memory
    assert peak_bytes(flash_attention, q, k, v, is_causal=is_causal) < 0.05 * matrix


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


TOLERANCES = {"float32": 1e-6, "float64": 1e-14}  # for values of size 1


@pytest.mark.parametrize("library", ["numpy", "torch"])
@settings(deadline=None, max_examples=300, derandomize=True)
@given(data=st.data())
def test_it_is_plain_attention_for_every_shape_mask_and_block_size(library, data):
    """Also against a hand-written softmax in float64, lest the two share an error."""
    draw = data.draw
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_q, n_k = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    d, d_v = draw(st.integers(1, 16)), draw(st.integers(1, 4))
    n_kv_head, group = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    dtype = draw(st.sampled_from(list(TOLERANCES)))
    q = generator.normal(size=(2, n_kv_head * group, n_q, d)).astype(dtype)
    k = generator.normal(size=(2, n_kv_head, n_k, d)).astype(dtype)
    v = generator.uniform(-1, 1, size=(2, n_kv_head, n_k, d_v)).astype(dtype)
    shape = draw(st.sampled_from([(n_q, n_k), (2, 1, n_q, n_k), (n_kv_head * group, n_q, 1), (n_k,)]))
    allowed = generator.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.9]))  # 0: every row is forbidden
    mask = {
        "none": None,
        "boolean": allowed,
        "floating": np.where(allowed, generator.normal(size=shape), -np.inf).astype(dtype),
        "window": window_mask(n_q, n_k, window=draw(st.integers(1, 8))),
    }[draw(st.sampled_from(["none", "boolean", "floating", "window"]))]
    is_causal = draw(st.booleans())

    scores = q.astype(float) @ np.repeat(k, group, axis=1).astype(float).swapaxes(-1, -2) / np.sqrt(d)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    if is_causal:
        scores = np.where(np.tri(n_q, n_k, dtype=bool), scores, -np.inf)
    weights = np.exp(scores)  # scores are small: no shift needed
    wanted = weights @ np.repeat(v, group, axis=1) / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-300)

    if library == "torch":
        q, k, v = (torch.from_numpy(array) for array in (q, k, v))
        mask = None if mask is None else torch.from_numpy(mask)
    options = {"mask": mask, "is_causal": is_causal}
    out = flash_attention(q, k, v, **options, block_size=draw(st.integers(1, 41)))
    plain = scaled_dot_product_attention(q, k, v, **options)
    assert (out.dtype, out.shape) == (plain.dtype, plain.shape)
    np.testing.assert_allclose(np.asarray(out), np.asarray(plain), rtol=0, atol=TOLERANCES[dtype])
    np.testing.assert_allclose(np.asarray(out), wanted, rtol=0, atol=TOLERANCES[dtype])
    forbidden = np.broadcast_to(~np.isfinite(scores).any(axis=-1, keepdims=True), out.shape)
    assert not np.asarray(out)[forbidden].any()


@pytest.mark.parametrize("is_causal", [False, True])
def test_the_default_blocks_do_not_have_to_divide_a_long_text(is_causal):
    q, k, v = np.random.default_rng(0).normal(size=(3, 1000, 8))
    out = flash_attention(q, k[:900], v[:900], is_causal=is_causal)
    plain = scaled_dot_product_attention(q, k[:900], v[:900], is_causal=is_causal)
    np.testing.assert_allclose(out, plain, rtol=0, atol=1e-14)
