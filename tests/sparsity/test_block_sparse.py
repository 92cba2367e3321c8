"""What sparse attention promises: dense attention under the mask, without the tiles that it forbids."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.attention import causal_mask, scaled_dot_product_attention
from scaling_transformers.sparsity import (
    BigBird,
    Blocks,
    Dilated,
    Fixed,
    Strided,
    TopK,
    Window,
    block_sparse_attention,
    top_k_attention,
)

TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
PATTERNS = [
    Window(3, block=4),
    Window(6, block=2, causal=False),
    Dilated(3, 2, block=3),
    Strided(4, block=2),
    Fixed(6, 2, block=2),
    Fixed(6, 2, block=3, causal=False),
    BigBird(2),
    BigBird(2, n_random=2, causal=False),
    Blocks(12, np.tri(2)),
]


def some_arrays(seed, *shapes, dtype="float64"):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("library", ["numpy", "torch"])
@settings(deadline=None, max_examples=100, derandomize=True)
@given(data=st.data())
def test_it_is_dense_attention_under_the_mask(library, data):
    """For every table of tiles and every pattern, grouped heads, free leading axes and any scale."""
    draw = data.draw
    seed, dtype = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from(list(TOLERANCES)))
    generator = np.random.default_rng(seed)
    if draw(st.booleans()):
        pattern, n = draw(st.sampled_from(PATTERNS)), 24
    else:
        n_block, block = draw(st.integers(1, 8)), draw(st.integers(1, 5))
        table = (generator.random((n_block, n_block)) < draw(st.floats(0, 1))) | np.eye(n_block, dtype=bool)
        pattern, n = Blocks(block, table, causal=draw(st.booleans())), n_block * block
    lead, n_kv_head, group = (
        draw(st.sampled_from([(), (2,), (2, 1)])),
        *(draw(st.integers(1, 3)) for _ in "12"),
    )
    d, d_v = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    q, k, v = some_arrays(
        seed,
        (*lead, n_kv_head * group, n, d),
        (*lead, n_kv_head, n, d),
        (*lead, n_kv_head, n, d_v),
        dtype=dtype,
    )
    scale = draw(st.sampled_from([None, 0.3, -1.0]))
    wanted = scaled_dot_product_attention(q, k, v, mask=pattern.mask(n), scale=scale)
    if library == "torch":
        q, k, v = (torch.from_numpy(array) for array in (q, k, v))
    out = block_sparse_attention(q, k, v, pattern=pattern, scale=scale)
    assert type(out) is type(q)
    assert out.dtype == q.dtype
    np.testing.assert_allclose(np.asarray(out), wanted, rtol=0, atol=TOLERANCES[dtype])


def test_many_rows_of_blocks_are_computed_in_parts():
    n, pattern = 2048, BigBird(32, n_random=2)
    q, k, v = some_arrays(0, *[(8, n, 8)] * 3, dtype="float32")
    wanted = scaled_dot_product_attention(q, k, v, mask=pattern.mask(n))
    for arrays in ((q, k, v), [torch.from_numpy(array) for array in (q, k, v)]):
        out = block_sparse_attention(*arrays, pattern=pattern)
        np.testing.assert_allclose(np.asarray(out), wanted, rtol=0, atol=1e-5)


def test_leading_axes_broadcast_and_two_axes_are_enough():
    pattern = Window(3, block=4)
    q, k, v = some_arrays(0, (3, 1, 8, 5), (2, 8, 5), (3, 2, 8, 4))
    wanted = scaled_dot_product_attention(q, k, v, mask=pattern.mask(8))
    np.testing.assert_allclose(block_sparse_attention(q, k, v, pattern=pattern), wanted, atol=1e-14)
    one = block_sparse_attention(q[0, 0], k[0], v[0, 0], pattern=pattern)
    np.testing.assert_allclose(one, wanted[0, 0], atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_types_come_back_as_they_went_in(dtype):
    q, k, v = (torch.from_numpy(array).to(dtype) for array in some_arrays(0, *[(2, 8, 4)] * 3))
    out = block_sparse_attention(q, k, v, pattern=Window(3, block=4))
    wanted = scaled_dot_product_attention(q, k, v, mask=torch.from_numpy(Window(3).mask(8)))
    torch.testing.assert_close(out, wanted)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: type(pattern).__name__)
def test_gradients_are_those_of_finite_differences(pattern):
    torch.manual_seed(0)
    arrays = [torch.randn(2, 24, 2, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    assert torch.autograd.gradcheck(
        lambda q, k, v: block_sparse_attention(q, k, v, pattern=pattern), arrays, fast_mode=True
    )


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: type(pattern).__name__)
def test_a_key_that_is_forbidden_has_no_gradient_at_all(pattern):
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 24, 3, requires_grad=True) for _ in range(3))
    mask = torch.from_numpy(pattern.mask(24))
    for query in (0, 11, 23):
        out = block_sparse_attention(q, k, v, pattern=pattern)[:, query].square().sum()
        by_key, by_value = torch.autograd.grad(out, (k, v))
        assert (by_key[0, ~mask[query]] == 0).all()
        assert ((by_value[0] != 0).any(dim=-1) == mask[query]).all()


def test_its_memory_grows_with_the_length_and_not_with_its_square():
    peaks = []
    for n in (2048, 8192):
        q, k, v = some_arrays(0, *[(n, 8)] * 3, dtype="float32")
        pattern = Window(64, block=32)
        block_sparse_attention(q, k, v, pattern=pattern)  # the plan of the tiles is made once
        tracemalloc.start()
        block_sparse_attention(q, k, v, pattern=pattern)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 5 * peaks[0]
    assert peaks[1] < 0.05 * 8192**2 * 4


def test_the_arrays_given_stay_as_they_are():
    arrays = some_arrays(0, *[(2, 8, 4)] * 3)
    copies = [array.copy() for array in arrays]
    out = block_sparse_attention(*arrays, pattern=Window(8))
    out[:] = 0
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pattern": TopK(2)}, "pattern must be one with tiles"),
        ({"pattern": np.tri(8)}, "pattern must be one with tiles"),
        ({"pattern": Window(3)}, "n must be a multiple of the pattern's block of 3 tokens; got 8"),
        ({"pattern": Blocks(2, np.tri(3))}, "n must be at most 6"),
        ({"q": np.ones((4, 4))}, "q and k must hold the same tokens"),
        ({"k": np.full((8, 4), np.nan)}, "k must be finite"),
        ({"scale": np.inf}, "scale must be a finite number"),
        ({"v": torch.ones(8, 4)}, "all arrays must come from one library"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    ones = np.ones((8, 4))
    with pytest.raises(ValueError, match=message):
        block_sparse_attention(**{"q": ones, "k": ones, "v": ones, "pattern": Window(4), **changes})


def by_sorting(q, k, v, k_top, allowed):
    """One query after the other, with Python's own sort."""
    out = np.zeros((len(q), v.shape[1]))
    for i, query in enumerate(q):
        keys = sorted(np.flatnonzero(allowed[i]), key=lambda j: -float(query @ k[j]))[:k_top]
        weights = np.exp([query @ k[j] / np.sqrt(len(query)) for j in keys])
        if len(keys):
            out[i] = weights @ v[keys] / weights.sum()
    return out


