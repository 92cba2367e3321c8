"""A machine runs as many copies as it has qubits for."""

import pytest

from scaling_transformers.frontiers import QuantumMachine, quantum_machine


def test_copies_share_the_time():
    machine = QuantumMachine("any", 100, 2.0, "nobody")
    assert machine.seconds(n_gate=3, n_qubit=100) == 6.0
    assert machine.seconds(n_gate=3, n_qubit=33) == 2.0
    with pytest.raises(ValueError, match="n_qubit must be from 1 to 100"):
        machine.seconds(n_gate=3, n_qubit=101)


def test_the_table_names_its_source_and_knows_no_others():
    assert "Hoefler" in quantum_machine("optimistic").source
    with pytest.raises(ValueError, match="name must be that of a quantum machine"):
        quantum_machine("tomorrow")
