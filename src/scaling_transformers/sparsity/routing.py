"""Who serves a token: the routing of a mixture of experts, and what keeps the experts equally busy."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from scaling_transformers.attention.masks import require_count


class TopK(NamedTuple):
    """The experts that each token picks.

    Attributes
    ----------
    weights : tensor, shape (..., n_active)
        Factors on the experts' outputs, the largest first unless a bias changed the choice; they sum to 1.
    experts : integer tensor, shape (..., n_active)
    probabilities : tensor, shape (..., n_expert)
        The softmax over all experts.
    """

    weights: Tensor
    experts: Tensor
    probabilities: Tensor


class ExpertChoice(NamedTuple):
    """The tokens that each expert picks.

    Attributes
    ----------
    weights : tensor, shape (batch, n_expert, n_taken)
        Factors on the expert's outputs: the token's softmax over the experts.
    tokens : integer tensor, shape (batch, n_expert, n_taken)
        Places in the text, the dearest first.
    """

    weights: Tensor
    tokens: Tensor


def probabilities_of(logits: Tensor) -> Tensor:
    """The softmax over experts, in float32 at least: rounding in half precision would change the choice."""
    return logits.softmax(dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def top_k(logits: Tensor, *, n_active: int, bias: Tensor | None = None) -> TopK:
    """Each token picks the ``n_active`` experts with the largest softmax, made to sum to 1.

    Parameters
    ----------
    logits : tensor, shape (..., n_expert)
    n_active : int
        From 1 to ``n_expert``.
    bias : tensor, shape (n_expert,), optional
        Added to the softmax for the choice alone: the weights are without it, and no gradient flows to it.

    Raises
    ------
    ValueError
        If ``n_active`` is out of range, or ``bias`` has another shape.

    Source: Jiang et al. 2024 (Mixtral of Experts), section 2.1; Wang et al. 2024 for the bias, which stands
    beside a sigmoid there.
    """
    n_expert = logits.shape[-1]
    _require_active(n_active, n_expert)
    probabilities = probabilities_of(logits)
    if bias is None:
        weights, experts = probabilities.topk(n_active, dim=-1)
    else:
        if tuple(bias.shape) != (n_expert,):
            raise ValueError(f"bias must have shape ({n_expert},); got {tuple(bias.shape)}")
        experts = (probabilities.detach() + bias).topk(n_active, dim=-1).indices
        weights = probabilities.gather(-1, experts)
    return TopK(weights / weights.sum(dim=-1, keepdim=True), experts, probabilities)


def expert_capacity(n: int, *, n_expert: int, n_active: int, factor: float = 1.0) -> int:
    """Tokens of a text of ``n`` that an expert has room for: ``factor`` times its equal share, rounded up.

    An equal share is ``n * n_active / n_expert``. No text has more than ``n`` to give.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> expert_capacity(10, n_expert=4, n_active=2), expert_capacity(10, n_expert=4, n_active=2, factor=1.25)
    (5, 7)

    Source: Fedus et al. 2022 (Switch Transformers), whose batch is a single text here.
    """
    require_count(n=n, n_expert=n_expert)
    _require_active(n_active, n_expert)
    if not 0 < factor < math.inf:
        raise ValueError(f"factor must be positive and finite; got {factor!r}")
    return min(n, math.ceil(factor * (n * n_active) / n_expert))


def within_capacity(experts: Tensor, *, n_expert: int, capacity: int) -> Tensor:
    """Which pairs of token and expert are served: in each text the first ``capacity`` of every expert.

    Earlier tokens go first, so that no token is dropped for the sake of a later one: what a decoder says at a
    token does not depend on which tokens follow (only, as the capacity does, on how many).

    Parameters
    ----------
    experts : integer tensor, shape (batch, n, n_active)
        No expert twice for one token.

    Returns
    -------
    boolean tensor, shape (batch, n, n_active)
        False where the pair is dropped.
    """
    require_count(capacity=capacity)
    asked = F.one_hot(experts, n_expert).sum(dim=-2)  # (batch, n, n_expert), 0 or 1
    place = asked.cumsum(dim=-2).gather(-1, experts)  # in the expert's queue, from 1
    return place <= capacity


def expert_choice(logits: Tensor, *, n_taken: int) -> ExpertChoice:
    """Each expert picks the ``n_taken`` tokens of every text that have the largest softmax for it.

    The load is equal by construction; a token may get every expert, or none. **It looks ahead**: whether a
    token is served depends on whether a later token outbids it. In a decoder that is a leak of the future,
    which the loss in training hides and which generation, where the later tokens are not there yet, cannot
    repeat.

    Parameters
    ----------
    logits : tensor, shape (batch, n, n_expert)
    n_taken : int
        From 1 to ``n``; `expert_capacity` with factor 1 makes it as dear as `top_k`.

    Raises
    ------
    ValueError
        If ``n_taken`` is out of range.

    Source: Zhou et al. 2022 (Mixture-of-Experts with Expert Choice Routing).
    """
    require_count(n_taken=n_taken)
    if n_taken > logits.shape[-2]:
        raise ValueError(f"n_taken must be at most the {logits.shape[-2]} tokens of a text; got {n_taken}")
    weights, tokens = probabilities_of(logits).transpose(-1, -2).topk(n_taken, dim=-1)
    return ExpertChoice(weights, tokens)


def load(experts: Tensor, *, n_expert: int) -> Tensor:
    """Share of all choices that fall on each expert, shape (n_expert,); they sum to 1.

    Parameters
    ----------
    experts : integer tensor, any shape, not empty
    """
    counts = torch.bincount(experts.flatten(), minlength=n_expert)
    return counts / counts.sum()


def load_entropy(load: Tensor) -> Tensor:
    """Entropy of the load, as a share of its largest: 1 where all experts are equally busy, 0 where one is.

    Parameters
    ----------
    load : tensor, shape (n_expert,)
        At least 2 experts; sums to 1.
    """
    if load.ndim != 1 or len(load) < 2:
        raise ValueError(f"load must have one axis of at least 2 experts; got shape {tuple(load.shape)}")
    entropy: Tensor = torch.special.entr(load).sum() / math.log(len(load))
    return entropy


def balance_loss(probabilities: Tensor, experts: Tensor) -> Tensor:
    """A term of the loss that pulls the experts towards equal load: ``n_expert * sum_i f_i P_i``.

    ``f_i`` is the share of choices that fall on expert i, before any is dropped, and ``P_i`` the mean
    probability that the router gives it; only ``P_i`` has a gradient. 1 where choices or probabilities are
    spread evenly, up to ``n_expert / n_active`` where the router is sure of the same experts for every token.
    With several experts a token ``f`` still sums to 1: the same function of the transformers library, where
    it sums to ``n_active``, is ``n_active`` times as large.

    Parameters
    ----------
    probabilities : tensor, shape (..., n_expert)
    experts : integer tensor, shape (..., n_active)

    Source: Fedus et al. 2022 (Switch Transformers), equations 4 to 6.
    """
    n_expert = probabilities.shape[-1]
    mean = probabilities.flatten(0, -2).mean(dim=0)
    return n_expert * (load(experts, n_expert=n_expert).to(mean.dtype) * mean).sum()


def updated_bias(bias: Tensor, load: Tensor, *, rate: float) -> Tensor:
    """The bias of `top_k` after a step: ``rate`` less for experts that were too busy, more for the others.

    Balance without a term of the loss, and so without its gradient.

    Source: Wang et al. 2024 (Auxiliary-Loss-Free Load Balancing Strategy).
    """
    return bias + rate * (1 / len(load) - load).sign().to(bias.dtype)


def _require_active(n_active: int, n_expert: int) -> None:
    require_count(n_active=n_active)
    if n_active > n_expert:
        raise ValueError(f"n_active must be at most n_expert={n_expert}; got {n_active}")
