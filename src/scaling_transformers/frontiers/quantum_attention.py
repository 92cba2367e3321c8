"""Attention scores from a quantum circuit: loading vectors, interference, shots, and what it all costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers.attention.masks import require_count
from scaling_transformers.frontiers.quantum import (
    Gate,
    cnot,
    controlled_swap,
    hadamard,
    probability_of_zero,
    rotation,
    run,
)

Floats = NDArray[np.float64]
_PAIRS = 2048  # pairs simulated at once: their states then fit into the cache


def load(x: ArrayLike, *, first_qubit: int = 0) -> list[Gate]:
    """A circuit that turns qubits that are all 0 into the state whose amplitudes are ``x``, made length 1.

    A tree of rotations: the first splits the squared length between the halves of the vector, the next two
    split each half, and so on. The last carry the signs. A rotation that depends on the qubits before it is
    made of plain rotations, with gates that flip the qubit in between.

    Parameters
    ----------
    x : array_like, shape (..., d), ``d`` a power of 2, at least 2
        Real and finite, no vector all zero. Leading axes become runs.
    first_qubit : int
        The ``log2(d)`` qubits from here on are loaded.

    Returns
    -------
    list of Gate
        ``d - 1`` rotations and ``d - 2`` CNOTs.

    Raises
    ------
    ValueError
        If ``x`` is not so.

    Source: Möttönen et al. 2005, for real amplitudes.
    """
    x = _vectors(x, name="x")
    lengths = [np.moveaxis(x, -1, 0)]  # of ever larger parts, (parts, ...); the smallest are signed numbers
    while len(lengths[0]) > 1:
        lengths.insert(0, np.hypot(lengths[0][0::2], lengths[0][1::2]))
    circuit: list[Gate] = []
    for depth, parts in enumerate(lengths[1:]):
        angles = 2 * np.arctan2(parts[1::2], parts[0::2])
        controls = list(range(first_qubit, first_qubit + depth))
        circuit += _chosen_rotation(angles, controls=controls, target=first_qubit + depth)
    return circuit


def _chosen_rotation(angles: Floats, *, controls: Sequence[int], target: int) -> list[Gate]:
    """Rotate the target by the angle whose number the controls spell: ``2**k`` rotations, as many CNOTs.

    A CNOT before and after a rotation reverses it. Stepping through a Gray code, where one bit changes at a
    time, one CNOT a step gives each choice of the controls its own pattern of signs; the sums with those
    signs are the angles.
    """
    if not controls:
        return [rotation(target, angles[0])]
    count, circuit = 2 ** len(controls), []
    for step in range(count):
        code, later = (i ^ (i >> 1) for i in (step, (step + 1) % count))
        signs = np.array([(-1.0) ** (choice & code).bit_count() for choice in range(count)])
        circuit.append(rotation(target, np.tensordot(signs, angles, axes=1) / count))
        changed = (code ^ later).bit_length() - 1  # the last control is bit 0
        circuit.append(cnot(controls[-1 - changed], target))
    return circuit


def swap_test(q: ArrayLike, k: ArrayLike) -> list[Gate]:
    """A circuit whose first qubit is found 0 with probability ``(1 + cos(q, k)**2) / 2``.

    Loads both vectors into qubits of their own and swaps them under the control of the first qubit. Tells
    how alike two directions are, but not whether they point the same way.

    Parameters
    ----------
    q, k : array_like, shape (..., d), as for `load`

    Source: Buhrman et al. 2001.
    """
    q, k = _pairs(q, k)
    n = _qubits(q)
    swaps = [controlled_swap(0, 1 + i, 1 + n + i) for i in range(n)]
    loads = [*load(q, first_qubit=1), *load(k, first_qubit=1 + n)]
    return [*loads, hadamard(0), *swaps, hadamard(0)]


def interference_test(q: ArrayLike, k: ArrayLike) -> list[Gate]:
    """A circuit whose first qubit is found 0 with probability ``(1 + cos(q, k)) / 2``: the sign included.

    Loads the two directions side by side, ``q`` where the first qubit is 0 and ``k`` where it is 1. A
    Hadamard gate then adds and subtracts them; the probability is the squared length of half their sum.

    Parameters
    ----------
    q, k : array_like, shape (..., d), as for `load`

    Returns
    -------
    list of Gate
        On ``log2(d) + 1`` qubits.

    Source: the circuit of Schuld et al. 2017 for one pair of vectors.
    """
    q, k = _pairs(q, k)
    return [*load(np.concatenate([_direction(q), _direction(k)], axis=-1)), hadamard(0)]


def quantum_scores(
    q: ArrayLike,
    k: ArrayLike,
    *,
    shots: int | Sequence[int] | None,
    rng: np.random.Generator,
    is_causal: bool = False,
    scale: float | None = None,
) -> Floats:
    """Attention scores ``scale * q k^T`` as a quantum computer without errors would estimate them.

    Runs `interference_test` for every pair that the mask allows, in the simulator of this package, and draws
    how often ``shots`` measurements of its first qubit give 0. The lengths of the vectors, which no state
    holds, are multiplied in afterwards.

    Parameters
    ----------
    q : array_like, shape (..., n_q, d), ``d`` a power of 2
    k : array_like, shape (..., n_k, d)
    shots : int, sequence of int, or None
        Runs of the circuit a pair. A sequence adds a first axis to the result. None: infinitely many.
    rng : numpy Generator
    is_causal : bool
        Query ``i`` sees keys ``0 .. i`` only; the other scores are minus infinity. Needs ``n_q == n_k``.
    scale : float, optional
        Default ``1 / sqrt(d)``.

    Returns
    -------
    array, shape (..., n_q, n_k), or (n_shots, ..., n_q, n_k)

    Raises
    ------
    ValueError
        If the shapes do not fit, a vector is all zero, or ``shots`` is not positive.

    Examples
    --------
    >>> q, k = np.array([[3.0, 4.0]]), np.array([[4.0, 3.0], [-3.0, -4.0]])
    >>> quantum_scores(q, k, shots=None, rng=np.random.default_rng(0), scale=1.0).round(6).tolist()
    [[24.0, -25.0]]
    """
    q, k = _vectors(q, name="q"), _vectors(k, name="k")
    if q.ndim < 2 or k.ndim != q.ndim or q.shape[:-2] != k.shape[:-2] or q.shape[-1] != k.shape[-1]:
        raise ValueError(f"q and k must differ in the number of vectors only; got {q.shape} and {k.shape}")
    n_q, n_k, d = q.shape[-2], k.shape[-2], q.shape[-1]
    if is_causal and n_q != n_k:
        raise ValueError(f"is_causal must come with as many keys as queries; got {n_k} and {n_q}")
    for each in () if shots is None else np.ravel(shots):
        require_count(shots=each)
    rows, columns = np.nonzero(np.tril(np.ones((n_q, n_k))) if is_causal else np.ones((n_q, n_k)))
    zero = _probability(q[..., rows, :], k[..., columns, :])  # (..., pairs)
    if shots is not None:
        runs = np.asarray(shots).reshape(*np.shape(shots), *(1,) * zero.ndim)
        zero = rng.binomial(runs, zero) / runs
    lengths = np.linalg.norm(q, axis=-1)[..., rows] * np.linalg.norm(k, axis=-1)[..., columns]
    scores = np.full((*zero.shape[:-1], n_q, n_k), -np.inf)
    scores[..., rows, columns] = (d**-0.5 if scale is None else scale) * lengths * (2 * zero - 1)
    return scores


def _probability(q: Floats, k: Floats) -> Floats:
    """Probability of 0 in the interference test, from the simulated state of each pair: (..., d) to (...)."""
    lead, d, n_qubit = q.shape[:-1], q.shape[-1], _qubits(q) + 1
    q, k = q.reshape(-1, d), k.reshape(-1, d)
    parts = []
    for start in range(0, len(q), _PAIRS):
        pairs = slice(start, start + _PAIRS)
        state = run(interference_test(q[pairs], k[pairs]), n_qubit=n_qubit)
        parts.append(probability_of_zero(state, qubit=0, n_qubit=n_qubit))
    return np.concatenate(parts).reshape(lead)


def sampled_cosine(q: ArrayLike, k: ArrayLike, *, samples: int, rng: np.random.Generator) -> Floats:
    """The cosine of two vectors from random entries, without a quantum computer.

    Draws entry ``i`` with probability ``q_i**2 / |q|**2``, what measuring the loaded ``q`` would do, and
    averages ``(k_i / |k|) / (q_i / |q|)``. The mean is the cosine, the variance of one draw ``1 - cos**2``:
    the same as that of one shot of `interference_test`. A tree of sums, as `load` needs it, finds an entry in
    ``log2(d)`` steps.

    Parameters
    ----------
    q, k : array_like, shape (..., d)
        Where ``q`` has a zero, ``k`` must have one too, or that entry is missed.
    samples : int
    rng : numpy Generator

    Returns
    -------
    array, shape (...)

    Source: Tang 2019, inner products from samples.
    """
    q, k = _pairs(q, k)
    require_count(samples=samples)
    q, k = _direction(q), _direction(k)
    if bool(np.any((q == 0) & (k != 0))):
        raise ValueError("q must have no zero where k has none: that entry would never be drawn")
    chances = q**2
    counts = rng.multinomial(samples, chances / chances.sum(axis=-1, keepdims=True))
    ratios = np.divide(k, q, out=np.zeros_like(k), where=q != 0)
    return np.asarray(np.sum(counts * ratios, axis=-1) / samples)


def loading_gates(d: int) -> int:
    """Gates of `load`: ``2 d - 3``."""
    _require_power(d)
    return 2 * d - 3


def interference_gates(d: int) -> int:
    """Gates of `interference_test`: it loads a vector twice as long, and adds one: ``4 d - 2``."""
    return loading_gates(2 * d) + 1


def swap_test_gates(d: int) -> int:
    """Gates of `swap_test`, a controlled swap counted as one: two loads, two Hadamards, ``log2(d)`` swaps."""
    return 2 * loading_gates(d) + 2 + d.bit_length() - 1


def estimation_calls(error: float, *, cosine: float = 0.0) -> int:
    """Runs of the circuit, forwards or backwards, that amplitude estimation needs for the same ``error``.

    ``M`` rounds, each running the circuit once backwards and once forwards, bring the estimate of a
    probability ``p`` to within ``2 pi sqrt(p (1 - p)) / M + pi**2 / M**2`` in at least 81 % of cases; the
    cosine is ``2 p - 1``. Of order 1 / error, where shots are of order 1 / error**2. The rounds follow each
    other in one run, so that no gate may fail throughout. Gates of the phase estimation itself are left out.

    Source: Brassard et al. 2002.
    """
    _require_error(error, cosine)
    slope, bend = math.pi * math.sqrt(1 - cosine**2), math.pi**2  # sqrt(p (1 - p)) = sqrt(1 - cos**2) / 2
    rounds = (slope + math.sqrt(slope**2 + 2 * error * bend)) / error  # error / 2 = slope / M + bend / M**2
    return 2 * math.ceil(rounds) + 1


def _vectors(x: ArrayLike, *, name: str) -> Floats:
    """As floats, after checking: the last axis a power of 2, finite, nowhere all zero."""
    x = np.asarray(x, dtype=float)
    if x.ndim == 0 or x.size == 0 or not np.isfinite(x).all():
        raise ValueError(f"{name} must hold finite numbers, shape (..., d); got shape {x.shape}")
    _require_power(x.shape[-1], name=f"{name}.shape[-1]")
    if not np.any(x, axis=-1).all():
        raise ValueError(f"{name} must have no vector of zeros: it has no direction")
    return x


def _pairs(q: ArrayLike, k: ArrayLike) -> tuple[Floats, Floats]:
    q, k = _vectors(q, name="q"), _vectors(k, name="k")
    if q.shape != k.shape:
        raise ValueError(f"q and k must have one shape; got {q.shape} and {k.shape}")
    return q, k


def _direction(x: Floats) -> Floats:
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def _qubits(x: Floats) -> int:
    """Qubits that hold a vector: log2 of its width."""
    return int(x.shape[-1]).bit_length() - 1


def _require_power(d: int, *, name: str = "d") -> None:
    require_count(**{name: d}, least=2)
    if d & (d - 1):
        raise ValueError(f"{name} must be a power of 2; got {d}")


def _require_error(error: float, cosine: float) -> None:
    if not 0 < error < 1:
        raise ValueError(f"error must be between 0 and 1; got {error!r}")
    if not -1 <= cosine <= 1:
        raise ValueError(f"cosine must be from -1 to 1; got {cosine!r}")
