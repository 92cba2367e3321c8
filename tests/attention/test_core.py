"""What attention promises, in both of its ways: plain and tile by tile."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from scaling_transformers.attention import (
    attention_weights,
    flash_attention,
    scaled_dot_product_attention,
    softmax,
)

reproducible = settings(deadline=None, max_examples=60, derandomize=True)
both_ways = pytest.mark.parametrize("attend", [scaled_dot_product_attention, flash_attention])
both_libraries = pytest.mark.parametrize("library", ["numpy", "torch"])

DTYPES = {
    "numpy": [np.float16, np.float32, np.float64],
    "torch": [torch.float16, torch.bfloat16, torch.float32, torch.float64],
}


def as_array(values, library, dtype):
    return values.astype(dtype) if library == "numpy" else torch.from_numpy(values).to(dtype)


def in_float64(array):
    return torch.as_tensor(array).double()


@st.composite
def thinned(draw, lead):
    """Leading axes that broadcast to ``lead``: some of length 1, the first few left out."""
    axes = tuple(draw(st.sampled_from([1, n])) for n in lead)
    return axes[draw(st.integers(0, len(axes))) :]


@st.composite
def masks(draw, shape, generator):
    """No mask, a boolean one or a floating one, some of whose rows forbid every key."""
    kind = draw(st.sampled_from(["none", "boolean", "floating"]))
    if kind == "none":
        return None
    shape = draw(thinned(shape))
    allowed = np.asarray(generator.random(shape) < draw(st.sampled_from([0.1, 0.5, 0.9])))
    if kind == "boolean":
        return allowed
    values = generator.normal(size=shape) * draw(st.sampled_from([1.0, 1e4]))
    lowest = draw(
        st.sampled_from([-np.inf, np.finfo(np.float32).min])
    )  # the second is not a ban, only far down
    return np.where(allowed, values, lowest)


@st.composite
def problems(draw, library, *, values=True):
    """Arguments of attention: 2 to 5 axes, any dtype, broadcast axes, grouped heads, any mask."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from(DTYPES[library]))
    n_q, n_k, d, d_v = (draw(st.integers(1, 9)) for _ in range(4))
    lead = draw(st.lists(st.integers(1, 3), max_size=2).map(tuple))
    n_kv_head, group = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    if draw(st.booleans()):
        heads, kv_heads = (n_kv_head * group,), (n_kv_head,)
    else:
        heads = kv_heads = ()
    q_lead = draw(thinned(lead)) + heads
    k_lead, v_lead = (draw(thinned(lead)) + kv_heads for _ in range(2))
    size, v_size = draw(st.sampled_from([1e-4, 1.0, 10.0, 100.0])), draw(st.sampled_from([1e-3, 1.0, 1e3]))
    q = as_array(size * generator.normal(size=(*q_lead, n_q, d)), library, dtype)
    k = as_array(size * generator.normal(size=(*k_lead, n_k, d)), library, dtype)
    v = as_array(v_size * generator.normal(size=(*v_lead, n_k, d_v)), library, dtype)
    full = np.broadcast_shapes(q_lead[: len(q_lead) - len(heads)], k_lead[: len(k_lead) - len(heads)])
    v_lead = v_lead if values else heads and kv_heads
    full = np.broadcast_shapes(full, v_lead[: len(v_lead) - len(heads)])
    mask = draw(masks((*full, *heads, n_q, n_k), generator))
    if mask is not None and mask.dtype != bool:
        mask = as_array(mask, library, draw(st.sampled_from(DTYPES[library][-2:])))
    elif mask is not None and library == "torch":
        mask = torch.from_numpy(mask)
    return {
        "q": q,
        "k": k,
        "v": v,
        "mask": mask,
        "is_causal": draw(st.booleans()),
        "scale": draw(st.sampled_from([None, None, -0.7, 0.0, 1e-60, 3.0])),
    }


