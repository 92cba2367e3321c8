"""Matrices split among the devices of the tensor axis, and experts among those of the expert axis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed._functional_collectives import all_to_all_single
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Replicate
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    RowwiseParallel,
    parallelize_module,
)

from scaling_transformers.model import Transformer
from scaling_transformers.model.feed_forward import FeedForward, MixtureOfExperts


def split_matrices(model: Transformer, blocks: Iterable[nn.Module], *, dense: DeviceMesh) -> None:
    """Split heads, hidden units and vocabulary of a model among the devices of one axis, in place.

    Queries, keys, values and the ways up are split by columns, the ways back by rows, so that a layer's
    devices add up what they made, once forward and once backward.

    Source: Shoeybi et al. 2019 (Megatron-LM), section 3.
    """
    reads_all = PrepareModuleInput(
        input_layouts=(Replicate(), None), desired_input_layouts=(Replicate(), None)
    )
    ways: dict[str, ParallelStyle] = {
        "attention": reads_all,
        "attention.query": ColwiseParallel(),
        "attention.key": ColwiseParallel(),
        "attention.value": ColwiseParallel(),
        "attention.out": RowwiseParallel(),
    }
    for block in blocks:
        parallelize_module(block, dense, {**ways, **_of_feed_forward(block)})
    if isinstance(model.embedding, nn.Embedding):
        parallelize_module(model, dense, {"embedding": RowwiseParallel(input_layouts=Replicate())})
    if isinstance(model.unembedding, nn.Linear):
        parallelize_module(model, dense, {"unembedding": ColwiseParallel(use_local_output=False)})
        if model.config.tie_embeddings:
            model.unembedding.weight = model.embedding.weight
    if model.alibi_slopes is not None:  # those of the heads that are here
        size, here = dense.size(), dense.get_local_rank()
        model.alibi_slopes = model.alibi_slopes.chunk(size)[here]


def _of_feed_forward(block: nn.Module) -> dict[str, ParallelStyle]:
    ways: dict[str, ParallelStyle] = {}
    for name, layer in block.named_modules():
        if isinstance(layer, FeedForward):
            given = (Replicate(), None) if name == "feed_forward" else (Replicate(),)  # an expert: only rows
            ways[name] = PrepareModuleInput(input_layouts=given, desired_input_layouts=given)
            ways[f"{name}.up"], ways[f"{name}.down"] = ColwiseParallel(), RowwiseParallel()
            if layer.gate is not None:
                ways[f"{name}.gate"] = ColwiseParallel()
    return ways


class ExpertExchange:
    """Experts that are shared out among devices: rows are sent to their experts, and the answers back.

    Parameters
    ----------
    layer : MixtureOfExperts
        Of its experts, those of other devices are dropped.
    devices : DeviceMesh
        With one axis, of the devices that share the experts.
    """

    def __init__(self, layer: MixtureOfExperts, devices: DeviceMesh) -> None:
        self.group, self.n_device = devices.get_group(), devices.size()
        self.n_held = len(layer.experts) // self.n_device
        first = devices.get_local_rank() * self.n_held
        held = {str(i): layer.experts[i] for i in range(first, first + self.n_held)}
        layer.experts = nn.ModuleDict(held)  # type: ignore[assignment]  # under their names in the whole model
        self.layer = layer

    def __call__(self, rows: Tensor, counts: list[int]) -> Iterable[Tensor]:
        """As `MixtureOfExperts.serve`."""
        asked = torch.tensor(counts, device=rows.device)  # (n_expert,)
        given = all_to_all_single(asked, None, None, self.group)  # of each device, for the experts here
        send = asked.view(self.n_device, -1).sum(dim=1).tolist()
        receive = given.view(self.n_device, -1).sum(dim=1).tolist()
        arrived: Tensor = all_to_all_single(rows, receive, send, self.group)
        pieces = torch.split(arrived, given.tolist())  # by device, and within it by expert
        answers: list[Any] = [None] * len(pieces)
        for i, expert in enumerate(self.layer.experts.children()):
            mine = pieces[i :: self.n_held]
            answer = expert(torch.cat(mine))
            answers[i :: self.n_held] = torch.split(answer, [len(piece) for piece in mine])
        back: Tensor = all_to_all_single(torch.cat(answers), send, receive, self.group)
        return torch.split(back, counts)


def share_experts(blocks: Iterable[nn.Module], *, devices: DeviceMesh) -> None:
    """Share the experts of each block among the devices of one axis, in place.

    Source: Lepikhin et al. 2020 (GShard), section 3.
    """
    for block in blocks:
        layer = cast(MixtureOfExperts, block.feed_forward)
        layer.serve = ExpertExchange(layer, devices)  # type: ignore[method-assign]
