"""Gates turn the state as Kronecker products of matrices do, keep its length, and make the known states."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_transformers.frontiers import (
    Gate,
    apply,
    cnot,
    controlled_swap,
    hadamard,
    inverse,
    measure,
    probability_of_zero,
    rotation,
    run,
    state_bytes,
)

N = 4
KET = [np.diag([1.0, 0.0]), np.diag([0.0, 1.0])]  # |0><0| and |1><1|


def kron(**on):
    """The Kronecker product over all qubits of the matrices given as q0=..., the identity elsewhere."""
    return reduce(np.kron, [on.get(f"q{qubit}", np.eye(2)) for qubit in range(N)])


def random_state(seed):
    rng = np.random.default_rng(seed)
    state = rng.standard_normal((2,) * N) + 1j * rng.standard_normal((2,) * N)
    return state / np.linalg.norm(state)


def swap(a, b):
    """Exchange of two qubits as (1 + XX + YY + ZZ) / 2."""
    x, y, z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
    return (np.eye(2**N) + sum(kron(**{f"q{a}": p, f"q{b}": p}) for p in (x, y, z))) / 2


qubits = st.permutations(range(N))
seeds = st.integers(0, 2**16)
angles = st.floats(-7.0, 7.0)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(qubits, seeds, angles)
def test_gates_are_the_kronecker_products_of_their_matrices(order, seed, angle):
    a, b, c, _ = order
    half = angle / 2
    turn = np.array([[np.cos(half), -np.sin(half)], [np.sin(half), np.cos(half)]])
    x = np.array([[0.0, 1.0], [1.0, 0.0]])
    expected = {
        hadamard(a): kron(**{f"q{a}": np.array([[1, 1], [1, -1]]) / 2**0.5}),
        rotation(a, angle): kron(**{f"q{a}": turn}),
        cnot(a, b): kron(**{f"q{a}": KET[0]}) + kron(**{f"q{a}": KET[1], f"q{b}": x}),
        controlled_swap(a, b, c): kron(**{f"q{a}": KET[0]}) + kron(**{f"q{a}": KET[1]}) @ swap(b, c),
    }
    state = random_state(seed)
    for gate, matrix in expected.items():
        np.testing.assert_allclose(apply(state, gate).ravel(), matrix @ state.ravel(), atol=1e-12)


@settings(deadline=None, derandomize=True, max_examples=20)
@given(qubits, seeds, angles)
def test_a_circuit_keeps_the_length_and_its_inverse_undoes_it(order, seed, angle):
    a, b, c, d = order
    phase = Gate("S", (d,), np.diag([1.0, 1j]))
    circuit = [hadamard(a), phase, cnot(a, b), rotation(d, angle), controlled_swap(d, c, b)]
    state = random_state(seed)
    after = run(circuit, n_qubit=N, state=state)
    assert np.linalg.norm(after) == pytest.approx(1.0)
    np.testing.assert_allclose(run(inverse(circuit), n_qubit=N, state=after), state, atol=1e-12)


def test_the_states_of_bell_and_of_greenberger_horne_and_zeilinger():
    bell = run([hadamard(0), cnot(0, 1)], n_qubit=2)
    np.testing.assert_allclose(bell, np.eye(2) / 2**0.5, atol=1e-15)
    ghz = run([hadamard(0), *(cnot(i, i + 1) for i in range(4))], n_qubit=5).ravel()
    expected = np.zeros(32)
    expected[[0, 31]] = 2**-0.5
    np.testing.assert_allclose(ghz, expected, atol=1e-15)


def test_runs_with_angles_of_their_own_are_runs_one_by_one():
    angles = np.array([[0.1, 1.0, 2.0], [3.0, -1.0, 0.0]])
    together = run([hadamard(1), rotation(0, angles), cnot(0, 1)], n_qubit=2)
    assert together.shape == (2, 2, 2, 3)
    for index in np.ndindex(2, 3):
        alone = run([hadamard(1), rotation(0, angles[index]), cnot(0, 1)], n_qubit=2)
        np.testing.assert_allclose(together[(..., *index)], alone)
    chances = probability_of_zero(together, qubit=0, n_qubit=2)
    np.testing.assert_allclose(chances, np.cos(angles / 2) ** 2, atol=1e-15)


def test_measuring_draws_outcomes_in_proportion_to_squared_amplitudes():
    state = run([rotation(0, 2 * np.arcsin(0.6)), cnot(0, 1)], n_qubit=2)
    counts = measure(state, shots=10_000, rng=np.random.default_rng(0))
    assert counts.sum() == 10_000
    assert counts[0, 1] == counts[1, 0] == 0
    assert abs(counts[1, 1] - 3_600) < 5 * np.sqrt(10_000 * 0.36 * 0.64)


def test_a_qubit_more_doubles_the_memory():
    assert state_bytes(10) == random_state(0).itemsize * 2**10
    assert state_bytes(51) == 2 * state_bytes(50)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="qubits must be different"):
        cnot(1, 1)
    with pytest.raises(ValueError, match="matrix must have sides of 2"):
        Gate("odd", (0,), np.eye(4))
    with pytest.raises(ValueError, match="circuit must act on qubits below 2"):
        run([hadamard(2)], n_qubit=2)
    with pytest.raises(ValueError, match="n_qubit must be at most"):
        run([], n_qubit=40)
    with pytest.raises(ValueError, match="state must have 3 axes"):
        run([], n_qubit=3, state=np.ones((2, 2)))
    with pytest.raises(ValueError, match="state must have length 1"):
        measure(np.ones((2, 2)), shots=1, rng=np.random.default_rng(0))