def spread(array, n_head):
    """Copies of the heads, for as many as the queries have."""
    if array.ndim == 2 or array.shape[-3] >= n_head:
        return array
    return array.repeat_interleave(n_head // array.shape[-3], dim=-3)


def oracle(q, k, v, *, mask=None, is_causal=False, scale=None):
    """torch's attention in float64, its arguments spread out by hand; also how far rounding may move it."""
    eps = (np if isinstance(q, np.ndarray) else torch).finfo(q.dtype).eps
    work_eps = min(eps, np.finfo(np.float32).eps)
    q, k, v = map(in_float64, (q, k, v))
    if q.ndim > 2:
        k, v = (spread(array, q.shape[-3]) for array in (k, v))
    lead = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    n_q, n_k = q.shape[-2], k.shape[-2]
    bias = torch.zeros(*lead, n_q, n_k, dtype=torch.float64)
    if mask is not None and mask.dtype in (bool, torch.bool):
        bias = bias.masked_fill(~torch.as_tensor(mask), -math.inf)
    elif mask is not None:
        bias = bias + in_float64(mask)
    if is_causal:
        later = [[key > query for key in range(n_k)] for query in range(n_q)]
        bias = bias.masked_fill(torch.tensor(later), -math.inf)
    dead = (bias == -math.inf).all(dim=-1, keepdim=True)
    q, k, v, opened = (
        array.expand(*lead, *array.shape[-2:]).reshape(-1, 1, *array.shape[-2:])
        for array in (q, k, v, bias.masked_fill(dead, 0.0))
    )
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=opened, scale=scale)
    out = out.reshape(*lead, n_q, v.shape[-1]).masked_fill(dead, 0.0)
    # A weight moves by the rounding of its score, an output by that of the weights and its own.
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else abs(scale)
    near = bias[bias > -1e30].abs()
    score = (factor * (q.abs() @ k.abs().mT)).max() + (near.max() if near.numel() else 0.0)
    return out, v.abs().max() * (4 * eps + 8 * work_eps * (1 + score))


def close(actual, expected, tolerance):
    assert tuple(actual.shape) == tuple(expected.shape)
    error = (in_float64(actual) - expected).abs().max()
    assert error <= tolerance  # False for NaN


@both_ways
@both_libraries
@settings(reproducible, max_examples=200)  # many axes to cross
@given(data=st.data())
def test_attention_is_torchs_own_in_float64(attend, library, data):
    problem = data.draw(problems(library))
    tiles = {"block_size": data.draw(st.integers(1, 10))} if attend is flash_attention else {}
    before = {name: in_float64(problem[name]).clone() for name in "qkv"}
    out = attend(**problem, **tiles)
    assert type(out) is type(problem["q"])
    assert out.dtype == problem["q"].dtype
    close(out, *oracle(**problem))
    assert all(torch.equal(in_float64(problem[name]), before[name]) for name in "qkv")


@both_libraries
@reproducible
@given(data=st.data())
def test_weights_are_those_that_average_the_values(library, data):
    problem = data.draw(problems(library, values=False))
    weights = attention_weights(**{name: value for name, value in problem.items() if name != "v"})
    problem["v"] = as_array(np.eye(problem["k"].shape[-2]), library, problem["q"].dtype)
    close(weights, *oracle(**problem))


@both_ways
@both_libraries
@pytest.mark.parametrize("is_causal", [False, True])
def test_a_query_that_may_see_nothing_gets_zeros(attend, library, is_causal):
    mask = np.ones((4, 4), dtype=bool)
    mask[2] = False
    q = as_array(np.ones((4, 2)), library, DTYPES[library][-1])
    for form in (mask, np.where(mask, 0.0, -np.inf)):
        given_mask = form if library == "numpy" else torch.from_numpy(form)
        out = np.asarray(attend(q, q, q, mask=given_mask, is_causal=is_causal))
        assert out.tolist() == [[1, 1], [1, 1], [0, 0], [1, 1]]


