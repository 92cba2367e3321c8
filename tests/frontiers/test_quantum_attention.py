"""Loaded vectors, overlaps and scores agree with plain linear algebra; noise and counts with theory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scaling_transformers.attention import attention_weights, softmax
from scaling_transformers.frontiers import (
    estimation_calls,
    interference_gates,
    interference_test,
    load,
    loading_gates,
    measure,
    probability_of_zero,
    quantum_scores,
    run,
    sampled_cosine,
    swap_test,
    swap_test_gates,
)

RNG = np.random.default_rng
numbers = st.floats(-1e3, 1e3).map(lambda x: 0.0 if abs(x) < 1e-3 else x)
vectors = (
    st.integers(1, 4)
    .flatmap(lambda n: arrays(float, (2, 2**n), elements=numbers))
    .filter(lambda pair: pair.any(axis=1).all())
)


def cosine(q, k):
    return (q * k).sum(-1) / (np.linalg.norm(q, axis=-1) * np.linalg.norm(k, axis=-1))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(vectors)
def test_the_loaded_amplitudes_are_the_vector_signs_and_zeros_included(pair):
    d = pair.shape[-1]
    n = d.bit_length() - 1
    both = run(load(pair), n_qubit=n).reshape(d, 2).T
    np.testing.assert_allclose(both, pair / np.linalg.norm(pair, axis=1, keepdims=True), atol=1e-12)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(vectors)
def test_swap_test_shows_the_squared_cosine_and_interference_the_signed_one(pair):
    q, k = pair
    n = len(q).bit_length() - 1
    for circuit, n_qubit, expected in (
        (swap_test(q, k), 2 * n + 1, (1 + cosine(q, k) ** 2) / 2),
        (interference_test(q, k), n + 1, (1 + cosine(q, k)) / 2),
    ):
        state = run(circuit, n_qubit=n_qubit)
        assert probability_of_zero(state, qubit=0, n_qubit=n_qubit) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("d", [2, 4, 8, 32, 64])
def test_the_counts_are_the_lengths_of_the_circuits(d):
    q, k = RNG(0).standard_normal((2, d))
    names = [gate.name for gate in load(q)]
    assert (names.count("RY"), names.count("CNOT")) == (d - 1, d - 2)
    assert loading_gates(d) == len(names)
    assert interference_gates(d) == len(interference_test(q, k)) == 4 * d - 2
    assert swap_test_gates(d) == len(swap_test(q, k))


def test_scores_without_noise_are_those_of_attention():
    q, k = RNG(0).standard_normal((2, 3, 2, 9, 8))
    scores = quantum_scores(q, k, shots=None, rng=RNG(0), is_causal=True)
    expected = attention_weights(q, k, is_causal=True)
    np.testing.assert_allclose(softmax(scores), expected, atol=1e-12)
    other = quantum_scores(q[..., :4, :], k, shots=None, rng=RNG(0), scale=0.3)
    np.testing.assert_allclose(other, 0.3 * q[..., :4, :] @ k.swapaxes(-1, -2), atol=1e-12)


def test_drawn_scores_scatter_as_binomials_do_and_draw_like_measurements():
    q, k = RNG(1).standard_normal((2, 1, 8))
    c = cosine(q, k)[0]
    shots, n = 200, 2_000
    many = quantum_scores(np.repeat(q[None], n, 0), np.repeat(k[None], n, 0), shots=shots, rng=RNG(2))
    found = many[:, 0, 0] / (np.linalg.norm(q) * np.linalg.norm(k) / 8**0.5)
    error = np.sqrt((1 - c**2) / shots)
    assert found.mean() == pytest.approx(c, abs=5 * error / np.sqrt(n))
    assert found.std() == pytest.approx(error, rel=0.08)
    counts = measure(run(interference_test(q[0], k[0]), n_qubit=4), shots=100_000, rng=RNG(3))
    assert 2 * counts[0].sum() / 100_000 - 1 == pytest.approx(c, abs=5 / np.sqrt(100_000))


def test_a_sequence_of_shots_adds_an_axis_and_seeds_repeat():
    q, k = RNG(0).standard_normal((2, 5, 5, 4))
    scores = quantum_scores(q, k, shots=[10, 10**8], rng=RNG(4), is_causal=True)
    assert scores.shape == (2, 5, 5, 5)
    again = quantum_scores(q, k, shots=[10, 10**8], rng=RNG(4), is_causal=True)
    np.testing.assert_array_equal(scores, again)
    exact = quantum_scores(q, k, shots=None, rng=RNG(0), is_causal=True)
    seen = np.isfinite(exact)
    assert (np.isfinite(scores) == seen).all()
    few, many = (np.abs(noisy[seen] - exact[seen]).max() for noisy in scores)
    assert many < 0.01 < few


@settings(deadline=None, derandomize=True, max_examples=40)
@given(vectors)
def test_a_draw_of_an_entry_has_the_mean_and_variance_of_a_shot(pair):
    q, k = pair / np.linalg.norm(pair, axis=1, keepdims=True)
    if ((q == 0) & (k != 0)).any():
        with pytest.raises(ValueError, match="q must have no zero where k has none"):
            sampled_cosine(q, k, samples=1, rng=RNG(0))
        return
    draws = {float(sampled_cosine(q, k, samples=1, rng=RNG(seed))) for seed in range(8)}
    drawn = np.divide(k, q, out=np.zeros_like(k), where=q != 0)
    assert all(np.isclose(drawn, draw, rtol=1e-9, atol=1e-12).any() for draw in draws)
    mean, square = (q**2 * drawn).sum(), (q**2 * drawn**2).sum()
    assert mean == pytest.approx(cosine(q, k), abs=1e-9)
    assert square - mean**2 == pytest.approx(1 - cosine(q, k) ** 2, abs=1e-9)


def test_sampled_cosines_close_in():
    q, k = RNG(0).standard_normal((2, 50, 16))
    found = sampled_cosine(q, k, samples=10**6, rng=RNG(1))
    assert np.sqrt(np.mean((found - cosine(q, k)) ** 2)) == pytest.approx(1e-3, rel=0.3)


@pytest.mark.parametrize("error", [0.2, 0.05, 0.01])
@pytest.mark.parametrize("c", [-0.9, 0.0, 0.3, 0.99])
def test_phase_estimation_reaches_the_promised_error(error, c):
    """Against the exact distribution of what phase estimation reads off a rotation by twice the angle."""
    rounds = (estimation_calls(error, cosine=c) - 1) // 2
    turn = np.arcsin(np.sqrt((1 + c) / 2)) / np.pi  # of the eigenvalue exp(2 pi i turn)
    y = np.arange(rounds)
    off = np.pi * (turn - y / rounds)
    with np.errstate(invalid="ignore"):
        chance = np.sin(rounds * off) ** 2 / (rounds * np.sin(off)) ** 2
    chance = np.where(np.abs(np.sin(off)) < 1e-12, 1.0, chance)
    assert chance.sum() == pytest.approx(1.0)
    found = 2 * np.sin(np.pi * y / rounds) ** 2 - 1
    assert chance[np.abs(found - c) <= error].sum() >= 8 / np.pi**2 - 1e-9


def test_estimation_needs_of_the_order_of_one_over_the_error():
    ratio = estimation_calls(1e-4) / estimation_calls(1e-3)
    assert ratio == pytest.approx(10, rel=0.05)
    assert estimation_calls(1e-4) < 1e-4**-2


def test_what_does_not_fit_is_refused():
    good = np.ones((3, 4))
    with pytest.raises(ValueError, match="a power of 2"):
        load(np.ones(6))
    with pytest.raises(ValueError, match="no vector of zeros"):
        load(np.zeros(4))
    with pytest.raises(ValueError, match="finite numbers"):
        load([np.nan, 1.0])
    with pytest.raises(ValueError, match="q and k must have one shape"):
        swap_test(np.ones(4), np.ones(8))
    with pytest.raises(ValueError, match="differ in the number of vectors only"):
        quantum_scores(good, np.ones((3, 8)), shots=1, rng=RNG(0))
    with pytest.raises(ValueError, match="as many keys as queries"):
        quantum_scores(good, np.ones((2, 4)), shots=1, rng=RNG(0), is_causal=True)
    with pytest.raises(ValueError, match="shots must be a whole number"):
        quantum_scores(good, good, shots=[10, 0], rng=RNG(0))
    with pytest.raises(ValueError, match="error must be between 0 and 1"):
        estimation_calls(0.0)
    with pytest.raises(ValueError, match="cosine must be from -1 to 1"):
        estimation_calls(0.1, cosine=2.0)