@pytest.mark.parametrize("library", ["numpy", "torch"])
@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 12),
    k_top=st.integers(1, 14),
    is_causal=st.booleans(),
    share=st.none() | st.sampled_from([0.0, 0.3, 0.8]),
)
def test_top_k_attends_to_the_keys_that_match_best(library, seed, n, k_top, is_causal, share):
    q, k, v = some_arrays(seed, (2, n, 3), (n, 3), (n, 2))
    mask = None if share is None else np.random.default_rng(seed).random((n, n)) < share
    allowed = causal_mask(n) if is_causal else np.ones((n, n), dtype=bool)
    wanted = [by_sorting(one, k, v, k_top, allowed if mask is None else allowed & mask) for one in q]
    arrays = [q, k[None], v[None]]
    if library == "torch":
        arrays = [torch.from_numpy(array) for array in arrays]
        mask = None if mask is None else torch.from_numpy(mask)
    out = top_k_attention(*arrays, k_top=k_top, is_causal=is_causal, mask=mask)
    assert out.dtype == arrays[0].dtype
    np.testing.assert_allclose(np.asarray(out), wanted, rtol=0, atol=1e-12)


def test_of_equal_scores_no_more_than_k_are_kept():
    q = k = np.ones((6, 2))
    for arrays in ((q, k), (torch.from_numpy(q), torch.from_numpy(k))):
        values = np.eye(6) if arrays[0] is q else torch.eye(6, dtype=torch.float64)
        out = np.asarray(top_k_attention(*arrays, values, k_top=2))
        assert (out > 0).sum(axis=1).tolist() == [1, 2, 2, 2, 2, 2]


def test_gradients_of_top_k_are_those_of_finite_differences():
    torch.manual_seed(0)
    arrays = [torch.randn(6, 2, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    assert torch.autograd.gradcheck(lambda q, k, v: top_k_attention(q, k, v, k_top=2), arrays)


@pytest.mark.parametrize("k_top", [0, 1.0, True])
def test_top_k_keeps_at_least_one(k_top):
    q = np.ones((3, 4))
    with pytest.raises(ValueError, match="k_top must be a whole number of at least 1; got"):
        top_k_attention(q, q, q, k_top=k_top)
