"""What a process really sends: every collective, seen as torch hands it to its back end."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scaling_transformers.accounting.mesh import Mesh

# What an operation is, and which of its tensors says how much it moves: the larger side of each collective.
_KINDS = {
    "allreduce_": ("all-reduce", "first"),
    "all_reduce": ("all-reduce", "first"),
    "all_reduce_": ("all-reduce", "first"),
    "_allgather_base_": ("all-gather", "largest"),
    "allgather_": ("all-gather", "outputs"),
    "all_gather_into_tensor": ("all-gather", "times ranks"),
    "_reduce_scatter_base_": ("reduce-scatter", "largest"),
    "reduce_scatter_tensor": ("reduce-scatter", "first"),
    "alltoall_base_": ("all-to-all", "second"),
    "all_to_all_single": ("all-to-all", "first"),
    "broadcast_": ("broadcast", "first"),
    "broadcast": ("broadcast", "first"),
    "scatter_": ("scatter", "largest"),
    "gather_": ("gather", "largest"),
    "send": ("send", "first"),
    "recv_": ("receive", "first"),
}
_SILENT = ("wait_tensor", "_wrap_tensor_autograd", "barrier", "monitored_barrier_")


class Moved(NamedTuple):
    """One collective of one process."""

    axis: str  #: Of the mesh.
    kind: str  #: Which collective.
    n_rank: int  #: Processes that take part.
    bytes: int  #: Payload of this process.


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, every collective of this process is noted, step by step.

    Parameters
    ----------
    mesh : Mesh
        Names the group of all processes, where an axis has them all; the others say which axis they serve.

    Attributes
    ----------
    steps : list of lists of Moved
        `next_step` begins a new one. The bytes are those of the tensor that is reduced, of the gathered
        output, of what is reduced and scattered, and of what is sent.

    Raises
    ------
    RuntimeError
        At a collective that it does not know, so that none goes uncounted.
    """

    def __init__(self, mesh: Mesh) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.mesh = mesh
        self.steps: list[list[Moved]] = [[]]

    def next_step(self) -> None:
        """What comes now belongs to another step."""
        self.steps.append([])

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(kind is DTensor for kind in types):
            return (
                NotImplemented  # it first takes itself apart, among others into collectives, which come here
            )
        if function.namespace in ("c10d", "_c10d_functional"):
            self._note(function.__name__.split(".")[0], args, kwargs or {})
        return function(*args, **(kwargs or {}))

    def _note(self, name: str, args: Any, kwargs: Any) -> None:
        if name in _SILENT:
            return
        if name not in _KINDS:
            raise RuntimeError(f"a collective that is not counted: {name}")
        kind, which = _KINDS[name]
        leaves = tree_leaves((args, kwargs))
        group = next(found for leaf in leaves if (found := _group(leaf)) is not None)
        sizes = [leaf.numel() * leaf.element_size() for leaf in leaves if isinstance(leaf, Tensor)]
        n_rank = group.size()
        size = {
            "first": sizes[0],
            "second": sizes[1 if len(sizes) > 1 else 0],
            "largest": max(sizes),
            "outputs": sum(sizes[:n_rank]),
            "times ranks": sizes[0] * n_rank,
        }[which]
        self.steps[-1].append(Moved(self._axis(group, kind), kind, n_rank, size))

    def _axis(self, group: dist.ProcessGroup, kind: str) -> str:
        if group.group_desc.startswith("mesh_"):
            return group.group_desc.removeprefix("mesh_")
        if kind == "all-to-all":
            return "expert"
        whole = [axis for axis in ("shard", "tensor", "pipeline") if getattr(self.mesh, axis) == group.size()]
        return whole[0] if whole and group.size() > 1 else "data"


def _group(leaf: Any) -> Any:
    """The process group that an argument is or names, if any."""
    if isinstance(leaf, str):
        try:
            return dist.distributed_c10d._resolve_process_group(leaf)  # type: ignore[attr-defined, arg-type]
        except (ValueError, LookupError, RuntimeError):
            return None
    if isinstance(leaf, dist.ProcessGroup):
        return leaf
    try:
        return dist.ProcessGroup.unbox(leaf)
    except (TypeError, RuntimeError, AttributeError):
        return None
