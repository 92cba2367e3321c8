"""Bytes that the devices of a mesh send each other in a training step, and the seconds that takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from scaling_transformers._numpy import np
from scaling_transformers.accounting._step import Step, make_step
from scaling_transformers.accounting.mesh import Mesh
from scaling_transformers.accounting.networks import Cluster
from scaling_transformers.config import TransformerConfig

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "send")
COMMUNICATION_AXES = ("data", "shard", "expert", "tensor", "pipeline", "step")
RANK_ORDER = ("tensor", "shard", "expert", "data", "pipeline")  # from neighbours to the farthest apart


@dataclass(frozen=True)
class Collective:
    """One kind of collective along one axis, all of a step together: floats of one mesh, arrays of many.

    Attributes
    ----------
    axis : str
        ``"data"``, ``"shard"``, ``"expert"``, ``"tensor"``, ``"pipeline"``, or ``"step"``: all devices at the
        end of a step.
    kind : str
        ``"all-reduce"``, ``"all-gather"``, ``"reduce-scatter"``, ``"all-to-all"`` or ``"send"``.
    what : str
        That is sent: ``"weights"``, ``"gradients"``, ``"activations"``, ``"rows"``, ``"counts"``, ``"loss"``.
    size : float
        Devices that take part in one.
    calls : float
        How many a device takes part in.
    payload : float
        Bytes of their tensors, mean over the devices of the mesh: of an all-gather what is gathered, of a
        reduce-scatter what is reduced. 0 where ``size`` is 1.
    busiest : float
        The payload of the device that has the most.
    """

    axis: str
    kind: str
    what: str
    size: Any
    calls: Any
    payload: Any
    busiest: Any

    @property
    def wire(self) -> Any:
        """Bytes that a device sends by the ring algorithm, mean over the devices."""
        return self.payload * self._share

    @property
    def busiest_wire(self) -> Any:
        """The same of the device that sends most."""
        return self.busiest * self._share

    @property
    def _share(self) -> Any:
        if self.kind == "send":
            return 1.0
        return (2 if self.kind == "all-reduce" else 1) * (self.size - 1) / self.size


@dataclass(frozen=True)
class CollectiveBytes:
    """Every collective of a training step; sums of them by axis, and in all."""

    collectives: tuple[Collective, ...]  #: In the order of the axes.

    def select(
        self, *, axis: str | None = None, kind: str | None = None, what: str | None = None
    ) -> CollectiveBytes:
        """Those of an axis, of a kind, or of what they send.

        Raises
        ------
        ValueError
            If there is no such axis or kind.
        """
        for name, value, known in (("axis", axis, COMMUNICATION_AXES), ("kind", kind, KINDS)):
            if value is not None and value not in known:
                raise ValueError(f"{name} must be one of {known}; got {value!r}")
        return CollectiveBytes(
            tuple(
                each
                for each in self.collectives
                if axis in (None, each.axis) and kind in (None, each.kind) and what in (None, each.what)
            )
        )

    @property
    def payload(self) -> Any:
        """Bytes of all tensors, mean over the devices."""
        return sum(each.payload for each in self.collectives)

    @property
    def wire(self) -> Any:
        """Bytes that a device sends, mean over the devices."""
        return sum(each.wire for each in self.collectives)

    @property
    def busiest_wire(self) -> Any:
        """Bytes that the device sends which sends most (of each collective, if it is not the same one)."""
        return sum(each.busiest_wire for each in self.collectives)

    @property
    def payload_by_axis(self) -> dict[str, Any]:
        """Bytes of all tensors, as ``payload``, of each axis."""
        return {axis: self.select(axis=axis).payload for axis in COMMUNICATION_AXES}

    @property
    def wire_by_axis(self) -> dict[str, Any]:
        """Bytes that a device sends, as ``wire``, of each axis."""
        return {axis: self.select(axis=axis).wire for axis in COMMUNICATION_AXES}


def collective_bytes(
    config: TransformerConfig,
    mesh: Mesh,
    *,
    batch: Any,
    seq_len: Any,
    accumulate: Any = 1,
    bytes_per_element: float = 2,
    gradient_bytes: float | None = None,
    checkpointing: str = "none",
    sharding: str = "all",
    sequence_parallel: bool = False,
) -> CollectiveBytes:
    """Count the bytes that move between devices in one training step.

    Counted is what the package's own engine moves (`scaling_transformers.parallelism`), torch's engines as
    they are, in the rank order pipeline, data, expert, shard, tensor, from the outermost to the innermost:

    - ``data``: gradients are all-reduced once a step, among all devices that hold the same weights: those of
      data x expert, but of experts those of data.
    - ``shard``: a block's weights are gathered before its forward and again before its backward pass, of
      every micro-batch; behind and before the blocks once a micro-batch. With a pipeline all are gathered
      once a step. Gradients are reduce-scattered once a step. Rows that fill up uneven parts move as well.
    - ``tensor``: two all-reduces of the activations a block in each direction (of experts one for the rows
      of each), one of the embeddings, one of the last states' gradients, and three of a number a token for
      the loss.
    - ``expert``: tokens go to their experts and back, in both directions, after their counts. The mean is
      exact; which device sends more depends on the routing.
    - ``pipeline``: activations to the next stage, their gradients to the one before.
    - ``step``: two float64 among all devices, the norm of the gradients and the loss.

    Parameters
    ----------
    mesh : Mesh
        One, or many: then results are arrays, and ``batch``, ``seq_len`` and ``accumulate`` may be.
    batch, seq_len : int
        Texts of a step on all devices together, and tokens in each.
    accumulate : int
        Micro-batches, in which the texts of each device follow each other.
    bytes_per_element : float
        Of weights and activations: 2 for bfloat16, 4 for float32.
    gradient_bytes : float, optional
        Of gradients. Default ``bytes_per_element``.
    checkpointing : str
        ``"full"`` computes each block's forward pass twice, and what it sends. ``"none"``, ``"selective"``:
        once.
    sharding : str
        What ``shard`` splits: ``"all"``, or ``"gradients"`` and the optimizer's states, or those of the
        ``"optimizer"`` only (ZeRO 3, 2 and 1). With the latter two weights are gathered once a step.
    sequence_parallel : bool
        Split activations between tensor-parallel regions as well: an all-gather and a reduce-scatter, which
        together send as much, in place of each all-reduce in the blocks; and a pipeline sends its part only.

    Returns
    -------
    CollectiveBytes

    Raises
    ------
    ValueError
        If a mesh does not fit the config and the batch, or another argument is out of range.

    Examples
    --------
    Gradients of GPT-2 in float32, all-reduced among 8 devices:

    >>> from scaling_transformers import preset
    >>> moved = collective_bytes(preset("gpt2"), Mesh(data=8), batch=8, seq_len=1024, bytes_per_element=4)
    >>> moved.payload_by_axis["data"], moved.wire_by_axis["data"]
    (497759232.0, 871078656.0)

    Source: Thakur et al. 2005 for the ring; Rajbhandari et al. 2020 (ZeRO) for ``shard``; Shoeybi et al. 2019
    (Megatron-LM) for ``tensor``; Korthikanti et al. 2022 for ``sequence_parallel``.
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
    return count_collectives(step)


