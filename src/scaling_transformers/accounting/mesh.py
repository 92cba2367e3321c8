"""How the devices of a cluster share the work of a model: five axes, whose product is their number."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any

from scaling_transformers._numpy import np
from scaling_transformers.config import TransformerConfig

AXES = ("data", "shard", "tensor", "pipeline", "expert")


@dataclass(frozen=True)
class Mesh:
    """Devices along five axes; each axis splits another thing.

    Each number is whole and at least 1, or an array of such numbers: then a `Mesh` stands for many, as
    `all_meshes` makes it, and what is counted of it are arrays.

    Parameters
    ----------
    data : int
        Copies of the model, each of which reads its part of the batch.
    shard : int
        Parts of the batch as well, but the weights, gradients and optimiser states are split among them.
    tensor : int
        Parts of each matrix: heads, hidden units and vocabulary are split.
    pipeline : int
        Stages of consecutive blocks, through which the parts of a batch follow each other.
    expert : int
        Parts of the batch as well, among which the experts of each block are split.
    chunks : int
        Stages that each device of the pipeline holds, in turn with the others (interleaved); not an axis.

    Raises
    ------
    ValueError
        If a number is not whole or below 1, arrays do not broadcast, or ``chunks`` is above 1 without a
        pipeline.

    Examples
    --------
    >>> mesh = Mesh(data=4, tensor=2)
    >>> mesh.n_device, mesh.n_batch
    (8, 4)
    """

    data: Any = 1
    shard: Any = 1
    tensor: Any = 1
    pipeline: Any = 1
    expert: Any = 1
    chunks: Any = 1

    def __post_init__(self) -> None:
        for axis in fields(self):
            value = getattr(self, axis.name)
            array = np.asarray(value)
            if array.dtype.kind not in "iu" or array.size == 0 or array.min() < 1:
                raise ValueError(f"{axis.name} must be a whole number of at least 1; got {value!r}")
            whole = int(value) if isinstance(value, Integral) else array
            object.__setattr__(self, axis.name, whole)
        np.broadcast_shapes(*(np.shape(getattr(self, axis.name)) for axis in fields(self)))
        if np.any((np.asarray(self.chunks) > 1) & (np.asarray(self.pipeline) == 1)):
            raise ValueError(f"chunks needs a pipeline of at least 2 stages; got {self.chunks!r}")

    @property
    def n_device(self) -> Any:
        """Devices in all: the product of the axes."""
        return math.prod(getattr(self, axis) for axis in AXES)

    @property
    def n_batch(self) -> Any:
        """Parts into which a batch is split: ``data * shard * expert``."""
        return self.data * self.shard * self.expert

    @property
    def n_stage(self) -> Any:
        """Stages of the pipeline: ``pipeline * chunks``."""
        return self.pipeline * self.chunks

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the arrays; () for a single mesh."""
        return np.broadcast_shapes(*(np.shape(getattr(self, axis.name)) for axis in fields(self)))

    def __getitem__(self, index: Any) -> Mesh:
        """Some of many meshes, or one of them."""
        chosen = {
            axis.name: np.broadcast_to(getattr(self, axis.name), self.shape)[index] for axis in fields(self)
        }
        return Mesh(**chosen)

    def __str__(self) -> str:
        if self.shape:
            return f"{math.prod(self.shape):,} meshes"
        used = [f"{axis.name} {getattr(self, axis.name)}" for axis in fields(self)]
        return " x ".join(text for text in used if not text.endswith(" 1")) or "one device"


def all_meshes(n_device: int, *, axes: tuple[str, ...] = AXES, chunks: tuple[int, ...] = (1,)) -> Mesh:
    """Every mesh of ``n_device`` devices, as one `Mesh` of arrays.

    Parameters
    ----------
    n_device : int
    axes : tuple of str
        Those that may be above 1.
    chunks : tuple of int
        Of these, each is tried where there is a pipeline.

    Examples
    --------
    >>> meshes = all_meshes(8, axes=("data", "tensor"))
    >>> [str(meshes[i]) for i in range(4)]
    ['tensor 8', 'data 2 x tensor 4', 'data 4 x tensor 2', 'data 8']
    """
    if isinstance(n_device, bool) or not isinstance(n_device, Integral) or n_device < 1:
        raise ValueError(f"n_device must be a whole number of at least 1; got {n_device!r}")
    unknown = [axis for axis in axes if axis not in AXES]
    if unknown or not axes:
        raise ValueError(f"axes must be some of {AXES}; got {axes!r}")
    split = np.array(list(_factorisations(int(n_device), len(axes))), dtype=np.int64)
    columns = dict(zip(axes, split.T, strict=True))
    pipeline = columns.get("pipeline", np.ones(len(split), dtype=np.int64))
    rows = [
        np.column_stack([split, np.full(len(split), count)])[(pipeline > 1) | (count == 1)]
        for count in dict.fromkeys((1, *chunks))
        if count in chunks or count == 1
    ]
    table = np.concatenate(rows)
    return Mesh(**dict(zip((*axes, "chunks"), table.T, strict=True)))


