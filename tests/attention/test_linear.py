"""What linear attention promises: the quadratic formula and the recurrence, at a cost that grows with n."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from scaling_transformers.attention import linear_attention, linear_attention_step

reproducible = settings(deadline=None, max_examples=100, derandomize=True)
both_libraries = pytest.mark.parametrize("library", ["numpy", "torch"])
seeds = st.integers(0, 2**32 - 1)
# A mean of values of size 1: rounding of the sums, relative to their terms, which are all positive but for v.
TOLERANCES = {"float16": 2e-3, "float32": 5e-6, "float64": 1e-13}


def quadratic(q, k, v, *, is_causal):
    """All n_q * n_k weights at once, with torch's elu, in float64."""
    q, k, v = (torch.as_tensor(array).double() for array in (q, k, v))
    if q.ndim > 2:
        k, v = (array.repeat_interleave(q.shape[-3] // array.shape[-3], dim=-3) for array in (k, v))
    weights = (F.elu(q) + 1) @ (F.elu(k) + 1).mT
    if is_causal:
        weights = weights.tril()
    return (weights / weights.sum(dim=-1, keepdim=True) @ v).numpy()


def recurrence(q, k, v):
    """Token by token: one matrix and one vector are all that is known of the past."""

    def phi(x):
        return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))

    matrix, vector, out = np.zeros((k.shape[-1], v.shape[-1])), np.zeros(k.shape[-1]), []
    for t in range(len(q)):
        if t < len(k):
            matrix, vector = matrix + np.outer(phi(k[t]), v[t]), vector + phi(k[t])
        out.append(phi(q[t]) @ matrix / (phi(q[t]) @ vector))
    return np.array(out)


@st.composite
def problems(draw, library):
    """Arguments of linear attention: 2 to 4 axes, broadcast batches, grouped heads, any dtype."""
    generator = np.random.default_rng(draw(seeds))
    n_q, n_k, d, d_v = (draw(st.integers(1, 12)) for _ in range(4))
    leads = [(), (), ()]
    if draw(st.booleans()):
        n_kv_head, group = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        leads = [(n_kv_head * group,), (n_kv_head,), (n_kv_head,)]
        batch = draw(st.integers(1, 3))
        leads = [draw(st.sampled_from([(), (1,), (batch,)])) + lead for lead in leads]
    dtype = draw(st.sampled_from(list(TOLERANCES)))
    size = draw(st.sampled_from([0.0, 0.1, 1.0, 10.0]))
    q = size * generator.normal(size=(*leads[0], n_q, d))
    k = size * generator.normal(size=(*leads[1], n_k, d))
    v = generator.uniform(-1, 1, size=(*leads[2], n_k, d_v))
    arrays = [array.astype(dtype) for array in (q, k, v)]
    return (arrays if library == "numpy" else [torch.from_numpy(array) for array in arrays]), dtype


@both_libraries
@pytest.mark.parametrize("is_causal", [False, True])
@reproducible
@given(data=st.data())
def test_it_is_the_quadratic_formula(library, is_causal, data):
    arrays, dtype = data.draw(problems(library))
    out = linear_attention(*arrays, is_causal=is_causal, block_size=data.draw(st.integers(1, 13)))
    assert type(out) is type(arrays[0])
    assert out.dtype == arrays[0].dtype
    wanted = quadratic(*arrays, is_causal=is_causal)
    assert tuple(out.shape) == wanted.shape
    np.testing.assert_allclose(np.asarray(out), wanted, rtol=0, atol=TOLERANCES[dtype])


@reproducible
@given(
    seed=seeds,
    n_q=st.integers(1, 20),
    n_k=st.integers(1, 20),
    d=st.integers(1, 5),
    block_size=st.integers(1, 21),
)
def test_in_causal_order_it_is_a_recurrence(seed, n_q, n_k, d, block_size):
    generator = np.random.default_rng(seed)
    q, k, v = (generator.normal(size=shape) for shape in ((n_q, d), (n_k, d), (n_k, 3)))
    out = linear_attention(q, k, v, is_causal=True, block_size=block_size)
    np.testing.assert_allclose(out, recurrence(q, k, v), rtol=0, atol=1e-12)


@both_libraries
@reproducible
@given(seed=seeds, cuts=st.sets(st.integers(1, 11)))
def test_read_in_pieces_a_text_gives_the_same_and_the_state_keeps_its_size(library, seed, cuts):
    q, k, v = np.random.default_rng(seed).normal(size=(3, 2, 4, 12, 5))
    k, v = k[:, :2], v[:, :2, :, :3]  # each key head serves two query heads
    if library == "torch":
        q, k, v = (torch.from_numpy(array) for array in (q, k, v))
    state, outs, sizes = None, [], set()
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 12], strict=True):
        piece = (array[..., start:stop, :] for array in (q, k, v))
        out, state = linear_attention_step(state, *piece)
        outs.append(np.asarray(out))
        sizes.add(tuple(state.shape))
    assert sizes == {(2, 4, 5, 4)}  # d rows, d_v + 1 columns, a head
    whole = np.asarray(linear_attention(q, k, v, is_causal=True))
    np.testing.assert_allclose(np.concatenate(outs, axis=-2), whole, rtol=0, atol=1e-13)


