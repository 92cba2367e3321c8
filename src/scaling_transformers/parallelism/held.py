"""Bytes that a process really holds: of weights, gradients, optimiser states and saved activations."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed._functional_collectives import AsyncCollectiveTensor
from torch.distributed.tensor import DTensor
from torch.optim.optimizer import register_optimizer_step_post_hook

from scaling_transformers.model import Transformer


class Held:
    """Within it, what one process holds is weighed.

    Attributes
    ----------
    activations : int
        The most bytes that were saved for the backward pass at one time, weights apart: each storage once.
    gradients, optimizer : int
        Bytes after the last step of an optimiser.
    """

    def __init__(self) -> None:
        self.activations = self.gradients = self.optimizer = 0
        self._now = 0
        self._uses: Counter[int] = Counter()
        self._saving = torch.autograd.graph.saved_tensors_hooks(self._save, lambda saved: saved.tensor)

    def __enter__(self) -> Held:
        self._hook = register_optimizer_step_post_hook(self._after_step)
        self._saving.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._saving.__exit__(*error)
        self._hook.remove()

    def _save(self, tensor: Tensor) -> _Saved:
        saved = _Saved(tensor, self)
        if saved.storage is not None:
            if not self._uses[saved.storage]:
                self._now += saved.bytes
            self._uses[saved.storage] += 1
            self.activations = max(self.activations, self._now)
        return saved

    def _free(self, saved: _Saved) -> None:
        if saved.storage is not None:
            self._uses[saved.storage] -= 1
            if not self._uses[saved.storage]:
                self._now -= saved.bytes

    def _after_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.gradients = sum(_bytes(p.grad) for p in parameters if p.grad is not None)
        states = (value for state in optimizer.state.values() for value in state.values())
        self.optimizer = sum(_bytes(value) for value in states if isinstance(value, Tensor) and value.ndim)


class _Saved:
    """A tensor that waits for the backward pass; the last of those in a storage gives it back."""

    def __init__(self, tensor: Tensor, held: Held) -> None:
        self.tensor, self.held = tensor, held
        base = tensor if tensor._base is None else tensor._base
        storage = _local(tensor).untyped_storage()
        self.bytes = storage.nbytes()
        self.storage = None if isinstance(base, nn.Parameter) else storage.data_ptr()

    def __del__(self) -> None:
        self.held._free(self)


def weight_bytes(model: Transformer) -> int:
    """Of the weights that this process holds."""
    return sum(_bytes(parameter) for parameter in model.parameters())


def _bytes(tensor: Tensor) -> int:
    local = _local(tensor.data)
    return local.numel() * local.element_size()


def _local(tensor: Tensor) -> Tensor:
    """The tensor in torch's wrappers of what is spread, or still on its way."""
    if isinstance(tensor, DTensor):
        tensor = tensor._local_tensor
    return tensor.elem if isinstance(tensor, AsyncCollectiveTensor) else tensor
