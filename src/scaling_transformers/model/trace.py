"""What a pass through a model leaves behind, beside its states."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Routing(NamedTuple):
    """How one layer of experts shared the tokens of a pass among them; nothing here has a gradient.

    Attributes
    ----------
    load : tensor, shape (n_expert,)
        Share of all choices that fell on each expert, before any was dropped.
    entropy : tensor without axes
        Of the load, as a share of its largest: 1 where all experts are equally busy.
    dropped : tensor without axes
        Share of the choices that found no room; with ``routing="expert_choice"`` of the tokens that no expert
        took.
    """

    load: Tensor
    entropy: Tensor
    dropped: Tensor


class Trace:
    """Filled by ``model(tokens, trace=Trace())``: what was skipped, and what training adds to the loss.

    A dense model leaves all of it empty.

    Attributes
    ----------
    losses : list of tensors without axes
        Terms that `scaling_transformers.training.train` weighs and adds to the loss: of the balance of
        experts, of the routing of depth, of pondering. Those that each layer adds are divided by
        the number of layers that do, so that their sum is a mean.
    routing : list of Routing
        One for each layer of experts, in the order of the layers.
    kept : list of boolean tensors, shape (batch, n)
        Which tokens were read, one for each block that a mixture of depths routes.
    merged : integer tensor, shape (batch, n), optional
        Of an encoder that merges tokens: which of the tokens left at the end each token went into.
    states : list of tensors (batch, n, d_model), optional
        Give an empty list to have it filled with the states after each block, or step, through the last
        norm: what the unembedding would read there. PonderNet fills it unasked.
    steps : integer tensor, shape (batch, n), optional
        With ``halting``: the steps that each token took.
    probabilities : tensor, shape (batch, n, n_step), optional
        With ``halting="ponder"``: each token's chances to halt at each step that ran, the last taking the
        rest. In training all ``n_layer`` run.
    """

    # No dataclass: torch's sharding engine copies those on their way into a block, and what a copy is told is
    # lost.
    def __init__(self, *, states: list[Tensor] | None = None) -> None:
        self.losses: list[Tensor] = []
        self.routing: list[Routing] = []
        self.kept: list[Tensor] = []
        self.merged: Tensor | None = None
        self.states = states
        self.steps: Tensor | None = None
        self.probabilities: Tensor | None = None