def count_collectives(step: Step) -> CollectiveBytes:
    """`collective_bytes` of a step."""
    n_forward = 2 if step.checkpointing == "full" else 1
    found = [
        *_of_weights(step),
        *_of_tensor(step, n_forward=n_forward),
        *_of_experts(step, n_forward=n_forward),
        _of_pipeline(step),
        _collective(step, "step", "all-reduce", "loss", size=step.n_device, calls=1, payload=16.0),
    ]
    return CollectiveBytes(tuple(found))


def _collective(
    step: Step, axis: str, kind: str, what: str, *, size: Any, calls: Any, payload: Any, busiest: Any = None
) -> Collective:
    """A collective among ``size`` devices: none at all where that is one."""
    several = size > 1
    numbers = (size, calls * several, payload * several, (payload if busiest is None else busiest) * several)
    return Collective(axis, kind, what, *(step.result(number) for number in numbers))


def _of_weights(step: Step) -> Iterable[Collective]:
    parts, element, gradient = step.held, step.element, step.gradient
    block, ends = parts.block + parts.experts, (parts.first, parts.last)
    once = (step.pipeline > 1) | (step.sharding != "all")
    of_block = element * np.where(once, 1.0, 2 * step.n_micro)
    of_ends = element * np.where(once, 1.0, step.n_micro)
    # a block is one group, and so is each of its experts where they have an axis of their own
    n_group = step.mean(1.0 + (step.expert > 1) * step.config.n_expert / step.expert)
    gathered = (of_block * block, of_ends * parts.first, of_ends * parts.last)
    reduced = tuple(gradient * held for held in (block, *ends))
    yield _collective(
        step, "shard", "all-gather", "weights", size=step.shard,
        calls=n_group * of_block / element + of_ends / element,
        payload=step.mean(*gathered), busiest=step.most(*gathered),
    )  # fmt: skip
    yield _collective(
        step, "shard", "reduce-scatter", "gradients", size=step.shard, calls=n_group + 1,
        payload=step.mean(*reduced), busiest=step.most(*reduced),
    )  # fmt: skip
    dense = tuple(gradient * held / step.shard for held in (parts.block, *ends))
    yield _collective(
        step, "data", "all-reduce", "gradients", size=step.data * step.expert, calls=step.mean(1.0) + 1,
        payload=step.mean(*dense), busiest=step.most(*dense),
    )  # fmt: skip
    if step.config.n_expert > 1:
        of_experts = gradient * parts.experts / step.shard
        yield _collective(
            step, "data", "all-reduce", "gradients of experts", size=step.data, calls=step.mean(1.0),
            payload=step.mean(of_experts), busiest=step.most(of_experts),
        )  # fmt: skip


