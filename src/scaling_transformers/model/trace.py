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
    states : list of tensors (batch, n, d_model), optional
        Give an empty list to have it filled with the states after each block, or step, through the last
        norm: what the unembedding would read there. PonderNet fills it unasked.
    steps : integer tensor, shape (batch, n), optional
        With ``halting``: the steps that each token took.
    probabilities : tensor, shape (batch, n, n_step), optional
        With ``halting="ponder"``: each token's chances to halt at each step that ran, the last taking the
        rest. In training all ``n_layer`` run.
    """

    losses: list[Tensor] = field(default_factory=list)
    states: list[Tensor] | None = None
    steps: Tensor | None = None
    probabilities: Tensor | None = None
