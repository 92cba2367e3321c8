"""What several heads side by side promise: torch's own multi-head attention, and grouped heads as copies."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scaling_transformers.attention import (
    apply_rotary,
    merge_heads,
    multi_head_attention,
    scaled_dot_product_attention,
    split_heads,
)

reproducible = settings(deadline=None, max_examples=60, derandomize=True)


@pytest.fixture(scope="module")
def peer():
    """torch's layer, 3 heads of width 4, and its weights in our layout."""
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(12, 3, bias=False, batch_first=True, dtype=torch.float64).eval()
    w_q, w_k, w_v = (part.T.detach() for part in layer.in_proj_weight.chunk(3))
    weights = {"w_q": w_q, "w_k": w_k, "w_v": w_v, "w_o": layer.out_proj.weight.T.detach(), "n_head": 3}
    return layer, weights


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("cross", [False, True])
@reproducible
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6), n_context=st.integers(1, 6), masked=st.booleans())
def test_it_is_torchs_own_layer(peer, library, cross, seed, n, n_context, masked):
    layer, weights = peer
    generator = torch.Generator().manual_seed(seed)
    n_context = n_context if cross else n
    x, other = (
        torch.randn(2, length, 12, dtype=torch.float64, generator=generator) for length in (n, n_context)
    )
    context = other if cross else x
    mask = None
    if masked:
        mask = torch.rand(n, n_context, generator=generator) < 0.5
        mask[:, 0] = True
    # torch's layer marks what is forbidden, ours what is allowed.
    wanted, _ = layer(x, context, context, attn_mask=None if mask is None else ~mask, need_weights=False)
    arguments = {"x": x, "context": other if cross else None, "mask": mask, **weights}
    if library == "numpy":
        arguments = {
            name: value.numpy() if isinstance(value, torch.Tensor) else value
            for name, value in arguments.items()
        }
    out = multi_head_attention(**arguments)
    np.testing.assert_allclose(np.asarray(out), wanted.detach().numpy(), atol=1e-12)


def test_a_causal_layer_is_torchs_own(peer):
    layer, weights = peer
    x = torch.randn(2, 5, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    wanted, _ = layer(x, x, x, attn_mask=later, need_weights=False)
    torch.testing.assert_close(multi_head_attention(x, is_causal=True, **weights), wanted.detach())


@reproducible
@given(seed=st.integers(0, 2**32 - 1), n_kv_head=st.integers(1, 3), group=st.integers(1, 3))
def test_grouped_heads_are_heads_that_share_keys_and_values(seed, n_kv_head, group):
    generator = np.random.default_rng(seed)
    n_head, d_head, d = n_kv_head * group, 2, 6
    x = generator.normal(size=(2, 5, d))
    w_q = generator.normal(size=(d, n_head * d_head))
    w_k, w_v = generator.normal(size=(2, d, n_kv_head * d_head))
    w_o = generator.normal(size=(n_head * d_head, d))
    grouped = multi_head_attention(x, w_q=w_q, w_k=w_k, w_v=w_v, w_o=w_o, n_head=n_head, n_kv_head=n_kv_head)
    # Head h of the query is served by key head h // group, here one head at a time.
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    heads = []
    for head in range(n_head):
        own, shared = (slice(part * d_head, (part + 1) * d_head) for part in (head, head // group))
        heads.append(scaled_dot_product_attention(q[..., own], k[..., shared], v[..., shared]))
    np.testing.assert_allclose(grouped, np.concatenate(heads, axis=-1) @ w_o, atol=1e-10)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_a_head_is_a_run_of_columns_and_merging_undoes_splitting(library):
    x = np.arange(48.0).reshape(2, 4, 6)
    given_x = x if library == "numpy" else torch.from_numpy(x)
    heads = split_heads(given_x, n_head=3)
    assert tuple(heads.shape) == (2, 3, 4, 2)
    for head in range(3):
        np.testing.assert_array_equal(np.asarray(heads[:, head]), x[..., 2 * head : 2 * head + 2])
    np.testing.assert_array_equal(np.asarray(merge_heads(heads)), x)


def test_rotary_turns_every_head_alike():
    x = np.random.default_rng(0).normal(size=(3, 4))
    heads = split_heads(np.tile(x, (1, 2)), n_head=2)
    turned = apply_rotary(heads)
    np.testing.assert_array_equal(turned[0], turned[1])


X, W = np.ones((2, 3, 8)), np.ones((8, 8))
GOOD = {"x": X, "w_q": W, "w_k": W, "w_v": W, "w_o": W, "n_head": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"w_q": W[:7]}, r"w_q must have shape \(8, heads \* d_head\); got \(7, 8\)"),
        ({"w_k": W[0]}, r"w_k must have shape \(8, heads \* d_head\); got \(8,\)"),
        ({"w_v": W[:, None]}, "w_v must have shape"),
        ({"w_o": W[:7]}, r"w_o must have shape \(8, d_model\); got \(7, 8\)"),
        ({"context": X[..., :5]}, r"w_k must have shape \(5, heads"),
        ({"n_head": 0}, "n_head must be a whole number of at least 1; got 0"),
        ({"n_head": 3}, "n_head=3 divides"),
        ({"n_kv_head": 1}, "q and k must have the same width"),
        ({"w_k": W.astype(np.float32)}, "one dtype and one device; got .*w_k float32"),
        ({"w_o": torch.ones(8, 8)}, "one library"),
        ({"x": X.astype(int)}, "x must be floating point"),
        ({"w_v": W * np.nan}, "w_v must be finite"),
        ({"x": X * np.inf}, "x must be finite"),
        ({"x": X[:0]}, "x must not be empty"),
        ({"mask": np.ones((2, 2), dtype=bool)}, "mask must broadcast"),
    ],
)
def test_a_bad_argument_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        multi_head_attention(**{**GOOD, **changes})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: split_heads(X, n_head=3), "x must have a width that n_head=3 divides"),
        (lambda: split_heads(X[0, 0], n_head=2), "and a token axis; got shape"),
        (lambda: split_heads(X, n_head=2.0), "n_head must be a whole number"),
        (lambda: merge_heads(X[0]), "x must have head, token and width axes"),
    ],
)
def test_a_bad_split_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