def _of_tensor(step: Step, *, n_forward: int) -> Iterable[Collective]:
    states = step.n_micro * step.tokens * step.config.d_model * step.element
    n_layer, n_copy = 2, 2.0  # attention and the feed-forward layer, one all-reduce each
    if step.config.n_expert > 1:
        n_layer = 1 + step.config.n_expert_shared + step.config.n_expert / step.expert
        n_copy = 1 + step.config.n_expert_shared + step.config.n_expert_active
    block = n_copy * (n_forward + 1) * states
    calls = step.mean(n_layer * (n_forward + 1)) * step.n_micro
    for kind in ("all-gather", "reduce-scatter") if step.sequence_parallel else ("all-reduce",):
        yield _collective(
            step, "tensor", kind, "activations", size=step.tensor, calls=calls,
            payload=step.mean(block), busiest=step.most(block),
        )  # fmt: skip
    yield _collective(
        step, "tensor", "all-reduce", "activations at the ends", size=step.tensor,
        calls=2 * step.n_micro / step.pipeline,
        payload=step.mean(0.0, states, states), busiest=step.most(0.0, states, states),
    )  # fmt: skip
    numbers = 3 * step.n_micro * step.tokens * max(step.element, 4)  # in half precision the loss is float32's
    yield _collective(
        step, "tensor", "all-reduce", "loss", size=step.tensor, calls=3 * step.n_micro / step.pipeline,
        payload=step.mean(0.0, 0.0, numbers), busiest=step.most(0.0, 0.0, numbers),
    )  # fmt: skip


def _of_experts(step: Step, *, n_forward: int) -> Iterable[Collective]:
    config = step.config
    if config.n_expert == 1:
        return
    rows = 2 * (n_forward + 1) * step.n_micro * step.tokens * config.n_expert_active * config.d_model
    counts = n_forward * step.n_micro * config.n_expert * 8.0  # int64
    for what, payload, calls in (
        ("rows", rows * step.element, 2 * (n_forward + 1)),
        ("counts", counts, n_forward),
    ):
        yield _collective(
            step, "expert", "all-to-all", what, size=step.expert, calls=step.mean(calls) * step.n_micro,
            payload=step.mean(payload), busiest=step.most(payload),
        )  # fmt: skip


