"""Seconds of a training step on a mesh: compute, what communication adds to it, and the pipeline's bubble."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

from scaling_transformers._numpy import np
from scaling_transformers.accounting._step import Step, make_step
from scaling_transformers.accounting.communication import (
    CollectiveBytes,
    collective_seconds,
    count_collectives,
)
from scaling_transformers.accounting.flops import experts_a_token, forward_flops
from scaling_transformers.accounting.mesh import Mesh
from scaling_transformers.accounting.mesh_memory import MeshMemory, count_memory
from scaling_transformers.accounting.networks import Cluster
from scaling_transformers.accounting.variation import vary
from scaling_transformers.config import TransformerConfig

EFFICIENCY = 0.563
"""Of the peak, reached by matrix products; `parallel_runs` has the one run from which it comes."""


@dataclass(frozen=True)
class StepCost:
    """What a training step takes: floats of one mesh, arrays of many.

    Attributes
    ----------
    compute : float
        Seconds of arithmetic on the busiest device, what is computed again included.
    communication : dict of str to float
        Seconds that each axis communicates, hidden behind arithmetic or not.
    exposed : float
        Of those, what adds to the step.
    bubble : float
        Seconds that devices of a pipeline wait for each other.
    seconds : float
        ``compute + exposed + bubble``.
    mfu : float
        Model FLOPs utilization: the FLOPs that the model needs over what all devices could do meanwhile.
    memory : MeshMemory
    fits_memory : bool
        Whether ``memory.total`` is at most the accelerator's.
    """

    compute: Any
    communication: dict[str, Any]
    exposed: Any
    bubble: Any
    seconds: Any
    mfu: Any
    memory: MeshMemory
    fits_memory: Any


def bubble_fraction(mesh: Mesh, accumulate: Any) -> Any:
    """Share of a step that each device of a pipeline idles: ``(p - 1) / (m v + p - 1)``.

    Of ``p`` devices that each hold ``v`` chunks, ``m`` micro-batches; a device computes for m v turns, and
    waits for p - 1.

    Parameters
    ----------
    accumulate : int
        Micro-batches, or an array of them.

    Examples
    --------
    >>> bubble_fraction(Mesh(pipeline=4), 9), bubble_fraction(Mesh(pipeline=4, chunks=3), 9)
    (0.25, 0.1)

    Source: Narayanan et al. 2021, sections 2.2.1 and 2.2.2, where (p - 1) / m v is that of the time without
    a bubble.
    """
    array = np.asarray(accumulate)
    if array.dtype.kind not in "iu" or array.size == 0 or array.min() < 1:
        raise ValueError(f"accumulate must be a whole number of at least 1; got {accumulate!r}")
    fraction = (mesh.pipeline - 1) / (array * mesh.chunks + mesh.pipeline - 1)
    return float(fraction) if np.ndim(fraction) == 0 else fraction


def step_cost(
    config: TransformerConfig,
    mesh: Mesh,
    *,
    batch: Any,
    seq_len: Any,
    accumulate: Any = 1,
    cluster: Cluster,
    efficiency: float = EFFICIENCY,
    overlap: bool = True,
    bytes_per_element: float = 2,
    gradient_bytes: float | None = None,
    optimizer_bytes: float | None = None,
    checkpointing: str = "selective",
    sharding: str = "all",
    sequence_parallel: bool = False,
) -> StepCost:
    """Predict the time of a training step from what is computed and what is sent.

    - Arithmetic: three forward passes by `forward_flops`, with ``checkpointing="full"`` a fourth of the
      blocks, split evenly but for the pipeline's stages, of which the busiest counts. Matrix products reach
      ``efficiency``; norms, sums, nonlinearities and, unless attention is fused (``"selective"``), its
      softmax, wait for the memory of the accelerator, from which they read and to which they write.
    - What ``tensor``, ``expert`` and ``pipeline`` send is waited for.
    - What ``data`` and ``shard`` send hides behind arithmetic, as far as it goes: weights that are gathered
      for a pass behind that pass; gradients behind the backward pass of the last micro-batch, for they are
      not complete before; weights that are gathered once behind the forward pass of the first one.
    - The bubble is that of `bubble_fraction`, of all but what ``data`` and ``shard`` add.
    - The optimizer's own step, loading data and logging take nothing.

    Parameters
    ----------
    mesh, batch, seq_len, accumulate, bytes_per_element, gradient_bytes, sharding, sequence_parallel
        As for `collective_bytes`.
    optimizer_bytes, checkpointing
        As for `mesh_memory`.
    cluster : Cluster
    efficiency : float
        Share of the accelerator's peak that matrix products reach. The default is the one at which one
        published run comes out right, that of `parallel_runs` with ``use="calibration"``: 22 billion
        parameters on the 8 A100s of one node. Wider matrices reach more, and so may other accelerators.
    overlap : bool
        False: nothing hides behind arithmetic.

    Returns
    -------
    StepCost

    Raises
    ------
    ValueError
        If a mesh does not fit the config and the batch, or another argument is out of range.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> from scaling_transformers.accounting import cluster
    >>> cost = step_cost(preset("llama-2-7b"), Mesh(shard=8), batch=64, seq_len=4096,
    ...     cluster=cluster("DGX H100"))
    >>> cost.exposed < cost.compute / 10
    True

    Source: Narayanan et al. 2021, section 3, and Austin et al. 2025 (How to scale your model), part 5.
    """
    step = make_step(
        config,
        mesh,
        batch=batch,
        seq_len=seq_len,
        accumulate=accumulate,
        bytes_per_element=bytes_per_element,
        gradient_bytes=gradient_bytes,
        checkpointing=checkpointing,
        sharding=sharding,
        sequence_parallel=sequence_parallel,
    )
    return count_cost(
        step, cluster=cluster, efficiency=efficiency, overlap=overlap, optimizer_bytes=optimizer_bytes
    )


def count_cost(
    step: Step,
    *,
    cluster: Cluster,
    efficiency: float,
    overlap: bool,
    optimizer_bytes: float | None = None,
) -> StepCost:
    """`step_cost` of a step."""
    _require_cluster(cluster, efficiency)
    if not isinstance(overlap, bool):
        raise ValueError(f"overlap must be True or False; got {overlap!r}")
    moved = count_collectives(step)
    seconds = {
        axis: step.result(taken) for axis, taken in collective_seconds(moved, step.mesh, cluster).items()
    }
    forward, backward = _compute(step, cluster, efficiency)
    compute = forward + backward
    windows = _windows(step, forward, backward, moved, cluster)
    late = sum(np.maximum(taken - window * overlap, 0.0) for taken, window in windows)
    waited = seconds["tensor"] + seconds["expert"] + seconds["pipeline"]
    bubble = (compute + waited) * (step.pipeline - 1) / (step.n_micro * step.chunks)
    exposed = waited + late + seconds["step"]
    total = compute + exposed + bubble
    model = _model_flops(step)
    memory = count_memory(step, optimizer_bytes=optimizer_bytes)
    return StepCost(
        compute=step.result(compute),
        communication=seconds,
        exposed=step.result(exposed),
        bubble=step.result(bubble),
        seconds=step.result(total),
        mfu=step.result(model / (total * step.n_device * cluster.accelerator.peak_flops)),
        memory=memory,
        fits_memory=memory.total <= cluster.accelerator.memory_bytes,
    )


def _require_cluster(cluster: Cluster, efficiency: float) -> None:
    if not isinstance(cluster, Cluster):
        raise ValueError(f"cluster must be a Cluster; got {type(cluster).__name__}")
    if isinstance(efficiency, bool) or not isinstance(efficiency, Real) or not 0 < efficiency <= 1:
        raise ValueError(f"efficiency must be above 0 and at most 1; got {efficiency!r}")


def _forward_parts(step: Step) -> tuple[Any, Any]:
    """FLOPs of the forward pass of one text: of all blocks, and behind them."""
    config = step.config
    if np.ndim(step.seq_len):
        parts = forward_flops(vary(config), batch=1, seq_len=step.seq_len.astype(np.int64)).by_part
    else:
        parts = forward_flops(config, batch=1, seq_len=int(step.seq_len)).by_part
    last = parts["unembedding"] + parts["pooler"]
    return sum(parts.values()) - last, last


def _model_flops(step: Step) -> Any:
    """FLOPs that a step needs: three forward passes."""
    blocks, last = _forward_parts(step)
    return 3.0 * step.batch * (blocks + last)


def _compute(step: Step, cluster: Cluster, efficiency: float) -> tuple[Any, Any]:
    """Seconds of the forward and the backward passes of a step on the busiest device."""
    peak, bandwidth = cluster.accelerator.peak_flops * efficiency, cluster.accelerator.bandwidth
    blocks, last = _forward_parts(step)
    n_text = step.batch / (step.data * step.shard * step.expert)
    moved = _between_products(step)
    of_block = n_text * blocks / step.n_block / step.tensor / peak
    of_block = of_block + n_text * step.seq_len * step.element * moved / bandwidth
    of_last = n_text * last / step.tensor / peak
    again = 1.0 if step.checkpointing == "full" else 0.0
    busiest = step.most(of_block, 0.0, of_last)
    twice = step.most((2 + again) * of_block, 0.0, 2 * of_last)
    return busiest, twice


def _between_products(step: Step) -> Any:
    """Elements that a block reads and writes between its products, of a token: forward, on one device.

    Each of these is a kernel of its own: two norms, two sums into the residual stream, the nonlinearity, and
    the softmax, unless attention is fused (``"selective"``).
    """
    config = step.config
    stream = 2 * 2 * config.d_model + 2 * 3 * config.d_model
    n_hidden = 3 if config.activation in ("swiglu", "geglu") else 2
    split = experts_a_token(config) * n_hidden * config.d_ff
    if step.checkpointing != "selective":
        split = split + 2 * config.n_head * step.seq_len
    return stream / (step.tensor if step.sequence_parallel else 1.0) + split / step.tensor


def _windows(
    step: Step, forward: Any, backward: Any, moved: CollectiveBytes, cluster: Cluster
) -> list[tuple[Any, Any]]:
    """What can hide behind arithmetic, and behind how much: pairs of seconds."""

    def taken(**chosen: str) -> Any:
        return sum(collective_seconds(moved.select(**chosen), step.mesh, cluster).values())

    weights = taken(axis="shard", kind="all-gather")
    gradients = taken(axis="data") + taken(axis="shard", kind="reduce-scatter")
    first, last = forward / step.n_micro, backward / step.n_micro
    once = (step.pipeline > 1) | (step.sharding != "all")
    in_each_pass = weights / 2
    return [
        (np.where(once, weights, in_each_pass), np.where(once, first, forward)),
        (np.where(once, 0.0, in_each_pass * (1 - 1 / step.n_micro)), backward - last),
        (gradients + np.where(once, 0.0, in_each_pass / step.n_micro), last),
    ]


def least_batch(
    config: TransformerConfig,
    mesh: Mesh,
    *,
    seq_len: Any,
    cluster: Cluster,
    efficiency: float = EFFICIENCY,
    bytes_per_element: float = 2,
    gradient_bytes: float | None = None,
    checkpointing: str = "selective",
    sharding: str = "all",
) -> Any:
    """Texts a step below which what ``data`` and ``shard`` send takes longer than what it hides behind.

    With one micro-batch, which needs the fewest texts. Arithmetic grows with the batch, and the bytes of
    weights and gradients do not, so that the two meet at one batch. With nothing but matrix products, p
    devices, gradients of g bytes and weights of e, it is in tokens a device

    - for ``data``, whose gradients go 2 (p - 1) / p times over the wire in the 4 FLOPs a weight and token of
      the backward pass: ``(p - 1) / p * g / 2 * peak / bandwidth``;
    - for ``shard``, whose weights are gathered in the 2 FLOPs of the forward pass: the same with e for g.

    The latencies of the collectives, and the embedding, which is sent but not multiplied, add to it.

    For ``tensor`` there is no such batch, for both sides grow with it: what it sends in a block,
    ``4 (t - 1) / t * e * d_model`` bytes a token in each direction, takes longer than the block's products
    where ``t - 1 > n_params_of_block * bandwidth / (2 * e * d_model * peak)``, at any batch.

    Parameters
    ----------
    mesh, seq_len, cluster, efficiency, bytes_per_element, gradient_bytes, checkpointing, sharding
        As for `step_cost`.

    Returns
    -------
    float, or of many meshes an array
        Of all devices together; not rounded to what the mesh can split. 0 where neither axis is used.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> from scaling_transformers.accounting import cluster
    >>> texts = least_batch(preset("llama-2-7b"), Mesh(shard=64), seq_len=4096,
    ...     cluster=cluster("Llama 3 production"), efficiency=1)
    >>> f"{texts * 4096 / 64:.0f} tokens a device"
    '2496 tokens a device'

    Source: Austin et al. 2025 (How to scale your model), part 5.
    """
    _require_cluster(cluster, efficiency)
    step = make_step(
        config,
        mesh,
        batch=1,
        seq_len=seq_len,
        accumulate=1,
        bytes_per_element=bytes_per_element,
        gradient_bytes=gradient_bytes,
        checkpointing=checkpointing,
        sharding=sharding,
        check=False,
    )
    moved = count_collectives(step)
    forward, backward = _compute(step, cluster, efficiency)
    windows = _windows(step, forward, backward, moved, cluster)
    ratios = [taken / np.where(window > 0, window, np.inf) for taken, window in windows]
    return step.result(np.maximum.reduce(np.broadcast_arrays(*ratios)))
