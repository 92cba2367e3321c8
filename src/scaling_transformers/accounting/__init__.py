"""What a model costs, from its config alone: parameters, operations, memory, traffic. No model is built."""

from scaling_transformers.accelerators import Accelerator, accelerator, accelerators
from scaling_transformers.accounting.communication import (
    Collective,
    CollectiveBytes,
    collective_bytes,
    collective_seconds,
)
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
from scaling_transformers.accounting.mesh import Mesh, all_meshes, fits, require_mesh
from scaling_transformers.accounting.mesh_memory import MeshMemory, mesh_memory
from scaling_transformers.accounting.networks import Cluster, Network, cluster, clusters, network, networks
from scaling_transformers.accounting.parallel_runs import (
    ParallelRun,
    RunPrediction,
    parallel_runs,
    predict_run,
)
from scaling_transformers.accounting.parameters import (
    ParameterCount,
    count_parameters,
    latent_attention_parameters,
)
from scaling_transformers.accounting.planner import Plan, Plans, plan
from scaling_transformers.accounting.roofline import (
    MeasuredRoofline,
    Traffic,
    arithmetic_intensity,
    attainable_flops,
    least_seconds,
    measure_roofline,
)
from scaling_transformers.accounting.step_time import StepCost, bubble_fraction, least_batch, step_cost
from scaling_transformers.accounting.variation import ConfigArray, vary

__all__ = [
    "Accelerator",
    "Cluster",
    "Collective",
    "CollectiveBytes",
    "ConfigArray",
    "FlopCount",
    "Growth",
    "MeasuredRoofline",
    "Mesh",
    "MeshMemory",
    "Network",
    "ParallelRun",
    "ParameterCount",
    "Plan",
    "Plans",
    "RunPrediction",
    "StepCost",
    "Traffic",
    "TrainingMemory",
    "TrainingRun",
    "accelerator",
    "accelerators",
    "all_meshes",
    "arithmetic_intensity",
    "attainable_flops",
    "bubble_fraction",
    "chinchilla_forward_flops",
    "cluster",
    "clusters",
    "collective_bytes",
    "collective_seconds",
    "count_parameters",
    "exponential_growth",
    "fits",
    "forward_flops",
    "kv_cache_bytes",
    "latent_attention_parameters",
    "latent_cache_bytes",
    "least_batch",
    "least_seconds",
    "measure_roofline",
    "mesh_memory",
    "network",
    "networks",
    "parallel_runs",
    "plan",
    "predict_run",
    "record_runs",
    "require_mesh",
    "step_cost",
    "training_flops",
    "training_memory",
    "training_runs",
    "vary",
]