@both_ways
@pytest.mark.parametrize("dead_row", [False, True])
def test_gradients_are_torchs_own(attend, dead_row):
    torch.manual_seed(0)
    arrays = [torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    mask = torch.rand(5, 5) < 0.6
    mask[:, 0] = True
    if dead_row:
        mask[3] = False
    weight = torch.randn(2, 5, 4, dtype=torch.float64)
    alive = mask.any(dim=-1, keepdim=True)
    expected = F.scaled_dot_product_attention(*arrays, attn_mask=mask | ~alive)
    wanted = torch.autograd.grad((expected * weight * alive).sum(), arrays)
    tiles = {"block_size": 2} if attend is flash_attention else {}
    got = torch.autograd.grad((attend(*arrays, mask=mask, **tiles) * weight).sum(), arrays)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other)


@both_ways
@both_libraries
def test_a_mask_keeps_its_range_beside_narrow_queries(attend, library):
    q = as_array(np.zeros((2, 4)), library, DTYPES[library][0])
    v = as_array(np.array([[1.0], [3.0]]), library, DTYPES[library][0])
    mask = as_array(np.array([[-1e6, -1e6], [0.0, -1e300]]), library, DTYPES[library][-1])
    assert np.asarray(attend(q, q, v, mask=mask)).tolist() == [[2], [1]]


@both_ways
@both_libraries
def test_a_mask_may_span_the_whole_range(attend, library):
    largest = float(np.finfo(np.float32).max)
    mask = as_array(np.array([[largest, -largest], [-largest, largest]]), library, DTYPES[library][-2])
    v = as_array(np.array([[1.0], [3.0]]), library, DTYPES[library][-2])
    tiles = {"block_size": 1} if attend is flash_attention else {}
    assert attend(v, v, v, mask=mask, **tiles).tolist() == [[1], [3]]


@both_ways
@both_libraries
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("scale", [None, 1e-38])
def test_scores_that_overflow_are_refused_and_never_answered(attend, library, sign, scale):
    q = as_array(np.full((2, 4), 1e20), library, DTYPES[library][-2])
    with pytest.raises(
        ValueError, match=r"q, k and scale must give scores of at most 9e\+37; got .* 1e\+20 in q"
    ):
        attend(q, sign * q, q, scale=scale)


@both_ways
@both_libraries
def test_scores_near_the_largest_number_still_pick_the_best_key(attend, library):
    q = as_array(np.array([[1e18, 0.0], [0.0, 1e18]]), library, DTYPES[library][-2])
    assert attend(q, q, q).tolist() == q.tolist()


@both_ways
@both_libraries
def test_values_whose_sum_overflows_are_refused(attend, library):
    v = as_array(np.full((2, 4), 3e38), library, DTYPES[library][-2])
    with pytest.raises(ValueError, match=r"v must hold magnitudes of at most 1\.7e\+38"):
        attend(v * 0, v * 0, v)


def bad(array, value):
    changed = np.array(array)
    changed[..., 1, 0] = value
    return changed


