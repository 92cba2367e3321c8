"""When a token has had enough: adaptive computation time and PonderNet, on torch tensors.

The last axis is that of the steps. The last step takes all that is left, so the functions that read a model's
wish to halt read one number less than there are steps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from scaling_transformers.accounting import forward_flops
from scaling_transformers.attention.masks import require_count
from scaling_transformers.config import TransformerConfig

EPSILON = 0.01  # how near to 1 the sum must come, so that a single step can be enough
PRIOR_RATE = 0.2  # of PonderNet's prior: the chance to halt at a step that is reached


class Halting(NamedTuple):
    """What adaptive computation time makes of the steps of each token.

    Attributes
    ----------
    weights : tensor, shape (..., n_step)
        Of each step's state in the mean; they sum to 1 and are 0 after the step at which the token halts.
    steps : integer tensor, shape (...)
        Steps taken, ``N`` in the paper, from 1 to ``n_step``.
    remainder : tensor, shape (...)
        Weight of the last step taken, ``R`` in the paper.
    """

    weights: Tensor
    steps: Tensor
    remainder: Tensor

    @property
    def cost(self) -> Tensor:
        """The ponder cost ``N + R``, shape (...). Only ``R`` has a gradient."""
        return self.steps + self.remainder


def act(halting: Tensor, *, epsilon: float = EPSILON) -> Halting:
    """Adaptive computation time: weigh the steps until their halting values sum to nearly 1.

    Parameters
    ----------
    halting : tensor, shape (..., n_step - 1)
        Values from 0 to 1, of all steps but the last.
    epsilon : float
        A token halts where the sum reaches ``1 - epsilon``.

    Raises
    ------
    ValueError
        If a value is not from 0 to 1, or ``epsilon`` not from 0 to below 1.

    Examples
    --------
    >>> act(torch.tensor([0.25, 0.5, 0.5])).weights
    tensor([0.2500, 0.5000, 0.2500, 0.0000])

    Source: Graves 2016, section 2.
    """
    if not 0 <= epsilon < 1:
        raise ValueError(f"epsilon must be at least 0 and below 1; got {epsilon!r}")
    if not bool(((halting >= 0) & (halting <= 1)).all()):
        raise ValueError(f"halting must lie from 0 to 1; got {halting.tolist()}")
    return weigh_steps(halting, epsilon=epsilon)


def weigh_steps(halting: Tensor, *, epsilon: float = EPSILON) -> Halting:
    """`act` without a look at the values, for which a device would have to wait."""
    steps = 1 + (halting.cumsum(dim=-1) < 1 - epsilon).sum(dim=-1)
    place = torch.arange(1, halting.shape[-1] + 2, device=halting.device)
    before = torch.where(place < steps[..., None], F.pad(halting, (0, 1)), 0.0)
    remainder = 1 - before.sum(dim=-1)
    weights = torch.where(place == steps[..., None], remainder[..., None], before)
    return Halting(weights, steps, remainder)


def mean_state(states: Tensor, weights: Tensor) -> Tensor:
    """The mean of the states after each step, (..., n_step, d), by weights (..., n_step): (..., d)."""
    return (weights[..., None] * states).sum(dim=-2)


def halting_log_probabilities(logits: Tensor) -> Tensor:
    """PonderNet's chances to halt at each step: ``p_n = lambda_n * prod(1 - lambda_j for j < n)``, in logs.

    Parameters
    ----------
    logits : tensor, shape (..., n_step - 1)
        Of ``lambda_n``, the chance to halt at a step that is reached, of all steps but the last.

    Returns
    -------
    tensor, shape (..., n_step)
        Natural logarithms of probabilities that sum to 1. A product of many small chances would be 0, and
        its gradient lost; its logarithm is finite.

    Source: Banino, Balaguer and Blundell 2021 (PonderNet).
    """
    going_on = F.pad(F.logsigmoid(-logits).cumsum(dim=-1), (1, 0))
    return going_on + F.pad(F.logsigmoid(logits), (0, 1))


def geometric_prior(*, n_step: int, rate: float = PRIOR_RATE) -> Tensor:
    """Chances of a geometric distribution cut off after ``n_step`` steps, float64, summing to 1.

    Parameters
    ----------
    rate : float
        The chance to halt at a step that is reached, were there no last one; above 0 and below 1.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> geometric_prior(n_step=3, rate=0.5)
    tensor([0.5714, 0.2857, 0.1429], dtype=torch.float64)

    Source: Banino, Balaguer and Blundell 2021 (PonderNet).
    """
    require_count(n_step=n_step)
    if not 0 < rate < 1:
        raise ValueError(f"rate must be above 0 and below 1; got {rate!r}")
    return (torch.arange(n_step, dtype=torch.float64) * math.log1p(-rate)).softmax(dim=0)


def divergence(log_probabilities: Tensor, prior: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the chances to halt from the prior, in nats, shape (...).

    Parameters
    ----------
    log_probabilities : tensor, shape (..., n_step)
    prior : tensor, shape (n_step,)
        Positive.

    Source: Banino, Balaguer and Blundell 2021 (PonderNet).
    """
    return (log_probabilities.exp() * (log_probabilities - prior.to(log_probabilities).log())).sum(dim=-1)


