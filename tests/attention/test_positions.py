"""What a description of position promises: distance is what counts."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.attention import (
    alibi_bias,
    alibi_slopes,
    apply_rotary,
    sinusoidal_positions,
    sinusoidal_shift,
)

reproducible = settings(deadline=None, max_examples=60, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
widths = st.integers(1, 8).map(lambda pairs: 2 * pairs)
thetas = st.sampled_from([10.0, 10_000.0, 1_000_000.0])


def rotated(x, position, theta):
    return apply_rotary(x[None], positions=np.array([position]), theta=theta)[0]


@reproducible
@given(
    seed=seeds,
    d=widths,
    theta=thetas,
    i=st.integers(0, 500),
    j=st.integers(0, 500),
    shift=st.integers(-500, 500),
)
def test_rotary_scores_depend_only_on_relative_position(seed, d, theta, i, j, shift):
    q, k = np.random.default_rng(seed).normal(size=(2, d))
    score, moved = (rotated(q, i + s, theta) @ rotated(k, j + s, theta) for s in (0, shift))
    assert moved == pytest.approx(score, abs=1e-9)
    # Each pair as a complex number, turned by the distance alone: equation 34 of Su et al. 2021.
    pairs = [(x[: d // 2] + 1j * x[d // 2 :]) for x in (q, k)]
    turns = [np.exp(1j * (i - j) * theta ** (-2 * pair / d)) for pair in range(d // 2)]
    assert score == pytest.approx((pairs[0] * pairs[1].conj() * turns).real.sum(), abs=1e-9)


@pytest.mark.parametrize("library", ["numpy", "torch"])
@reproducible
@given(seed=seeds, d=widths, n=st.integers(1, 20), theta=thetas)
def test_rotary_keeps_norms_shape_and_dtype(library, seed, d, n, theta):
    x = np.random.default_rng(seed).normal(size=(2, n, d)).astype(np.float32)
    x = x if library == "numpy" else torch.from_numpy(x)
    turned = apply_rotary(x, theta=theta)
    assert (type(turned), turned.dtype, turned.shape) == (type(x), x.dtype, x.shape)
    norms = [np.linalg.norm(np.asarray(part), axis=-1) for part in (turned, x)]
    np.testing.assert_allclose(*norms, rtol=1e-5)


def test_rotary_leaves_the_first_token_as_it_is_and_counts_from_there():
    x = np.random.default_rng(0).normal(size=(3, 5, 4))
    turned = apply_rotary(x)
    np.testing.assert_array_equal(turned[:, 0], x[:, 0])
    for position in range(5):
        np.testing.assert_allclose(
            turned[0, position], rotated(x[0, position], position, 10_000.0), atol=1e-12
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_rotary_stays_exact_late_in_a_long_text(dtype):
    x = torch.linspace(-1, 1, 16).reshape(2, 8).to(dtype)
    late = torch.tensor([1_000_003, 2_000_005])
    wanted = apply_rotary(x.double(), positions=late)
    error = (apply_rotary(x, positions=late).double() - wanted).abs().max()
    assert error <= torch.finfo(dtype).eps


@reproducible
@given(n=st.integers(1, 12), d=widths, theta=thetas)
def test_sinusoidal_positions_are_the_papers_formula(n, d, theta):
    formula = [
        [(math.cos if c % 2 else math.sin)(p / theta ** ((c - c % 2) / d)) for c in range(d)]
        for p in range(n)
    ]  # Vaswani et al. 2017, section 3.5
    np.testing.assert_allclose(sinusoidal_positions(n, d, theta=theta), formula, atol=1e-12)


@reproducible
@given(d=widths, theta=thetas, p=st.integers(0, 300), offset=st.integers(-300, 300))
def test_one_matrix_moves_every_sinusoidal_position(d, theta, p, offset):
    offset = max(offset, -p)
    table = sinusoidal_positions(p + abs(offset) + 1, d, theta=theta)
    moved = sinusoidal_shift(d, offset=offset, theta=theta) @ table[p]
    np.testing.assert_allclose(moved, table[p + offset], atol=1e-11)


def test_alibi_slopes_for_8_heads_are_the_published_ones():
    assert alibi_slopes(8).tolist() == [1 / 2**power for power in range(1, 9)]  # Press et al. 2022, section 3


def test_alibi_slopes_for_12_heads_are_those_of_8_and_every_other_of_16():
    eight, sixteen = ([2 ** (-8 * (i + 1) / n) for i in range(n)] for n in (8, 16))
    np.testing.assert_allclose(alibi_slopes(12), eight + sixteen[0::2][:4], rtol=1e-12)


@reproducible
@given(n_head=st.integers(1, 20), n_q=st.integers(1, 6), n_k=st.integers(1, 6))
def test_alibi_takes_the_slope_off_for_each_token_of_distance(n_head, n_q, n_k):
    slopes = alibi_slopes(n_head)
    assert len(set(slopes)) == n_head
    assert ((slopes > 0) & (slopes < 1)).all()
    bias = [[[-slope * abs(i - j) for j in range(n_k)] for i in range(n_q)] for slope in slopes]
    np.testing.assert_allclose(alibi_bias(n_head, n_q, n_k), bias, rtol=1e-12)


X = np.ones((3, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sinusoidal_positions(3, 5), "d_model must be even; got 5"),
        (lambda: sinusoidal_positions(0, 4), "n must be a whole number of at least 1; got 0"),
        (lambda: sinusoidal_positions(3, 4, theta=0.0), "theta must be positive and finite; got 0.0"),
        (lambda: sinusoidal_positions(3, 4, theta=math.nan), "theta must be positive and finite; got nan"),
        (lambda: sinusoidal_shift(4, offset=math.nan), "offset must be finite; got nan"),
        (lambda: sinusoidal_shift(3, offset=1), "d_model must be even; got 3"),
        (lambda: apply_rotary(X[:, :3]), "the width of x must be even; got 3"),
        (lambda: apply_rotary(X[0]), "x must have token and width axes"),
        (lambda: apply_rotary(X.astype(int)), "x must be floating point"),
        (lambda: apply_rotary(X, theta=-1.0), "theta must be positive and finite; got -1.0"),
        (lambda: apply_rotary(X, positions=np.arange(4)), r"positions must have shape \(3,\); got \(4,\)"),
        (lambda: apply_rotary(X, positions=[0, 1, 2]), "positions must be a NumPy array or a torch tensor"),
        (lambda: apply_rotary(X, positions=torch.arange(3)), "one library; x is NumPy, positions is torch"),
        (lambda: apply_rotary(X, positions=np.array([0, 1, np.nan])), "positions must be finite"),
        (lambda: alibi_slopes(0), "n_head must be a whole number of at least 1; got 0"),
        (lambda: alibi_bias(2, 0), "n_q must be a whole number of at least 1; got 0"),
    ],
)
def test_a_bad_argument_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