ONES = np.ones((2, 4, 3, 8))  # batch, heads, tokens, width
BAD = [
    ({"q": ONES[..., :7]}, "q and k must have the same width"),
    ({"v": ONES[..., :2, :]}, "k and v must hold the same number of tokens"),
    ({"q": ONES[0, 0, 0]}, "q must have at least 2 axes"),
    ({"v": ONES[0, 0, 0]}, "v must have at least 2 axes"),
    ({"q": ONES[..., :0, :]}, "q must not be empty"),
    ({"k": ONES[..., :0, :], "v": ONES[..., :0, :]}, "k must not be empty"),
    ({"q": ONES[..., :0], "k": ONES[..., :0]}, "q must not be empty"),
    ({"v": ONES[..., :0]}, "v must not be empty"),
    ({"k": np.ones((3, 4, 3, 8)), "v": np.ones((3, 4, 3, 8))}, "leading axes of q, k and v must broadcast"),
    ({"k": ONES[:, :3], "v": ONES[:, :3]}, "the heads .* of k and v must divide the heads of q"),
    ({"k": ONES[:, :2]}, "the heads .* of k and v must be as many; got q"),
    ({"k": ONES[:, :2], "v": ONES[:, :3]}, "the heads .* of k and v must be as many; got q"),
    ({"q": ONES[:, :2]}, "the heads .* must divide the heads of q"),
    ({"q": bad(ONES, np.nan)}, "q must be finite"),
    ({"k": bad(ONES, np.inf)}, "k must be finite"),
    ({"v": bad(ONES, -np.inf)}, "v must be finite"),
    ({"q": ONES.astype(np.float32)}, "one dtype and one device; got q .*float32 on cpu, k .*float64"),
    ({"v": ONES.astype(np.float16)}, "one dtype and one device; got .*v .*float16"),
    ({"k": ONES.astype(int)}, "k must be floating point.*got dtype .*int64"),
    ({"v": ONES.astype(bool)}, "v must be floating point.*got dtype .*bool"),
    ({"q": ONES.astype(complex)}, "q must be floating point.*got dtype .*complex128"),
    ({"mask": np.array([[0.0, np.nan, 0.0]])}, "mask must hold numbers .* its largest is nan"),
    ({"mask": np.array([[0.0, np.inf, -np.inf]])}, "mask must hold numbers .* its largest is inf"),
    (
        {"mask": np.ones((3, 4), dtype=bool)},
        r"mask must broadcast to the scores' shape \(2, 4, 3, 3\); got shape",
    ),
    ({"mask": np.ones((5, 2, 4, 3, 3), dtype=bool)}, "mask must broadcast to the scores' shape"),
    ({"mask": np.ones((3, 3), dtype=int)}, "mask must be boolean .* or floating; got dtype .*int64"),
    ({"scale": math.nan}, "scale must be a finite number; got nan"),
    ({"scale": math.inf}, "scale must be a finite number; got inf"),
    ({"scale": True}, "scale must be a finite number; got True"),
    ({"scale": "1"}, "scale must be a finite number; got '1'"),
]


@both_ways
@both_libraries
@pytest.mark.parametrize(("changes", "message"), BAD)
def test_a_bad_argument_is_named(attend, library, changes, message):
    arguments = {"q": ONES, "k": ONES, "v": ONES, **changes}
    if library == "torch":
        arguments = {n: torch.from_numpy(a) if isinstance(a, np.ndarray) else a for n, a in arguments.items()}
    with pytest.raises(ValueError, match=message):
        attend(**arguments)


@both_libraries
@pytest.mark.parametrize(
    ("changes", "message"), [case for case in BAD if "v" not in case[0] and "k and v" not in case[1]]
)
def test_a_bad_argument_of_the_weights_is_named(library, changes, message):
    arguments = {"q": ONES, "k": ONES, **changes}
    if library == "torch":
        arguments = {n: torch.from_numpy(a) if isinstance(a, np.ndarray) else a for n, a in arguments.items()}
    with pytest.raises(ValueError, match=message):
        attention_weights(**arguments)


@both_ways
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": torch.ones(3, 8)}, "one library; q is NumPy, k is torch, v is NumPy"),
        ({"mask": torch.ones(3, 3, dtype=torch.bool)}, "mask must come from the same library as q"),
        ({"q": ONES.tolist()}, "q must be a NumPy array or a torch tensor; got builtins.list"),
        ({"mask": [[True] * 3]}, "mask must be a NumPy array or a torch tensor; got builtins.list"),
        ({"k": ONES.astype(np.longdouble)}, "k must be floating point.*got dtype float"),
        ({"v": ONES.astype(">f8")}, "v must be floating point.*got dtype >f8"),
    ],
)
def test_a_mix_of_libraries_or_an_odd_dtype_is_named(attend, changes, message):
    with pytest.raises(ValueError, match=message):
        attend(**{"q": ONES, "k": ONES, "v": ONES, **changes})


