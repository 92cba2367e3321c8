"""What a model costs, from its config alone: parameters, operations, memory. No model is built."""

from scaling_transformers.accounting.flops import (
    FlopCount,
    chinchilla_forward_flops,
    forward_flops,
    training_flops,
)
from scaling_transformers.accounting.history import (
    Growth,
    TrainingRun,
    exponential_growth,
    record_runs,
    training_runs,
)
from scaling_transformers.accounting.memory import (
    TrainingMemory,
    kv_cache_bytes,
    latent_cache_bytes,
    training_memory,
)
from scaling_transformers.accounting.parameters import ParameterCount, count_parameters

__all__ = [
    "FlopCount",
    "Growth",
    "ParameterCount",
    "TrainingMemory",
    "TrainingRun",
    "chinchilla_forward_flops",
    "count_parameters",
    "exponential_growth",
    "forward_flops",
    "kv_cache_bytes",
    "latent_cache_bytes",
    "record_runs",
    "training_flops",
    "training_memory",
    "training_runs",
]
