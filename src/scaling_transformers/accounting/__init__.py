"""What a model costs, from its config alone: parameters, operations, memory, traffic. No model is built."""

from scaling_transformers.accelerators import Accelerator, accelerator, accelerators
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
from scaling_transformers.accounting.roofline import (
    MeasuredRoofline,
    Traffic,
    arithmetic_intensity,
    attainable_flops,
    least_seconds,
    measure_roofline,
)
from scaling_transformers.accounting.variation import ConfigArray, vary

__all__ = [
    "Accelerator",
    "ConfigArray",
    "FlopCount",
    "Growth",
    "MeasuredRoofline",
    "ParameterCount",
    "Traffic",
    "TrainingMemory",
    "TrainingRun",
    "accelerator",
    "accelerators",
    "arithmetic_intensity",
    "attainable_flops",
    "chinchilla_forward_flops",
    "count_parameters",
    "exponential_growth",
    "forward_flops",
    "kv_cache_bytes",
    "latent_cache_bytes",
    "least_seconds",
    "measure_roofline",
    "record_runs",
    "training_flops",
    "training_memory",
    "training_runs",
    "vary",
]
