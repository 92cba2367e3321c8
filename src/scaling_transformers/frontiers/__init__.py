"""One true instance of each frontier: a quantum circuit, spiking neurons, cheap arithmetic, other fields.

Nothing here imports torch; what reads or trains a model is imported by its own name: `replaced_head`.
"""

from scaling_transformers.frontiers.quantum import (
    Circuit,
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
from scaling_transformers.frontiers.quantum_attention import (
    estimation_calls,
    interference_gates,
    interference_test,
    load,
    loading_gates,
    quantum_scores,
    sampled_cosine,
    swap_test,
    swap_test_gates,
)
from scaling_transformers.frontiers.quantum_machines import QuantumMachine, quantum_machine

__all__ = [
    "Circuit",
    "Gate",
    "QuantumMachine",
    "apply",
    "cnot",
    "controlled_swap",
    "estimation_calls",
    "hadamard",
    "interference_gates",
    "interference_test",
    "inverse",
    "load",
    "loading_gates",
    "measure",
    "probability_of_zero",
    "quantum_machine",
    "quantum_scores",
    "rotation",
    "run",
    "sampled_cosine",
    "state_bytes",
    "swap_test",
    "swap_test_gates",
]
