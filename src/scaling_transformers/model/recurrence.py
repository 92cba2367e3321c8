"""One block run over and over, until each token has had enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from scaling_transformers.config import TransformerConfig
from scaling_transformers.model.trace import Trace
from scaling_transformers.sparsity.halting import (
    PRIOR_RATE,
    divergence,
    geometric_prior,
    halting_log_probabilities,
    mean_state,
    median_step,
    weigh_steps,
)


def make_halting(config: TransformerConfig) -> nn.Linear | None:
    """The unit that says from a state whether to halt, if the config has one."""
    return None if config.halting is None else nn.Linear(config.d_model, 1)


@torch.no_grad()
def initialise_halting(unit: nn.Linear, config: TransformerConfig) -> None:
    """Begin where nothing is decided: all steps weigh alike (ACT), or each halts at the rate of the prior."""
    rate = PRIOR_RATE if config.halting == "ponder" else 1 / max(2, config.n_layer)
    unit.bias.fill_(math.log(rate / (1 - rate)))


def run_until_halted(
    step: Callable[[Tensor], Tensor],
    unit: nn.Linear,
    norm: nn.Module,
    x: Tensor,
    *,
    config: TransformerConfig,
    training: bool,
    trace: Trace | None,
) -> Tensor:
    """Last hidden states, normed, of a block that is run up to ``n_layer`` times.

    With ``"act"`` a token that has halted keeps its state, which later tokens go on to see, and answers from
    the mean of its states. With ``"ponder"`` every token goes on, so that all see the states that they were
    trained to see, and each answers from its state at its `median_step`. Both depend on the tokens before
    only.

    In training all steps run. In eval mode a text whose tokens have all halted is read no more, and the
    result is the same. What is saved follows the slowest token of each text, as `flops_run` counts: leaving
    out single tokens would be exact with ``"act"`` alone, and is not done; `flops_of_tokens` counts it.

    Parameters
    ----------
    step : callable
        The block: states (some texts, n, d_model) to the next.
    unit, norm : modules
        What asks to halt, and the model's last norm, through which it and the unembedding read the states.
    x : tensor, shape (batch, n, d_model)
        The embedded tokens.
    trace : Trace, optional
        Gets ``steps``; one term of ``losses``, a mean over tokens: the ponder cost, or the divergence from
        the prior; with ``"ponder"`` also ``states`` and ``probabilities``.

    Source: Dehghani et al. 2019 (Universal Transformers), section 2.2, without its embedding of the step.
    """
    ponder = config.halting == "ponder"
    states: list[Tensor] = []
    asked: list[Tensor] = []
    halted = torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device)
    while True:
        # Texts that are still read. In training all are, for a look at who has halted would hold up a device.
        rows: Any = slice(None) if training else (~halted.all(dim=1)).nonzero().squeeze(1)
        new = step(x[rows])
        if not ponder:
            new = torch.where(halted[rows][..., None], x[rows], new)
        x = new if training else x.index_copy(0, rows, new)
        states.append(x)
        if len(states) == config.n_layer:
            break
        logits = unit(norm(new)).squeeze(-1)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        asked.append(logits if training else logits.new_zeros(x.shape[:2]).index_copy(0, rows, logits))
        halted = _steps(torch.stack(asked, dim=-1), ponder=ponder) <= len(states)
        if not training and bool(halted.all()):
            asked.pop()  # who has not halted before halts at the last step, as all have
            break
    every = torch.stack(asked, dim=-1) if asked else x.new_zeros((*x.shape[:2], 0))
    if not ponder:
        found = weigh_steps(every.sigmoid())
        if trace is not None:
            trace.steps = found.steps
            trace.losses.append(found.cost.mean())
            if trace.states is not None:
                trace.states += [norm(state) for state in states]
        return norm(mean_state(torch.stack(states, dim=-2), found.weights).to(x.dtype))  # type: ignore[no-any-return]
    states = [norm(state) for state in states]
    chances = halting_log_probabilities(every)
    steps = median_step(chances)
    if trace is not None:
        trace.steps, trace.states, trace.probabilities = steps, states, chances.exp()
        trace.losses.append(divergence(chances, geometric_prior(n_step=len(states))).mean())
    index = (steps - 1)[..., None, None].expand(-1, -1, 1, x.shape[-1])
    return torch.stack(states, dim=-2).gather(-2, index).squeeze(-2)


def _steps(asked: Tensor, *, ponder: bool) -> Tensor:
    """The step at which each token halts; one more than were asked if it has not yet."""
    with torch.no_grad():
        return median_step(halting_log_probabilities(asked)) if ponder else weigh_steps(asked.sigmoid()).steps