def _factorisations(n: int, length: int) -> Iterator[tuple[int, ...]]:
    """All tuples of ``length`` whole numbers with the product ``n``, in order."""
    if length == 1:
        yield (n,)
        return
    for first in _divisors(n):
        for rest in _factorisations(n // first, length - 1):
            yield (first, *rest)


def _divisors(n: int) -> list[int]:
    small = [d for d in range(1, math.isqrt(n) + 1) if n % d == 0]
    return sorted({*small, *(n // d for d in small)})


def _problems(
    config: TransformerConfig, mesh: Mesh, *, batch: Any, n_micro: Any
) -> Iterator[tuple[Any, str]]:
    """What must hold for a model and a batch to be split so: whether it does, and what to say if not."""
    for axis, names in (
        ("tensor", ("n_head", "n_kv_head", "d_ff", "vocab_size")),
        ("expert", ("n_expert",)),
    ):
        for name in names:
            size, ways = getattr(config, name), getattr(mesh, axis)
            hint = "; pad the vocabulary to a multiple" if name == "vocab_size" else ""
            yield size % ways == 0, f"{axis} must divide {name}={size}; got {ways}{hint}"
    stages = mesh.n_stage
    yield (
        stages <= config.n_layer,
        f"pipeline must have at most n_layer={config.n_layer} stages; got {stages}"
        + (f" (pipeline {mesh.pipeline} x chunks {mesh.chunks})" if np.any(mesh.chunks != 1) else ""),
    )
    if config.tie_embeddings:
        yield (
            mesh.pipeline == 1,
            f"pipeline needs tie_embeddings=False in the config, for its ends are on different devices; "
            f"got pipeline {mesh.pipeline}",
        )
    beyond = (mesh.tensor > 1) | (mesh.pipeline > 1) | (mesh.expert > 1)
    if config.kind != "decoder":
        yield ~np.asarray(beyond), f"tensor, pipeline and expert need kind='decoder'; got {config.kind!r}"
    if config.skips is not None:
        yield ~np.asarray(beyond), f"tensor, pipeline and expert cannot go with {config.skips} in the config"
    if config.balance == "bias":
        yield mesh.n_batch == 1, "balance='bias' sees one device's tokens only; take balance='loss'"
    parts = mesh.n_batch * n_micro
    yield (
        batch % parts == 0,
        f"batch must be a multiple of {parts}, its parts (data x shard x expert {mesh.n_batch}, each in "
        f"{n_micro} parts one after the other); got {batch}",
    )
    yield (
        n_micro >= mesh.pipeline,
        f"accumulate must be at least pipeline={mesh.pipeline}, so that all stages have work; got {n_micro}",
    )
    yield (
        (mesh.chunks == 1) | (n_micro % mesh.pipeline == 0),
        f"accumulate must be a multiple of pipeline={mesh.pipeline} with chunks above 1; got {n_micro}",
    )


def require_mesh(
    config: TransformerConfig, mesh: Mesh, *, batch: int, accumulate: int = 1, n_device: int | None = None
) -> None:
    """Raise `ValueError` unless a model and a batch can be split over a mesh; nothing is started for it.

    Parameters
    ----------
    batch : int
        Texts a step, on all devices together.
    accumulate : int
        Parts in which each device's texts follow each other: a pipeline's micro-batches.
    n_device : int, optional
        Devices that there are; the axes must multiply to it.

    Raises
    ------
    ValueError
        Names the axis, what came, and the size of the model that it must fit.

    Examples
    --------
    >>> require_mesh(TransformerConfig(2, 64, 4, 256, 32), Mesh(tensor=3), batch=8)
    Traceback (most recent call last):
        ...
    ValueError: tensor must divide n_head=4; got 3
    """
    if not isinstance(mesh, Mesh) or mesh.shape:
        raise ValueError(f"mesh must be one Mesh; got {mesh!s}")
    if n_device is not None and mesh.n_device != n_device:
        sizes = " x ".join(f"{axis} {getattr(mesh, axis)}" for axis in AXES)
        raise ValueError(
            f"the axes of a mesh must multiply to the {n_device} devices there are; got {sizes} = "
            f"{mesh.n_device}"
        )
    for name, value in (("batch", batch), ("accumulate", accumulate)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}")
    for holds, message in _problems(config, mesh, batch=batch, n_micro=accumulate):
        if not np.all(holds):
            raise ValueError(message)


def fits(config: TransformerConfig, meshes: Mesh, *, batch: Any, accumulate: Any = 1) -> Any:
    """Of many meshes, which ones `require_mesh` lets pass: boolean, of the shape that all broadcast to."""
    held = [np.asarray(holds) for holds, _ in _problems(config, meshes, batch=batch, n_micro=accumulate)]
    return np.logical_and.reduce(np.broadcast_arrays(*held))


def stage_layers(n_layer: int, n_stage: int) -> list[range]:
    """The blocks of each stage of a pipeline, as even as can be; the first stages have those left over.

    Examples
    --------
    >>> stage_layers(7, 3)
    [range(0, 3), range(3, 5), range(5, 7)]
    """
    if not 1 <= n_stage <= n_layer:
        raise ValueError(f"n_stage must be from 1 to n_layer={n_layer}; got {n_stage}")
    sizes = [n_layer // n_stage + (stage < n_layer % n_stage) for stage in range(n_stage)]
    ends = list(itertools.accumulate(sizes))
    return [range(end - size, end) for size, end in zip(sizes, ends, strict=True)]
