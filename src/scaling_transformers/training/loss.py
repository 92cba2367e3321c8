"""The loss of a language model without its table of logits: a chunk of tokens at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scaling_transformers.model import Trace, Transformer
from scaling_transformers.model._inputs import require_below
from scaling_transformers.sparsity.early_exit import require_exits

_LOGITS_AT_ONCE = 2**23  # of four bytes: they stay in a processor's cache, or nearly so


def next_token_loss(
    model: Transformer,
    tokens: Tensor,
    targets: Tensor,
    *,
    hidden: Callable[..., Tensor] | None = None,
    trace: Trace | None = None,
) -> Tensor:
    """Mean cross-entropy of the targets, in nats per token: that of ``model(tokens)``, without its logits.

    The logits of a batch are its largest tensor, and their gradient is as large: ``vocab_size`` numbers a
    token each. Here a few tokens at a time, 32 MiB of logits, are taken to their part of the loss and their
    part of the gradients.

    Parameters
    ----------
    tokens, targets : integer tensors, shape (batch, n)
    hidden : callable, optional
        In place of ``model.hidden``: the same, compiled.
    trace : Trace, optional
        Goes through the model. With it, the loss of a model with ``halting="ponder"`` is the one to expect
        over the steps at which a token may halt, as PonderNet is trained; without, that of its one answer.

    Under torch's autocast the matrix products have its precision, and the sums of the loss float32's.

    Returns
    -------
    tensor without axes
        Call ``backward`` on it once; there is no second derivative.

    Raises
    ------
    ValueError
        If the shapes differ, or a target is outside the vocabulary; for ``tokens`` as `Transformer.forward`.
    """
    states = _states(model, tokens, targets, hidden=hidden, trace=trace)
    if trace is None or trace.states is None or trace.probabilities is None:
        return loss_of_states(model, states, targets)
    return loss_of_states(
        model, torch.stack(trace.states), targets, shares=trace.probabilities.movedim(-1, 0)
    )


def exit_loss(
    model: Transformer,
    tokens: Tensor,
    targets: Tensor,
    *,
    hidden: Callable[..., Tensor] | None = None,
    trace: Trace | None = None,
) -> Tensor:
    """Mean over the blocks of the loss that the states after each would have, so that each can be an exit.

    Every block's states are read through the model's last norm and its unembedding, as
    `scaling_transformers.sparsity.early_exit` reads them.

    Parameters, errors: as for `next_token_loss`; also ValueError if tokens skip blocks of the model.

    Source: Elbayad et al. 2020 (Depth-Adaptive Transformer), aligned training, all exits weighing alike.
    """
    require_exits(model.config)
    trace = Trace() if trace is None else trace
    trace.states = []
    _states(model, tokens, targets, hidden=hidden, trace=trace)
    states = torch.stack(trace.states)
    shares = states.new_full(states.shape[:-1], 1 / len(states), dtype=_at_least_float32(states))
    return loss_of_states(model, states, targets, shares=shares)


def _states(
    model: Transformer,
    tokens: Tensor,
    targets: Tensor,
    *,
    hidden: Callable[..., Tensor] | None,
    trace: Trace | None,
) -> Tensor:
    """Last hidden states, once the targets are seen to fit."""
    if targets.shape != tokens.shape:
        raise ValueError(
            f"targets must have the shape of tokens, {tuple(tokens.shape)}; got {tuple(targets.shape)}"
        )
    require_below(targets, model.config.vocab_size, name="targets", limit="vocab_size")
    hidden = model.hidden if hidden is None else hidden
    states: Tensor = hidden(tokens) if trace is None else hidden(tokens, trace=trace)
    return states


def loss_of_states(
    model: Transformer, states: Tensor, targets: Tensor, *, shares: Tensor | None = None
) -> Tensor:
    """Mean over tokens of the loss of their last hidden states; of several states each, by their shares.

    Parameters
    ----------
    states : tensor, shape (..., batch, n, d_model)
    targets : integer tensor, shape (batch, n)
    shares : tensor, shape (..., batch, n), optional
    """
    x, device = states.flatten(0, -2), states.device.type
    if torch.is_autocast_enabled(device):
        x = x.to(torch.get_autocast_dtype(device))
    chunk = max(1, _LOGITS_AT_ONCE // model.config.vocab_size)
    each = targets.expand(states.shape[:-1]).flatten()
    if shares is not None:
        shares = shares.flatten() / targets.numel()
    with torch.autocast(device, enabled=False):  # it would mix types in what is done in place
        return _ChunkedLoss.apply(x, model.unembedding.weight, each, chunk, shares)  # type: ignore[no-any-return, no-untyped-call]


def _at_least_float32(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)  # half precision would lose digits of the sums


class _ChunkedLoss(torch.autograd.Function):
    """Mean cross-entropy of ``x @ weight.T``, or its sum by shares; made together with its gradients."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, chunk: int, shares: Tensor | None
    ) -> Tensor:
        work = _at_least_float32(x)
        loss = x.new_zeros((), dtype=work)
        x_grad, weight_grad = (
            torch.zeros_like(part) if needed else None
            for part, needed in zip((x, weight), ctx.needs_input_grad, strict=False)
        )
        shares_grad = None if shares is None else torch.empty_like(shares)
        read = weight.to(x.dtype)  # the same tensor, but under autocast
        for start in range(0, len(x), chunk):
            rows, target = slice(start, start + chunk), targets[start : start + chunk, None]
            logits = (x[rows] @ read.T).to(work)
            logits -= logits.amax(dim=1, keepdim=True)
            at_target = logits.gather(1, target)
            exponentials = logits.exp_()  # in place: the logits are not needed any more
            total = exponentials.sum(dim=1, keepdim=True)
            losses = total.log() - at_target
            # Of a token's loss by its logits: the softmax, less 1 at the target.
            slope = exponentials.div_(total).scatter_add_(1, target, -torch.ones_like(total))
            if shares is not None and shares_grad is not None:
                shares_grad[rows] = losses.squeeze(1)  # a share's own gradient
                losses, slope = losses * shares[rows, None], slope.mul_(shares[rows, None])
            loss += losses.sum()
            slope = slope.to(x.dtype)
            if x_grad is not None:
                x_grad[rows] = slope @ read
            if weight_grad is not None and weight_grad.dtype == x.dtype:
                weight_grad.addmm_(slope.T, x[rows])
            elif weight_grad is not None:  # the sum over chunks keeps the digits of the weight
                weight_grad += slope.T @ x[rows]
        ctx.gradients = x_grad, weight_grad, None, None, shares_grad
        ctx.n_token = n_token = len(x) if shares is None else 1
        return loss / n_token

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        gradients, ctx.gradients = ctx.gradients, None  # given away, so that they can be scaled in place
        if gradients is None:
            raise RuntimeError("backward can be called once on a loss of next_token_loss")
        factor = slope / ctx.n_token
        return (*(None if part is None else part.mul_(factor) for part in gradients),)
