"""Quantum computers by name, as their describers have them: read from ``data/quantum_machines.csv``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from scaling_transformers._names import by_name
from scaling_transformers._tables import read_rows


@dataclass(frozen=True)
class QuantumMachine:
    """A quantum computer, built or hoped for.

    Attributes
    ----------
    name : str
    logical_qubits : int
        After the correction of errors.
    gate_seconds : float
        Time of one gate on such qubits.
    source : str
    """

    name: str
    logical_qubits: int
    gate_seconds: float
    source: str

    def seconds(self, *, n_gate: float, n_qubit: int) -> float:
        """Time a circuit when as many copies run side by side as there are qubits for, gates one by one.

        Examples
        --------
        >>> f"{quantum_machine('optimistic').seconds(n_gate=1000, n_qubit=10):.0e} s a circuit"
        '1e-05 s a circuit'
        """
        if not 0 < n_qubit <= self.logical_qubits:
            raise ValueError(f"n_qubit must be from 1 to {self.logical_qubits}; got {n_qubit!r}")
        return n_gate * self.gate_seconds / (self.logical_qubits // n_qubit)


@cache
def _machines() -> tuple[QuantumMachine, ...]:
    return tuple(
        QuantumMachine(row["name"], int(row["logical_qubits"]), float(row["gate_seconds"]), row["source"])
        for row in read_rows("quantum_machines.csv")
    )


def quantum_machine(name: str) -> QuantumMachine:
    """The machine of that name; `ValueError` if the table has none."""
    return by_name(_machines(), name, what="a quantum machine")
