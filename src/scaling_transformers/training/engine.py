"""One step's work between a batch and its gradients, on the device that holds the whole model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from scaling_transformers.model import Trace, Transformer
from scaling_transformers.training.loss import exit_loss, next_token_loss

MAX_NORM = 1.0


@dataclass(frozen=True)
class Pass:
    """How a batch goes through a model; the fields are options of `scaling_transformers.training.train`."""

    accumulate: int  #: Parts of a batch, one after the other.
    dtype: str  #: Of the arithmetic.
    compile: bool  #: Whether torch compiles the model.
    auxiliary_weight: float  #: Weight of losses beside the prediction.
    every_exit: bool  #: Whether every block answers.


class Engine(Protocol):
    """What the training loop asks of the devices; `scaling_transformers.parallelism` has one for many."""

    model: Transformer  #: What is trained.

    def backward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Add the gradients of a batch, each (batch, n), to the parameters; its loss."""

    def groups(self, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The optimiser's groups, each of parameters that it can take together."""

    def clip(self, loss: Tensor) -> tuple[Tensor, Tensor]:
        """Shorten the gradient to a norm of `MAX_NORM` at most; the batch's loss, and the norm before."""


class OneProcess:
    """The whole model on one device, a batch in parts one after the other."""

    def __init__(self, model: Transformer, how: Pass) -> None:
        self.model, self.how = model, how
        self.device = model.embedding.weight.device
        self.loss_of: Callable[..., Tensor] = exit_loss if how.every_exit else next_token_loss
        self.hidden = torch.compile(model.hidden) if how.compile else model.hidden
        self.autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=how.dtype == "bfloat16")

    def backward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Add the gradients of a batch, part by part; its loss."""
        loss: Any = 0
        m = self.how.accumulate
        for part in zip(tokens.tensor_split(m), targets.tensor_split(m), strict=True):
            x, y = (half.to(self.device, non_blocking=True) for half in part)
            trace = Trace()
            with self.autocast:
                share = self.loss_of(self.model, x, y, hidden=self.hidden, trace=trace)
                added = self.how.auxiliary_weight * sum(trace.losses, torch.zeros_like(share))
            part_of_batch = len(x) / len(tokens)
            ((share + added) * part_of_batch).backward()  # type: ignore[no-untyped-call]
            loss = loss + share.detach() * part_of_batch
        return loss  # type: ignore[no-any-return]

    def groups(self, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The groups of parameters as they are: nothing is split."""
        return groups

    def clip(self, loss: Tensor) -> tuple[Tensor, Tensor]:
        """The loss as it is, and the norm of the gradient, which is cut to ``MAX_NORM``."""
        return loss, torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_NORM)