def _of_pipeline(step: Step) -> Collective:
    states = step.n_micro * step.tokens * step.config.d_model * step.element
    if step.sequence_parallel:
        states = states / step.tensor
    sends = 2 * (step.pipeline * step.chunks - 1) / step.pipeline
    # The first stage sends no gradients and the last no activations; any device between them sends both.
    most = 2 * step.chunks - (step.pipeline == 2)
    return _collective(
        step, "pipeline", "send", "activations", size=step.pipeline, calls=sends * step.n_micro,
        payload=sends * states, busiest=most * states,
    )  # fmt: skip


def collective_seconds(moved: CollectiveBytes, mesh: Mesh, cluster: Cluster) -> dict[str, Any]:
    """Seconds that each axis takes to send what the busiest device sends, one collective after the other.

    A collective takes a latency for each step of its ring, that of the network which the step crosses, and
    the bytes on the wire over the bandwidth. The innermost axes have neighbouring devices. Groups that fit
    into nodes use the network within; for all others the slowest link counts:

    - A ring leaves a node once, through the network ports of all its members there, and is no faster than
      the network within.
    - In an all-to-all each device sends to all others, its part that leaves the node through its own port.
    - A stage of a pipeline sends through each device's own port.

    Networks are taken at their full rate, which real collectives come near only with much to send.

    Parameters
    ----------
    moved : CollectiveBytes
        From `collective_bytes`.
    mesh : Mesh
        The same.
    cluster : Cluster

    Returns
    -------
    dict of str to float
        The keys are the axes of `Collective`.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> from scaling_transformers.accounting import cluster
    >>> mesh, selene = Mesh(data=4, tensor=8), cluster("Selene")
    >>> moved = collective_bytes(preset("gpt3-175b").replace(vocab_size=51200), mesh, batch=4, seq_len=2048)
    >>> seconds = collective_seconds(moved, mesh, selene)
    >>> f"{seconds['tensor']:.2f} s within nodes, {seconds['data']:.2f} s between them"
    '0.13 s within nodes, 2.63 s between them'

    Source: Thakur, Rabenseifner and Gropp 2005, for the cost of a ring: latency by steps, bytes by bandwidth.
    """
    if not isinstance(cluster, Cluster):
        raise ValueError(f"cluster must be a Cluster; got {type(cluster).__name__}")
    seconds: dict[str, Any] = dict.fromkeys(COMMUNICATION_AXES, 0.0)
    for each in moved.collectives:
        bandwidth, waited = _link(each, mesh, cluster)
        seconds[each.axis] = seconds[each.axis] + each.calls * waited + each.busiest_wire / bandwidth
    return seconds


def _link(each: Collective, mesh: Mesh, cluster: Cluster) -> tuple[Any, Any]:
    """Bytes/s of one device in the groups of a collective, and seconds of all steps of one ring."""
    node, within, between = cluster.devices_a_node, cluster.within, cluster.between
    axes: tuple[str, ...] = (each.axis,)
    if each.axis == "step":
        axes = RANK_ORDER
    elif each.axis == "data" and each.what != "gradients of experts":
        axes = ("expert", "data")
    stride: Any = np.ones(mesh.shape)
    span, members = stride, stride
    for axis in RANK_ORDER:
        size = np.asarray(getattr(mesh, axis), dtype=float)
        if axis in axes:
            members = members * np.clip(node // stride, 1, size)
            span = np.where(size > 1, stride * size, span)
        stride = stride * size
    inside = node % span == 0
    outside: Any
    if each.kind == "send":
        outside = between.bandwidth
    elif each.kind == "all-to-all":
        leaving = (each.size - members) / np.maximum(each.size - 1, 1)
        outside = np.minimum(within.bandwidth, between.bandwidth / np.maximum(leaving, 1e-9))
    else:
        outside = np.minimum(within.bandwidth, members * between.bandwidth)
    n_node = np.where(inside, 1.0, np.ceil(each.size / members))
    crossing = (n_node - 1) * between.latency + (each.size - n_node) * within.latency
    if each.kind == "send":
        crossing = np.where(inside, within.latency, between.latency)
    rounds = 2 if each.kind == "all-reduce" else 1
    return np.where(inside, within.bandwidth, outside), rounds * crossing
