"""How large models were really trained: published meshes, and the speed that was reported of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from scaling_transformers._tables import read_rows
from scaling_transformers.accounting._step import make_step
from scaling_transformers.accounting.flops import forward_flops
from scaling_transformers.accounting.mesh import Mesh
from scaling_transformers.accounting.networks import Cluster, cluster
from scaling_transformers.accounting.step_time import EFFICIENCY, StepCost, count_cost
from scaling_transformers.config import TransformerConfig
from scaling_transformers.presets import preset

_FAMILIES = {
    "gpt": {"activation": "gelu_tanh"},
    "bloom": {"activation": "gelu", "position": "alibi"},
    "palm": {
        "activation": "swiglu", "position": "rotary", "norm": "rmsnorm", "bias": False
    },
}  # fmt: skip
_SIZES = ("n_layer", "d_model", "n_head", "n_kv_head", "d_head", "d_ff", "vocab_size")
MEASURES = ("seconds", "tokens/s", "hardware TFLOP/s", "model TFLOP/s")


@dataclass(frozen=True)
class ParallelRun:
    """A training step as published, a row of ``data/parallel_runs.csv``.

    Attributes
    ----------
    name : str
    config : TransformerConfig
        Sizes as published; embeddings count as untied where there is a pipeline, whose ends both hold them.
    mesh : Mesh
    batch, seq_len, accumulate : int
    cluster : Cluster
    checkpointing, sharding, sequence_parallel, gradient_bytes
        As for `step_cost`.
    measure : str
        What was reported: ``"seconds"`` of a step, ``"tokens/s"``, or TFLOP/s of a device, of which
        ``"hardware TFLOP/s"`` count what is computed again and ``"model TFLOP/s"`` do not.
    reported : float
    use : str
        ``"calibration"`` for the one run from which the default ``efficiency`` comes, else ``"prediction"``.
    source : str
        And what the source does not say and is assumed.
    """

    name: str
    config: TransformerConfig
    mesh: Mesh
    batch: int
    seq_len: int
    accumulate: int
    cluster: Cluster
    checkpointing: str
    sharding: str
    sequence_parallel: bool
    gradient_bytes: float | None
    measure: str
    reported: float
    use: str
    source: str

    @property
    def seconds(self) -> float:
        """Of a step, from what was reported."""
        if self.measure == "seconds":
            return self.reported
        if self.measure == "tokens/s":
            return self.batch * self.seq_len / self.reported
        flops = self.flops
        if self.measure == "hardware TFLOP/s" and self.checkpointing == "full":
            parts = forward_flops(self.config, batch=1, seq_len=self.seq_len).by_part
            flops += self.batch * (sum(parts.values()) - parts["unembedding"])
        return float(flops / (self.mesh.n_device * self.reported * 1e12))

    @property
    def mfu(self) -> float:
        """Model FLOPs utilization, from what was reported, by the FLOPs of `forward_flops`."""
        peak = self.cluster.accelerator.peak_flops
        return float(self.flops / (self.seconds * self.mesh.n_device * peak))

    @property
    def flops(self) -> float:
        """FLOPs that a step needs: three forward passes."""
        return 3.0 * self.batch * forward_flops(self.config, batch=1, seq_len=self.seq_len).total


@dataclass(frozen=True)
class RunPrediction:
    """What `step_cost` says of a published run, beside what was reported.

    ``ratio`` is predicted over reported MFU: above 1 the run was slower than predicted.
    """

    run: ParallelRun
    cost: StepCost  #: What was predicted.

    @property
    def seconds(self) -> float:
        """Predicted seconds of a step."""
        return float(self.cost.seconds)

    @property
    def mfu(self) -> float:
        """Predicted model FLOPs utilisation, a share of the peak."""
        return float(self.cost.mfu)

    @property
    def ratio(self) -> float:
        """Predicted over reported MFU."""
        return self.mfu / self.run.mfu


def predict_run(run: ParallelRun, *, efficiency: float = EFFICIENCY, overlap: bool = True) -> RunPrediction:
    """Predict the step of a published run, from its mesh, its cluster and ``efficiency`` alone.

    Unlike `step_cost` it takes meshes that the package's engine refuses: a key head of which each
    tensor-parallel device has a copy (PaLM), and stages without a block (Llama 3).

    Examples
    --------
    >>> prediction = predict_run(parallel_runs()[0])
    >>> 0.5 < prediction.ratio < 2
    True

    Source: the column ``source`` of ``data/parallel_runs.csv``, row by row.
    """
    config = run.config
    if config.n_kv_head < run.mesh.tensor:
        config = config.replace(n_kv_head=run.mesh.tensor)
    step = make_step(
        config,
        run.mesh,
        batch=run.batch,
        seq_len=run.seq_len,
        accumulate=run.accumulate,
        gradient_bytes=run.gradient_bytes,
        checkpointing=run.checkpointing,
        sharding=run.sharding,
        sequence_parallel=run.sequence_parallel,
        check=False,
    )
    return RunPrediction(run, count_cost(step, cluster=run.cluster, efficiency=efficiency, overlap=overlap))


@cache
def parallel_runs() -> tuple[ParallelRun, ...]:
    """Published training steps of GPT models (Megatron-LM, ZeRO, MT-NLG), BLOOM, PaLM and Llama 3.

    The third setting of Llama 3, which splits texts of 131,072 tokens among 16 devices (context parallelism),
    is none that a `Mesh` has, and is left out.

    Examples
    --------
    >>> [run.name for run in parallel_runs() if run.use == "calibration"]
    ['Megatron-LM 22B, recomputed']

    Source: the column ``source`` of ``data/parallel_runs.csv``, row by row.
    """
    return tuple(_read(row) for row in read_rows("parallel_runs.csv"))


def _read(row: dict[str, str]) -> ParallelRun:
    axes = {axis: int(row[axis]) for axis in ("data", "shard", "tensor", "pipeline", "chunks")}
    mesh, seq_len = Mesh(**axes), int(row["seq_len"])
    if row["preset"]:
        config = preset(row["preset"])
    else:
        sizes = {size: int(row[size]) for size in _SIZES if row[size]}
        config = TransformerConfig(**sizes, n_ctx=seq_len, **_FAMILIES[row["family"]])  # type: ignore[arg-type]
    if mesh.pipeline > 1:
        config = config.replace(tie_embeddings=False)
    return ParallelRun(
        name=row["name"],
        config=config,
        mesh=mesh,
        batch=int(row["batch"]),
        seq_len=seq_len,
        accumulate=int(row["accumulate"]),
        cluster=cluster(row["cluster"]),
        checkpointing=row["checkpointing"],
        sharding=row["sharding"],
        sequence_parallel=row["sequence_parallel"] == "yes",
        gradient_bytes=float(row["gradient_bytes"]) if row["gradient_bytes"] else None,
        measure=row["measure"],
        reported=float(row["reported"]),
        use=row["use"],
        source=row["source"],
    )
