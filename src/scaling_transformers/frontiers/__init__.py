"""One true instance of each frontier: a quantum circuit, spiking neurons, cheap arithmetic, other fields.

Nothing here imports torch; what reads or trains a model is imported by its own name: `replaced_head`,
`spiking_model`, `spiking_runs`.
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
from scaling_transformers.frontiers.spiking import Neuron, heaviside, lif, lif_step
from scaling_transformers.frontiers.spiking_energy import (
    Chip,
    Prices,
    Work,
    break_even_spikes,
    energy_pj,
    neuromorphic_chips,
    prices,
)

__all__ = [
    "Chip",
    "Circuit",
    "Gate",
    "Neuron",
    "Prices",
    "QuantumMachine",
    "Work",
    "apply",
    "break_even_spikes",
    "cnot",
    "controlled_swap",
    "energy_pj",
    "estimation_calls",
    "hadamard",
    "heaviside",
    "interference_gates",
    "interference_test",
    "inverse",
    "lif",
    "lif_step",
    "load",
    "loading_gates",
    "measure",
    "neuromorphic_chips",
    "prices",
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
