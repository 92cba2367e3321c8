"""One true instance of each frontier: a quantum circuit, spiking neurons, cheap arithmetic, other fields.

Nothing here imports torch; what reads or trains a model is imported by its own name: `replaced_head`.
"""

from scaling_transformers.frontiers.cheap_compare import Gap, gap_at_equal_flops, gap_at_equal_joules
from scaling_transformers.frontiers.cheap_counts import (
    WAYS,
    Decoding,
    Work,
    crossover,
    decoding,
    forward_flops_of,
    mixer_flops,
    training_flops_of,
)
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
    "WAYS",
    "Circuit",
    "Decoding",
    "Gap",
    "Gate",
    "QuantumMachine",
    "Work",
    "apply",
    "cnot",
    "controlled_swap",
    "crossover",
    "decoding",
    "estimation_calls",
    "forward_flops_of",
    "gap_at_equal_flops",
    "gap_at_equal_joules",
    "hadamard",
    "interference_gates",
    "interference_test",
    "inverse",
    "load",
    "loading_gates",
    "measure",
    "mixer_flops",
    "probability_of_zero",
    "quantum_machine",
    "quantum_scores",
    "rotation",
    "run",
    "sampled_cosine",
    "state_bytes",
    "swap_test",
    "swap_test_gates",
    "training_flops_of",
]
