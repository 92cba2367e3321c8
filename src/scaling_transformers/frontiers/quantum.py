"""A quantum computer small enough to read: gates, circuits, and the state that they turn.

The state of ``n`` qubits is held as an array with one axis of length 2 a qubit: entry ``[0, 1, 1]`` is the
amplitude of finding the first qubit 0 and the other two 1. Further axes at the end are independent runs of
the same circuit, with angles of their own. Read as a vector of ``2**n`` numbers, the first qubit is the
highest bit of an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers.attention.masks import require_count

Array = NDArray[Any]
MOST_QUBITS = 26  # of a state in memory: 1 GB of complex numbers


@dataclass(frozen=True, eq=False)
class Gate:
    """A unitary matrix and the qubits that it acts on.

    Attributes
    ----------
    name : str
    qubits : tuple of int, all different
    matrix : array, shape (2**k, 2**k, ...) for ``k`` qubits
        The first of the ``qubits`` is the highest bit of a row's number. Further axes: one matrix a run.
    """

    name: str
    qubits: tuple[int, ...]
    matrix: Array

    def __post_init__(self) -> None:
        side = 2 ** len(self.qubits)
        if not self.qubits or len(set(self.qubits)) < len(self.qubits) or min(self.qubits) < 0:
            raise ValueError(f"qubits must be different whole numbers from 0 on; got {self.qubits}")
        if self.matrix.shape[:2] != (side, side):
            raise ValueError(f"matrix must have sides of {side}; got shape {self.matrix.shape}")

    @property
    def inverse(self) -> Gate:
        """The gate that undoes this one."""
        return Gate(self.name, self.qubits, np.swapaxes(self.matrix.conj(), 0, 1))


#: Gates, the first to act first.
Circuit = Sequence[Gate]

_HADAMARD = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2.0)
_CNOT = np.eye(4)[[0, 1, 3, 2]]
_CONTROLLED_SWAP = np.eye(8)[[0, 1, 2, 3, 4, 6, 5, 7]]


def hadamard(qubit: int) -> Gate:
    """Turn a qubit that is 0 into an equal mixture of amplitudes, and one that is 1 into their difference."""
    return Gate("H", (qubit,), _HADAMARD)


def rotation(qubit: int, angle: ArrayLike) -> Gate:
    """Turn the two amplitudes of a qubit by half of ``angle``, in radians: the gate RY. Real throughout."""
    half = np.asarray(angle, dtype=float) / 2
    cos, sin = np.cos(half), np.sin(half)
    return Gate("RY", (qubit,), np.array([[cos, -sin], [sin, cos]]))


def cnot(control: int, target: int) -> Gate:
    """Flip ``target`` where ``control`` is 1."""
    return Gate("CNOT", (control, target), _CNOT)


def controlled_swap(control: int, first: int, second: int) -> Gate:
    """Exchange two qubits where ``control`` is 1."""
    return Gate("CSWAP", (control, first, second), _CONTROLLED_SWAP)


def inverse(circuit: Circuit) -> list[Gate]:
    """The circuit that undoes a circuit: the inverse gates in the opposite order."""
    return [gate.inverse for gate in reversed(circuit)]


def apply(state: Array, gate: Gate) -> Array:
    """The state after a gate.

    Parameters
    ----------
    state : array, shape (2,) * n_qubit + (...)
    gate : Gate on qubits below ``n_qubit``

    Returns
    -------
    array, shape of the state; further axes broadcast with those of the gate's matrix
    """
    k = len(gate.qubits)
    parts = np.moveaxis(state, gate.qubits, range(k))
    parts = parts.reshape(2**k, *parts.shape[k:])
    after = np.einsum("rc...,c...->r...", gate.matrix, parts)
    after = after.reshape(*(2,) * k, *after.shape[1:])
    return np.moveaxis(after, range(k), gate.qubits)


def run(circuit: Circuit, *, n_qubit: int, state: Array | None = None) -> Array:
    """The state after a circuit, from all qubits 0 or from a given state.

    Parameters
    ----------
    circuit : sequence of Gate
    n_qubit : int, at most 26
    state : array, shape (2,) * n_qubit + (...), optional

    Returns
    -------
    array, shape (2,) * n_qubit + (...)
        Amplitudes; their squared magnitudes are probabilities, and sum to 1 over the qubits. Real where all
        gates are, for half the memory.

    Raises
    ------
    ValueError
        If there are too many qubits, a gate acts on one that is not there, or the state does not fit.

    Examples
    --------
    Two qubits that are always found alike:

    >>> bell = run([hadamard(0), cnot(0, 1)], n_qubit=2)
    >>> np.round(bell**2, 3).tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    require_count(n_qubit=n_qubit)
    if n_qubit > MOST_QUBITS:
        raise ValueError(f"n_qubit must be at most {MOST_QUBITS}, a state of 1 GB; got {n_qubit}")
    for gate in circuit:
        if max(gate.qubits) >= n_qubit:
            raise ValueError(f"circuit must act on qubits below {n_qubit}; got {gate.name} on {gate.qubits}")
    if state is None:
        # Room for the runs from the start, so that no gate has to make it.
        runs = np.broadcast_shapes(*(gate.matrix.shape[2:] for gate in circuit))
        state = np.zeros((2,) * n_qubit + runs)
        state[(0,) * n_qubit] = 1.0
    elif state.shape[:n_qubit] != (2,) * n_qubit:
        raise ValueError(f"state must have {n_qubit} axes of length 2 first; got shape {state.shape}")
    for gate in circuit:
        state = apply(state, gate)
    return state


def probability_of_zero(state: Array, *, qubit: int, n_qubit: int) -> Array:
    """Probability that measuring a qubit gives 0, for each run: the axes of ``state`` after the qubits."""
    others = tuple(range(n_qubit - 1))
    half = np.take(state, 0, axis=qubit)
    return np.asarray(np.clip(np.sum(np.abs(half) ** 2, axis=others), 0.0, 1.0))


def measure(state: Array, *, shots: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Measure all qubits, ``shots`` times: how often each outcome came.

    Parameters
    ----------
    state : array, shape (2,) * n_qubit
        A single run.
    shots : int
    rng : numpy Generator

    Returns
    -------
    integer array, the shape of the state
    """
    require_count(shots=shots)
    probabilities = np.abs(state.reshape(-1)) ** 2
    if not np.isclose(probabilities.sum(), 1.0):
        raise ValueError(f"state must have length 1; its squared length is {probabilities.sum():.6g}")
    counts = rng.multinomial(shots, probabilities / probabilities.sum())
    return np.asarray(counts, dtype=np.int64).reshape(state.shape)


def state_bytes(n_qubit: int) -> int:
    """Bytes of a state in a simulator: ``2**n_qubit`` complex numbers of 16 bytes."""
    require_count(n_qubit=n_qubit)
    return int(16 * 2**n_qubit)
