"""A training step on many meshes at once: sizes as arrays, and what each device of a mesh holds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from scaling_transformers._numpy import np
from scaling_transformers.accounting._inputs import require_positive
from scaling_transformers.accounting.memory import CHECKPOINTING
from scaling_transformers.accounting.mesh import Mesh, fits, require_mesh
from scaling_transformers.config import TransformerConfig

SHARDING = ("all", "gradients", "optimizer")


@dataclass(frozen=True)
class Step:
    """A model, a mesh, a batch and how it is trained, all checked by `make_step`.

    Numbers are float64, arrays of them where there are many meshes. ``n_micro`` is the number of
    micro-batches, and ``tokens`` those of one of them on one device; ``element`` and ``gradient`` are bytes.
    """

    config: TransformerConfig
    mesh: Mesh
    data: Any
    shard: Any
    tensor: Any
    pipeline: Any
    expert: Any
    chunks: Any
    n_micro: Any
    batch: Any
    seq_len: Any
    shape: tuple[int, ...]
    element: float
    gradient: float
    checkpointing: str
    sharding: str
    sequence_parallel: bool

    @property
    def tokens(self) -> Any:
        return self.batch / (self.data * self.shard * self.expert * self.n_micro) * self.seq_len

    @property
    def n_device(self) -> Any:
        return self.data * self.shard * self.tensor * self.pipeline * self.expert

    @property
    def n_block(self) -> int:
        """Blocks that have weights: one, where it is run over and over."""
        return 1 if self.config.halting is not None else self.config.n_layer

    def layers(self, place: Any) -> Any:
        """Blocks of the device at a ``place`` along the pipeline, in all of its chunks."""
        n_stage = self.pipeline * self.chunks
        left_over = self.n_block % n_stage  # the first stages have one block more
        more = np.clip(np.ceil((left_over - place) / self.pipeline), 0, self.chunks)
        return self.chunks * (self.n_block // n_stage) + more

    def mean(self, block: Any, first: Any = 0.0, last: Any = 0.0) -> Any:
        """Mean over the devices of a pipeline of what its blocks and its two ends take."""
        return (self.n_block * block + first + last) / self.pipeline

    def most(self, block: Any, first: Any = 0.0, last: Any = 0.0, *, times: Any = None) -> Any:
        """The same of the device that takes most; ``times(place)`` multiplies what a device's blocks take.

        Only the first, the second and the last device can be that one: all between the ends are alike, but
        for those left over and for ``times``, and of both the first have more.
        """
        alone = self.pipeline == 1
        most: Any = 0.0
        for place, ends, exists in (
            (0.0, first + np.where(alone, last, 0.0), True),
            (1.0, 0.0, self.pipeline > 2),
            (self.pipeline - 1, last, ~alone),
        ):
            blocks = self.layers(place) * block * (1.0 if times is None else times(place))
            most = np.maximum(most, np.where(exists, blocks + ends, 0.0))
        return most

    @cached_property
    def held(self) -> Held:
        """What each device holds; ``experts`` those of one block."""

        def count(group: list[Matrix]) -> Any:
            total: Any = 0.0
            for matrix in group:
                rows = matrix.rows / self.tensor if matrix.split == "rows" else matrix.rows
                columns = matrix.columns / self.tensor if matrix.split == "columns" else matrix.columns
                total = total + matrix.n * np.ceil(rows / self.shard) * self.shard * columns
            return total

        parts = matrices(self.config)
        experts = count(parts.experts) / self.expert
        return Held(count(parts.block), experts, count(parts.first), count(parts.last))

    def result(self, value: Any) -> Any:
        """A float for one mesh, for many an array of their shape."""
        return float(value) if self.shape == () else np.array(np.broadcast_to(value, self.shape), dtype=float)


def make_step(
    config: TransformerConfig,
    mesh: Mesh,
    *,
    batch: Any,
    seq_len: Any,
    accumulate: Any,
    bytes_per_element: float = 2,
    gradient_bytes: float | None = None,
    checkpointing: str = "selective",
    sharding: str = "all",
    sequence_parallel: bool = False,
    check: bool = True,
) -> Step:
    """A `Step`, or a `ValueError` where an argument is out of range, or a mesh does not fit the model."""
    if not isinstance(config, TransformerConfig):
        raise ValueError(f"config must be a TransformerConfig; got {type(config).__name__}")
    if not isinstance(mesh, Mesh):
        raise ValueError(f"mesh must be a Mesh, or many by all_meshes(...); got {type(mesh).__name__}")
    given = {"batch": batch, "seq_len": seq_len, "accumulate": accumulate}
    shape = mesh.shape
    for name, value in given.items():
        array = np.asarray(value)
        if array.dtype.kind not in "iu" or array.size == 0 or array.min() < 1:
            raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}")
        try:
            shape = np.broadcast_shapes(shape, array.shape)
        except ValueError:
            raise ValueError(
                f"{name} must broadcast against the shape {shape}; got shape {array.shape}"
            ) from None
    if np.max(seq_len) > config.n_ctx:
        raise ValueError(f"seq_len must be at most n_ctx={config.n_ctx}; got {np.max(seq_len)}")
    if check and shape == ():
        require_mesh(config, mesh, batch=int(batch), accumulate=int(accumulate))
    elif check:
        fitting = fits(config, mesh, batch=np.asarray(batch), accumulate=np.asarray(accumulate))
        if not np.all(fitting):
            raise ValueError(
                f"mesh must fit the config and the batch; {np.count_nonzero(~fitting)} of {fitting.size} do "
                "not: keep those for which fits(...) is true"
            )
    element = require_positive(bytes_per_element, name="bytes_per_element")
    gradient = element if gradient_bytes is None else require_positive(gradient_bytes, name="gradient_bytes")
    for name, choice, known in (
        ("checkpointing", checkpointing, CHECKPOINTING),
        ("sharding", sharding, SHARDING),
    ):
        if choice not in known:
            raise ValueError(f"{name} must be one of {known}; got {choice!r}")
    if not isinstance(sequence_parallel, bool):
        raise ValueError(f"sequence_parallel must be True or False; got {sequence_parallel!r}")
    axes = ("data", "shard", "tensor", "pipeline", "expert", "chunks")
    numbers = {axis: np.asarray(getattr(mesh, axis), dtype=float) for axis in axes}
    numbers |= {"n_micro": np.asarray(accumulate, dtype=float)}
    numbers |= {name: np.asarray(given[name], dtype=float) for name in ("batch", "seq_len")}
    return Step(
        config,
        mesh,
        **numbers,
        shape=shape,
        element=element,
        gradient=gradient,
        checkpointing=checkpointing,
        sharding=sharding,
        sequence_parallel=sequence_parallel,
    )


class Matrix(NamedTuple):
    """Parameters: ``n`` matrices alike, whose rows or columns tensor parallelism splits (or neither)."""

    n: float
    rows: int
    columns: int
    split: str = ""


class Matrices(NamedTuple):
    """The parameters of a model by where they are: a block, its experts, and before and behind all blocks."""

    block: list[Matrix]
    experts: list[Matrix]
    first: list[Matrix]
    last: list[Matrix]


def matrices(config: TransformerConfig) -> Matrices:
    """All parameters of ``config``, as torch's modules hold them: the axis that is produced comes first."""
    d, d_query, d_key = config.d_model, config.n_head * config.d_head, config.n_kv_head * config.d_head
    norm = [Matrix(1, d, 1)] * (1 + (config.norm == "layernorm" and config.bias))
    block = 2 * norm
    block += _linear(d, d_query, split="rows", bias=config.qkv_bias)
    block += 2 * _linear(d, d_key, split="rows", bias=config.qkv_bias)
    block += _linear(d_query, d, split="columns", bias=config.bias)
    n_up = 2 if config.activation in ("swiglu", "geglu") else 1
    dense = n_up * _linear(d, config.d_ff, split="rows", bias=config.bias)
    dense += _linear(config.d_ff, d, split="columns", bias=config.bias)
    experts: list[Matrix] = []
    if config.n_expert == 1:
        block += dense
    else:
        block += config.n_expert_shared * dense + [Matrix(1, config.n_expert, d)]
        experts = [matrix._replace(n=config.n_expert) for matrix in dense]
    if config.depth_keep < 1:  # a router in every second block
        block.append(Matrix(config.n_layer // 2 / config.n_layer, 1, d))
    first = [Matrix(1, config.vocab_size, d, "rows")]
    if config.position == "learned":
        first.append(Matrix(1, config.n_ctx, d))
    if config.n_token_type:
        first.append(Matrix(1, config.n_token_type, d))
    last = [] if config.tie_embeddings else [Matrix(1, config.vocab_size, d, "rows")]
    if config.norm_placement == "pre":
        last += norm
    elif config.kind == "encoder":
        first += norm
    if config.pooler:
        last += _linear(d, d, split="", bias=config.bias)
    if config.halting is not None:
        last += _linear(d, 1, split="", bias=True)
    return Matrices(block, experts, first, last)


def _linear(n_in: int, n_out: int, *, split: str, bias: bool) -> list[Matrix]:
    """A linear map, and its bias: split as its rows are, whole where its columns are split."""
    maps = [Matrix(1, n_out, n_in, split)]
    return [*maps, Matrix(1, n_out, 1, "rows" if split == "rows" else "")] if bias else maps


class Held(NamedTuple):
    """Parameters on a device, those that its ``shard`` neighbours keep for it included; filled up.

    A matrix is cut into ``shard`` parts of as many whole rows each, so that some rows may be filling.
    """

    block: Any
    experts: Any
    first: Any
    last: Any
