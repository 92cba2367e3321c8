"""One step's work between a batch and its gradients, on the devices of a mesh, by torch's own engines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore, rendezvous  # type: ignore[attr-defined]
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleInterleaved1F1B
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import loss_parallel
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from scaling_transformers.accounting.mesh import Mesh, require_mesh, stage_layers
from scaling_transformers.model import Trace, Transformer
from scaling_transformers.model.feed_forward import MixtureOfExperts
from scaling_transformers.parallelism.splits import share_experts, split_matrices
from scaling_transformers.parallelism.stages import Stage, keep_layers
from scaling_transformers.training.engine import MAX_NORM, Pass
from scaling_transformers.training.loss import exit_loss, loss_of_states, next_token_loss

TIMEOUT_S = 60  # that a process waits for the others: longer than any step, and than the start of any run


class MeshEngine:
    """A model's part on this device, and the collectives that join the parts.

    - ``data``, alone or with ``pipeline``: `DistributedDataParallel`.
    - ``shard``, and ``data`` beside ``tensor`` or ``expert``: `fully_shard`, block by block, over both.
    - ``tensor``: `parallelize_module`, with the loss of a vocabulary in parts (`loss_parallel`).
    - ``pipeline``: `torch.distributed.pipelining`, one forward and one backward in turn.
    - ``expert``: all-to-all, as a function with a gradient.

    Every process builds the whole model first and keeps its part, so that all begin with the same weights.

    Parameters
    ----------
    model : Transformer
        Changed in place: it keeps what this device holds.
    mesh : Mesh
    how : Pass
    batch, n : int
        Texts a step on all devices together, and tokens in each.

    Raises
    ------
    ValueError
        As `check`, before this process talks to another.
    """

    @staticmethod
    def check(
        model: Transformer,
        mesh: Mesh,
        how: Pass,
        *,
        batch: int,
    ) -> None:
        """Raise `ValueError` where model, mesh and options cannot go together, or torchrun is not there."""
        if "WORLD_SIZE" not in os.environ:
            raise ValueError("mesh needs processes: start the script with torchrun, or use train_on_mesh")
        world = int(os.environ["WORLD_SIZE"])
        require_mesh(model.config, mesh, batch=batch, accumulate=how.accumulate, n_device=world)
        if how.compile:
            raise ValueError("compile cannot go with a mesh")
        if how.every_exit and (mesh.tensor > 1 or mesh.pipeline > 1):
            raise ValueError("every_exit cannot go with the axes tensor and pipeline of a mesh")
        balanced = model.config.n_expert > 1 and model.config.balance == "loss"
        if balanced and mesh.pipeline > 1 and how.auxiliary_weight:
            raise ValueError(
                "auxiliary_weight must be 0 with a pipeline, whose stages pass no terms of the loss on; "
                f"got {how.auxiliary_weight}"
            )

    def __init__(
        self,
        model: Transformer,
        mesh: Mesh,
        how: Pass,
        *,
        batch: int,
        n: int,
    ) -> None:
        self.model, self.mesh, self.accumulate = model, mesh, how.accumulate
        self.device = start_process()
        model.to(self.device)
        config, kind = model.config, self.device.type
        batches = mesh.data * mesh.expert
        # Neighbours share matrices, and the farthest devices the stages: what moves most goes the least way.
        self.dense = init_device_mesh(
            kind,
            (mesh.pipeline, batches, mesh.shard, mesh.tensor),
            mesh_dim_names=("pipeline", "data", "shard", "tensor"),
        )
        self.sparse: DeviceMesh | None = None
        if mesh.expert > 1:  # experts have fewer copies than all else
            self.sparse = init_device_mesh(
                kind,
                (mesh.pipeline, mesh.data, mesh.expert, mesh.shard, mesh.tensor),
                mesh_dim_names=("pipeline", "data", "expert", "shard", "tensor"),
            )
        self.everyone = dist.new_group(group_desc="mesh_step")  # of its own, so that a recorder knows it
        stages = stage_layers(config.n_layer, mesh.n_stage)
        self.layers = stages[self.dense.get_local_rank("pipeline") :: mesh.pipeline]
        if mesh.pipeline > 1:
            keep_layers(model, self.layers)
        blocks = list(model.blocks.children())
        self.expert_parameters: set[nn.Parameter] = set()
        if self.sparse is not None:
            share_experts(blocks, devices=self.sparse["expert"])
            self._mark_experts(blocks)
        if mesh.tensor > 1:
            split_matrices(model, blocks, dense=self.dense["tensor"])
            self._mark_experts(blocks)
        loss_of: Any = exit_loss if how.every_exit else next_token_loss
        loss_of = _loss_by_vocabulary if mesh.tensor > 1 else loss_of
        self.autocast = partial(torch.autocast, kind, torch.bfloat16, enabled=how.dtype == "bfloat16")
        self.schedule: Any = None
        if mesh.pipeline > 1:
            parts = [Stage(model, layers) for layers in self.layers]
            self.parts: list[nn.Module] = [self._spread(part, blocks) for part in parts]
            self.schedule = self._schedule(parts, batch // (mesh.n_batch * how.accumulate), n)
        else:
            self.parts = [self._spread(_Loss(model, loss_of, how.auxiliary_weight), blocks)]
        self._mark_experts(blocks)
        self.copies = {parameter: self._copies(parameter) for parameter in model.parameters()}

    def backward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Of the whole batch, of which this device takes its part; the loss that this device has seen."""
        here = self.dense.get_local_rank("data") * self.mesh.shard + self.dense.get_local_rank("shard")
        x, y = (whole.tensor_split(self.mesh.n_batch)[here].to(self.device) for whole in (tokens, targets))
        with self.autocast(), loss_parallel() if self.mesh.tensor > 1 else nullcontext():
            loss = self._one_by_one(x, y) if self.schedule is None else self._through_the_pipeline(x, y)
        # Experts have heard from all devices that share them; a mean is wanted, as elsewhere.
        for parameter in self.expert_parameters:
            _local(parameter.grad).div_(self.mesh.expert)
        for parameter in self.copies:  # torch may leave on each device the whole gradient of a part
            gradient = parameter.grad
            if isinstance(gradient, DTensor) and gradient.placements != cast(DTensor, parameter).placements:
                parameter.grad = gradient.redistribute(placements=cast(DTensor, parameter).placements)
        return loss

    @torch.no_grad()
    def clip(self, loss: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of the whole batch, and the norm of the whole gradient, which is cut to ``MAX_NORM``."""
        squares = sum(
            _local(p.grad).double().square().sum() / copies
            for p, copies in self.copies.items()
            if p.grad is not None
        )
        of_last = 0.0 if self.schedule is not None and not self._holds_last() else 1.0
        share = of_last * loss.double() / (self.mesh.n_batch * self.mesh.tensor)
        message = torch.stack([torch.as_tensor(squares, device=self.device), share.to(self.device)])
        dist.all_reduce(message, group=self.everyone)
        norm = message[0].sqrt()
        factor = (MAX_NORM / (norm + 1e-6)).clamp(max=1.0)
        for parameter in self.copies:
            if parameter.grad is not None:
                _local(parameter.grad).mul_(factor)
        return message[1].to(torch.float32), norm.to(torch.float32)

    def groups(self, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """An optimiser's groups, cut so that each holds parameters that are spread alike."""
        cut: list[dict[str, Any]] = []
        for group in groups:
            alike: dict[Any, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                data = parameter.data
                key = data.device_mesh if isinstance(data, DTensor) else None
                alike.setdefault(key, []).append(parameter)
            cut += [{**group, "params": params} for params in alike.values()]
        return cut

    def _one_by_one(self, x: Tensor, y: Tensor) -> Tensor:
        (part,), loss, m = self.parts, x.new_zeros((), dtype=torch.float32), self.accumulate
        for i, (tokens, targets) in enumerate(zip(x.tensor_split(m), y.tensor_split(m), strict=True)):
            with _gradients_move(part, i == m - 1):
                total, share = part(tokens, targets)
                (total / m).backward()
            loss += share / m
        return loss

    def _through_the_pipeline(self, x: Tensor, y: Tensor) -> Tensor:
        first, last = self.layers[0].start == 0, self._holds_last()
        losses: list[Tensor] = []
        self.schedule.step(*([x] if first else []), **({"target": y, "losses": losses} if last else {}))
        return torch.stack(losses).mean() if last else x.new_zeros((), dtype=torch.float32)

    def _holds_last(self) -> bool:
        return self.layers[-1].stop == self.model.config.n_layer

    def _spread(self, part: nn.Module, blocks: Iterable[nn.Module]) -> nn.Module:
        """Let a part of the model read its share of each batch, by the engine that the mesh asks for."""
        mesh, plain = self.mesh, self.mesh.shard == self.mesh.tensor == self.mesh.expert == 1
        if mesh.n_batch == 1:
            return part
        if plain:
            return DistributedDataParallel(part, process_group=self.dense.get_group("data"))
        devices = self.dense["data", "shard"]
        # A stage would gather its weights for every micro-batch; it keeps them until the step is over.
        options: dict[str, Any] = {"reshard_after_forward": mesh.pipeline == 1}
        mine = {id(block) for block in part.modules()}
        for block in blocks:
            if id(block) not in mine:
                continue
            if self.sparse is not None and mesh.data * mesh.shard > 1:
                for expert in cast(Any, block).feed_forward.experts.children():
                    fully_shard(expert, mesh=self.sparse["data", "shard"], **options)
            fully_shard(block, mesh=devices, ignored_params=self.expert_parameters, **options)
        fully_shard(part, mesh=devices, ignored_params=self.expert_parameters)
        return part

    def _schedule(self, parts: list[Stage], batch: int, n: int) -> Any:
        config, mesh = self.model.config, self.mesh
        places = range(self.dense.get_local_rank("pipeline"), mesh.n_stage, mesh.pipeline)
        tokens = torch.zeros(batch, n, dtype=torch.long, device=self.device)
        states = torch.zeros(batch, n, config.d_model, device=self.device, requires_grad=True)
        stages = [
            PipelineStage(
                wrapped,
                place,
                mesh.n_stage,
                self.device,
                input_args=(tokens if part.first else states,),
                output_args=(states,),
                group=self.dense.get_group("pipeline"),
            )
            for place, part, wrapped in zip(places, parts, self.parts, strict=True)
        ]
        options: dict[str, Any] = {"n_microbatches": self.accumulate, "loss_fn": self._loss_of_states}
        if mesh.chunks == 1:
            return Schedule1F1B(stages[0], **options)
        return ScheduleInterleaved1F1B(cast(Any, stages), **options)

    def _loss_of_states(self, states: Tensor, targets: Tensor) -> Tensor:
        if self.mesh.tensor > 1:
            return _cross_entropy(self.model.unembedding(states), targets)
        return loss_of_states(self.model, states, targets)

    def _mark_experts(self, blocks: Iterable[nn.Module]) -> None:
        """Parameters become other objects when they are split: name those of experts anew."""
        if self.sparse is not None:
            layers = (cast(MixtureOfExperts, block.feed_forward) for block in blocks)
            self.expert_parameters = {p for layer in layers for p in layer.experts.parameters()}

    def _copies(self, parameter: nn.Parameter) -> float:
        """Devices of the mesh that hold the same part of a parameter."""
        pieces = self.mesh.pipeline * (self.mesh.expert if parameter in self.expert_parameters else 1)
        if isinstance(parameter.data, DTensor):
            data = parameter.data
            for size, placement in zip(data.device_mesh.shape, data.placements, strict=True):
                pieces *= 1 if placement.is_replicate() else size
        return float(self.mesh.n_device / pieces)


class _Loss(nn.Module):
    """A model with its loss: all that happens to weights happens in one call, which the engines wrap."""

    def __init__(self, model: Transformer, loss_of: Any, auxiliary_weight: float) -> None:
        super().__init__()
        self.model, self.loss_of, self.auxiliary_weight = model, loss_of, auxiliary_weight

    def forward(self, tokens: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """What is minimised, and the loss in it."""
        trace = Trace()
        share = self.loss_of(self.model, tokens, targets, trace=trace)
        added = self.auxiliary_weight * sum(trace.losses, torch.zeros_like(share))
        return share + added, share.detach()


def _loss_by_vocabulary(model: Transformer, tokens: Tensor, targets: Tensor, *, trace: Trace) -> Tensor:
    return _cross_entropy(cast(Tensor, model(tokens, trace=trace)), targets)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Of logits whose vocabulary is split among devices, within `loss_parallel`."""
    loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
    return cast(DTensor, loss).to_local()


def _local(gradient: Tensor | None) -> Tensor:
    assert gradient is not None
    return gradient.to_local() if isinstance(gradient, DTensor) else gradient


@contextmanager
def _gradients_move(part: nn.Module, last: bool) -> Iterator[None]:
    """Gradients add up on the device until the last part of a batch, and are joined then."""
    with ExitStack() as stack:
        if isinstance(part, DistributedDataParallel) and not last:
            stack.enter_context(part.no_sync())
        if isinstance(part, FSDPModule):
            part.set_requires_gradient_sync(last)
            part.set_is_last_backward(last)
        yield


def start_process() -> torch.device:
    """Join the processes that torchrun has started, once; the device of this one."""
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(kind, int(os.environ["LOCAL_RANK"])) if kind == "cuda" else torch.device(kind)
    if kind == "cuda":
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        # torchrun keeps one store for all its restarts, with the addresses of processes that are gone.
        store, rank, world = next(rendezvous("env://", timeout=timedelta(seconds=TIMEOUT_S)))
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        dist.init_process_group(
            "nccl" if kind == "cuda" else "gloo",
            store=PrefixStore(f"attempt-{attempt}", store),
            rank=rank,
            world_size=world,
            timeout=timedelta(seconds=TIMEOUT_S),
        )
    return device