@reproducible
@given(seed=seeds, n=st.integers(2, 12), block_size=st.integers(1, 13), data=st.data())
def test_nothing_that_comes_after_reaches_an_output(seed, n, block_size, data):
    t = data.draw(st.integers(0, n - 2))
    generator = torch.Generator().manual_seed(seed)
    q, k, v = (
        torch.randn(2, n, 3, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(3)
    )
    weight = torch.randn(2, 3, dtype=torch.float64, generator=generator)
    out = linear_attention(q, k, v, is_causal=True, block_size=block_size)
    for gradient in torch.autograd.grad((out[:, t] * weight).sum(), (q, k, v)):
        assert (gradient[:, t + 1 :] == 0).all()
    reached = torch.autograd.grad((linear_attention(q, k, v)[:, t] * weight).sum(), (k, v))
    assert all((gradient[:, t + 1 :] != 0).all() for gradient in reached)  # without the order, it would


@pytest.mark.parametrize("is_causal", [False, True])
def test_gradients_are_those_of_the_quadratic_formula(is_causal):
    torch.manual_seed(0)
    arrays = [torch.randn(2, 7, 4, dtype=torch.float64) for _ in range(3)]
    arrays[0][0, 0] = arrays[1][0, 0] = 0.0  # where the two branches of the feature map meet
    arrays = [array.requires_grad_() for array in arrays]
    q, k, v = arrays
    weights = (F.elu(q) + 1) @ (F.elu(k) + 1).mT
    weights = weights.tril() if is_causal else weights
    weight = torch.randn(2, 7, 4, dtype=torch.float64)
    plain = (weights @ v / weights.sum(dim=-1, keepdim=True) * weight).sum()
    ours = (linear_attention(*arrays, is_causal=is_causal, block_size=3) * weight).sum()
    for one, other in zip(torch.autograd.grad(ours, arrays), torch.autograd.grad(plain, arrays), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("is_causal", [False, True])
def test_its_memory_grows_with_the_length_and_not_with_its_square(is_causal):
    arrays = np.random.default_rng(0).normal(size=(3, 8192, 8)).astype(np.float32)
    peaks = []
    for n in (2048, 8192):
        tracemalloc.start()
        linear_attention(*arrays[:, :n], is_causal=is_causal)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 4.5 * peaks[0]
    assert peaks[1] < 0.05 * 8192**2 * 4


@both_libraries
@pytest.mark.parametrize("is_causal", [False, True])
def test_weights_that_vanish_are_refused_and_never_divide_by_zero(library, is_causal):
    far = np.full((3, 2), -200.0, dtype=np.float32)  # exp(-200) is below the range of float32
    fine = np.ones((3, 2), dtype=np.float32)
    if library == "torch":
        far, fine = torch.from_numpy(far), torch.from_numpy(fine)
    for q, k in ((far, fine), (fine, far)):
        with pytest.raises(ValueError, match=r"sum of weights of at least 1\.2e-38; got 0\.0e\+00"):
            linear_attention(q, k, fine, is_causal=is_causal)


ONES = np.ones((2, 4, 3, 8))  # batch, heads, tokens, width
BAD = [
    ({"q": ONES[..., :7]}, "q and k must have the same width"),
    ({"v": ONES[..., :2, :]}, "k and v must hold the same number of tokens"),
    ({"q": ONES[0, 0, 0]}, "q must have at least 2 axes"),
    ({"k": np.ones((3, 4, 3, 8)), "v": np.ones((3, 4, 3, 8))}, "leading axes of q, k and v must broadcast"),
    ({"k": ONES[:, :3], "v": ONES[:, :3]}, "the heads .* of k and v must divide the heads of q"),
    ({"q": ONES * np.nan}, "q must be finite"),
    ({"v": -np.inf * ONES}, "v must be finite"),
    ({"q": 1e200 * ONES, "k": 1e200 * ONES}, r"whose product is at most 2e\+306; got up to 1e\+200 in q"),
    ({"v": ONES.astype(np.float32)}, "one dtype and one device"),
    ({"k": torch.ones(3, 8)}, "one library"),
    ({"q": ONES.astype(int)}, "q must be floating point"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_a_bad_argument_is_named(changes, message):
    arguments = {"q": ONES, "k": ONES, "v": ONES, **changes}
    with pytest.raises(ValueError, match=message):
        linear_attention(**arguments)
    with pytest.raises(ValueError, match=message):
        linear_attention_step(None, **arguments)


@pytest.mark.parametrize("block_size", [0, -1, 2.0, True, None])
def test_a_bad_block_size_is_named(block_size):
    with pytest.raises(ValueError, match="block_size must be a whole number of at least 1; got"):
        linear_attention(ONES, ONES, ONES, block_size=block_size)


@pytest.mark.parametrize(
    ("state", "q", "message"),
    [
        (np.zeros((2, 4, 8, 8)), ONES, r"state must have shape \(2, 4, 8, 9\); got \(2, 4, 8, 8\)"),
        (np.full((2, 4, 8, 9), np.nan), ONES, "state must be finite"),
        (np.zeros((2, 4, 8, 9), dtype=np.float32), ONES, "one dtype and one device; .* state float32"),
        (torch.zeros(2, 4, 8, 9), ONES, "one library; q is NumPy, state is torch"),
        ([0.0], ONES, "state must be a NumPy array or a torch tensor"),
        (None, ONES[..., :2, :], "q and k must hold the same number of tokens"),
    ],
)
def test_a_bad_state_is_named(state, q, message):
    with pytest.raises(ValueError, match=message):
        linear_attention_step(state, q, ONES, ONES)
