"""Which mesh to train on: all of them, and the few that no other beats in time, memory and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scaling_transformers._numpy import NDArray, np
from scaling_transformers.accounting._inputs import require_positive
from scaling_transformers.accounting.mesh import AXES, Mesh, all_meshes, fits
from scaling_transformers.accounting.networks import Cluster
from scaling_transformers.accounting.step_time import step_cost
from scaling_transformers.config import TransformerConfig


@dataclass(frozen=True)
class Plan:
    """One way to train: a mesh, and what it takes.

    Attributes
    ----------
    mesh : Mesh
    accumulate : int
        Micro-batches a step.
    step_seconds, seconds : float
        Of a step, and of the whole training.
    memory_bytes : float
        Of the busiest device.
    device_hours, cost : float
        Devices times hours, and that times the price.
    mfu : float
    """

    mesh: Mesh
    accumulate: int
    step_seconds: float
    seconds: float
    memory_bytes: float
    device_hours: float
    cost: float
    mfu: float


@dataclass(frozen=True)
class Plans:
    """What a search found: the plans that none beats, fastest first, and how many there were.

    Attributes
    ----------
    plans : tuple of Plan
        For each, no other is as good in time, memory and cost, and better in one of them.
    n_mesh : int
        Meshes with a number of micro-batches that were looked at.
    n_fit : int
        Of those, the ones that fit the model, the batch and the memory.
    """

    plans: tuple[Plan, ...]
    n_mesh: int
    n_fit: int

    @property
    def fastest(self) -> Plan:
        """The plan that takes the least time."""
        return self.plans[0]


def plan(
    config: TransformerConfig,
    *,
    n_tokens: float,
    batch: int,
    seq_len: int,
    cluster: Cluster,
    n_device: int | Sequence[int],
    price: float = 1.0,
    axes: tuple[str, ...] = AXES,
    chunks: tuple[int, ...] = (1,),
    accumulate: Sequence[int] | None = None,
    **options: Any,
) -> Plans:
    """Search all meshes for those that no other beats in time, memory and cost.

    It believes `step_cost`, by which thousands of devices gather weights at the full rate of their network.
    Published runs that relied on it were up to four times slower (ZeRO-3 in `parallel_runs`), and most large
    ones chose pipelines instead; a ``cluster`` with less ``bandwidth`` between nodes shows what that changes.

    Parameters
    ----------
    n_tokens : float
        Tokens to train on, repeats included.
    batch, seq_len : int
        Texts a step, on all devices together, and tokens in each.
    cluster : Cluster
    n_device : int or several
        Devices to use; with several numbers, plans of each compete: more devices take less time, and cost
        more, for they wait more for each other.
    price : float
        Of a device for an hour.
    axes, chunks
        As for `all_meshes`.
    accumulate : several int, optional
        Numbers of micro-batches to try. Default: every power of two, and every number of texts that a part of
        the batch can have, by which each comes alone.
    **options
        As for `step_cost`: ``efficiency``, ``overlap``, ``checkpointing``, ``sharding``, ...

    Returns
    -------
    Plans

    Raises
    ------
    ValueError
        If no mesh fits the model and the batch, or none the memory; the message then says what is missing.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> from scaling_transformers.accounting import cluster
    >>> found = plan(preset("llama-2-70b"), n_tokens=2e12, batch=1024, seq_len=4096,
    ...     cluster=cluster("DGX H100"), n_device=512, price=2.0)
    >>> print(found.fastest.mesh)
    shard 64 x tensor 4 x pipeline 2
    """
    n_tokens = require_positive(n_tokens, name="n_tokens")
    price = require_positive(price, name="price")
    counts = list(n_device) if isinstance(n_device, Sequence) else [n_device]
    meshes = _join([all_meshes(count, axes=axes, chunks=chunks) for count in counts])
    tried = _micro_batches(meshes, batch, accumulate)
    rows, n_micro = (index.ravel() for index in np.meshgrid(np.arange(len(meshes.data)), tried))
    fitting = fits(config, meshes[rows], batch=batch, accumulate=n_micro)
    if not fitting.any():
        raise ValueError(
            f"n_device must be such that a mesh fits: none of {rows.size} (with numbers of micro-batches) "
            f"splits the model and a batch of {batch}; got {n_device}"
        )
    rows, n_micro = rows[fitting], n_micro[fitting]
    chosen = meshes[rows]
    cost = step_cost(
        config, chosen, batch=batch, seq_len=seq_len, accumulate=n_micro, cluster=cluster, **options
    )
    if not cost.fits_memory.any():
        raise ValueError(
            f"n_device must be such that a mesh fits the {cluster.accelerator.memory_bytes / 1e9:.0f} GB of "
            f"a device; the least is {cost.memory.total.min() / 1e9:.0f} GB, with {n_device} (less with "
            "checkpointing='full' or sequence_parallel=True)"
        )
    kept = np.flatnonzero(cost.fits_memory)
    seconds = cost.seconds[kept] * n_tokens / (batch * seq_len)
    hours = seconds / 3600 * np.broadcast_to(chosen.n_device, chosen.shape)[kept]
    memory = cost.memory.total[kept]
    best = _undominated(np.column_stack([seconds, memory, hours]))
    plans = tuple(
        Plan(
            chosen[kept[row]],
            int(n_micro[kept[row]]),
            float(cost.seconds[kept[row]]),
            float(seconds[row]),
            float(memory[row]),
            float(hours[row]),
            float(hours[row] * price),
            float(cost.mfu[kept[row]]),
        )
        for row in best
    )
    return Plans(plans, fitting.size, kept.size)


def _join(meshes: list[Mesh]) -> Mesh:
    """Several arrays of meshes as one."""
    names = (*AXES, "chunks")
    columns = {
        name: np.concatenate([np.broadcast_to(getattr(each, name), each.shape) for each in meshes])
        for name in names
    }
    return Mesh(**columns)


def _micro_batches(meshes: Mesh, batch: int, accumulate: Sequence[int] | None) -> NDArray[np.int64]:
    """Numbers of micro-batches to try."""
    if accumulate is not None:
        return np.unique(np.asarray(accumulate, dtype=np.int64))
    parts = np.unique(meshes.n_batch)
    alone = batch // parts[(batch % parts == 0)]
    powers = 2 ** np.arange(int(batch).bit_length())
    return np.unique(np.concatenate([powers[powers <= batch], alone])).astype(np.int64)


def _undominated(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of which no other row is at most as large in every column and smaller in one; smallest first."""
    order = np.lexsort(points.T[::-1])
    kept: list[int] = []
    front = np.empty((0, points.shape[1]))
    for row in order:  # whatever beats a row comes before it in this order
        point = points[row]
        if not np.any(np.all(front <= point, axis=1)):
            kept.append(int(row))
            front = np.vstack([front, point])
    return np.array(kept, dtype=np.int64)