@both_ways
@reproducible
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 12))
def test_without_positions_and_mask_attention_does_not_see_order(attend, seed, n):
    generator = np.random.default_rng(seed)
    q, k, v = generator.normal(size=(3, 2, n, 4))
    order, key_order = generator.permutation(n), generator.permutation(n)
    out = attend(q, k, v)
    np.testing.assert_allclose(
        attend(q[:, order], k[:, key_order], v[:, key_order]), out[:, order], atol=1e-12
    )
    assert np.abs(out - out[:, ::-1]).max() > 1e-6  # the rows differ, so that the line above says something


@both_ways
def test_a_causal_output_does_not_change_with_what_comes_after(attend):
    q, k, v = np.random.default_rng(0).normal(size=(3, 6, 4))
    before = attend(q, k, v, is_causal=True)
    k[4:], v[4:] = 50.0, 70.0
    after = attend(q, k, v, is_causal=True)
    np.testing.assert_array_equal(after[:4], before[:4])
    assert (after[4:] != before[4:]).all()


@both_libraries
@reproducible
@given(data=st.data())
def test_softmax_is_torchs_own_at_any_size(library, data):
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    dtype = data.draw(st.sampled_from(DTYPES[library]))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    finfo = (np if library == "numpy" else torch).finfo(dtype)
    largest = data.draw(st.sampled_from([1e-3, 1.0, 1e3, float(finfo.max)]))
    x = as_array(largest * generator.uniform(-1, 1, size=shape), library, dtype)
    out = softmax(x, axis=axis)
    assert out.dtype == dtype
    total = in_float64(out).sum(dim=axis)
    close(total, torch.ones_like(total), shape[axis] * float(finfo.eps))
    work_eps = min(float(finfo.eps), np.finfo(np.float32).eps)
    rounding = float(finfo.eps) + (4 * work_eps if largest == finfo.max else work_eps * largest)
    close(out, torch.softmax(in_float64(x), dim=axis), rounding)


@reproducible
@given(
    x=st.lists(st.integers(-1000, 1000), min_size=1, max_size=8),
    shift=st.integers(-(2**40), 2**40),
)
def test_softmax_is_unmoved_by_a_shift(x, shift):
    x = np.array(x, dtype=float)  # whole numbers, so that the shift itself rounds nothing
    np.testing.assert_array_equal(softmax(x + shift), softmax(x))


@both_libraries
def test_softmax_of_nothing_but_minus_infinity_is_zero(library):
    x = as_array(np.array([[-np.inf, -np.inf], [-np.inf, 3.0]]), library, DTYPES[library][-1])
    assert softmax(x).tolist() == [[0, 0], [0, 1]]


def test_softmax_of_many_half_precision_numbers_still_sums_to_one():
    out = softmax(np.zeros(70_000, dtype=np.float16))  # more than half precision can count
    assert out.astype(float).sum() == pytest.approx(1, rel=1e-2)


@both_libraries
@pytest.mark.parametrize(
    ("x", "axis", "message"),
    [
        (np.array([1.0, np.nan]), -1, "x must be finite or minus infinity"),
        (np.array([1.0, np.inf]), -1, "x must be finite or minus infinity"),
        (np.array([1, 2]), -1, "x must be floating point"),
        (np.ones((2, 2)), 2, "axis must be one of the 2 axes of x; got 2"),
        (np.float64(1.0) * np.ones(()), -1, "axis must be one of the 0 axes of x"),
        (np.ones((2, 0)), -1, "x must not be empty"),
    ],
)
def test_softmax_names_a_bad_argument(library, x, axis, message):
    with pytest.raises(ValueError, match=message):
        softmax(x if library == "numpy" else torch.from_numpy(np.asarray(x)), axis=axis)
