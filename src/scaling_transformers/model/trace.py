"""What a pass through a model leaves behind, beside its states."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Trace:
    """Filled by ``model(tokens, trace=Trace())``: what was skipped, and what training adds to the loss.

    A dense model leaves all of it empty.

    Attributes
    ----------
    losses : list of tensors without axes
        Terms that `scaling_transformers.training.train` weighs and adds to the loss: of the balance of
        experts, of the routing of depth, of pondering.
    merged : integer tensor, shape (batch, n), optional
        Of an encoder that merges tokens: which of the tokens left at the end each token went into.
    """

    losses: list[Tensor] = field(default_factory=list)
    merged: Tensor | None = None