def expected_loss(losses: Tensor, probabilities: Tensor) -> Tensor:
    """The loss to expect where each step is the last with its probability: ``sum(p_n * L_n)``, shape (...).

    Parameters
    ----------
    losses, probabilities : tensors, shape (..., n_step)

    Source: Banino, Balaguer and Blundell 2021 (PonderNet).
    """
    return (probabilities * losses).sum(dim=-1)


def median_step(log_probabilities: Tensor) -> Tensor:
    """The first step by which a token has more likely halted than not, from 1, shape (...).

    In place of a draw from the chances, so that a model answers the same each time.

    Parameters
    ----------
    log_probabilities : tensor, shape (..., n_step)
    """
    return 1 + (log_probabilities.exp().cumsum(dim=-1)[..., :-1] <= 0.5).sum(dim=-1)


def flops_run(config: TransformerConfig, steps: Tensor) -> int:
    """FLOPs that a model with ``halting`` runs in eval mode: each text goes on until its slowest token halts.

    Parameters
    ----------
    steps : integer tensor, shape (batch, n)
        That the tokens took: ``trace.steps`` of ``model(tokens, trace=trace)``.

    Raises
    ------
    ValueError
        If the config has no halting, or a token took no step or more than ``n_layer``.

    See also: `flops_of_tokens`, what a decoder could save.
    """
    if config.halting is None:
        raise ValueError("config must have halting for its steps to differ; got None")
    require_layers(steps, config, name="steps")
    n, total = steps.shape[1], 0
    for slowest in steps.amax(dim=1).tolist():
        total += forward_flops(config.replace(n_layer=slowest), batch=1, seq_len=n).total
        # Of its last step a text is asked as well whether it halts, unless there is no other.
        total += 2 * n * config.d_model * (slowest < config.n_layer)
    return total


def flops_of_tokens(config: TransformerConfig, steps: Tensor) -> tuple[int, int]:
    """FLOPs of a decoder with ``halting="act"`` that runs for each token its steps only; and without halting.

    Token by token, a token's scores being those with itself and the tokens before it. The state of a token
    that has halted has its keys and values computed once more, for later tokens that take more steps. With
    ``"ponder"`` a token's states after its answer are read as well, so nothing is saved in this way.

    Parameters
    ----------
    steps : integer tensor, shape (batch, n)
        As for `flops_run`.

    Raises
    ------
    ValueError
        If ``halting`` is not ``"act"``, or a token took no step or more than ``n_layer``.
    """
    if config.halting != "act":
        raise ValueError(f"halting must be 'act' in the config; got {config.halting!r}")
    require_layers(steps, config, name="steps")
    steps, of_block = steps.cpu(), token_flops(config, n=steps.shape[1])
    early = (steps < config.n_layer).long()
    asking, answering = 2 * config.d_model, 2 * config.d_model * config.vocab_size
    run = steps * of_block + early * key_value_flops(config) + answering
    run += (steps - 1 + early) * asking  # after every step but the last that there can be
    full = config.n_layer * of_block + (config.n_layer - 1) * asking + answering
    return int(run.sum()), len(steps) * int(full.sum())


def require_layers(layers: Tensor, config: TransformerConfig, *, name: str) -> None:
    """Refuse numbers of blocks passed that are not from 1 to ``n_layer``."""
    if layers.ndim != 2 or not layers.numel() or layers.min() < 1 or layers.max() > config.n_layer:
        raise ValueError(
            f"{name} must have shape (batch, n) and lie from 1 to n_layer={config.n_layer}; "
            f"got {layers.tolist()}"
        )


def token_flops(config: TransformerConfig, *, n: int) -> Tensor:
    """FLOPs of each token of a text in one block, read after all that came before it, shape (n,)."""
    block, texts = config.replace(n_layer=1), [0]
    for length in range(1, n + 1):
        count = forward_flops(block, batch=1, seq_len=length, causal_skip=True)
        texts.append(int(count.total - count.by_part["unembedding"]))
    return torch.tensor(texts).diff()


def key_value_flops(config: TransformerConfig) -> int:
    """FLOPs of one token's keys and values in one block."""
    return 2 * config.d_model * 2 * config.n_kv_head * config.d_head
