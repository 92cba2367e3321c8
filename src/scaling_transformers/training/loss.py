"""The loss of a language model without its table of logits: a chunk of tokens at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scaling_transformers.model import Transformer
from scaling_transformers.model._inputs import require_below

_LOGITS_AT_ONCE = 2**23  # of four bytes: they stay in a processor's cache, or nearly so


def next_token_loss(
    model: Transformer, tokens: Tensor, targets: Tensor, *, hidden: Callable[[Tensor], Tensor] | None = None
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
    if targets.shape != tokens.shape:
        raise ValueError(
            f"targets must have the shape of tokens, {tuple(tokens.shape)}; got {tuple(targets.shape)}"
        )
    require_below(targets, model.config.vocab_size, name="targets", limit="vocab_size")
    x, device = (model.hidden if hidden is None else hidden)(tokens).flatten(0, 1), tokens.device.type
    if torch.is_autocast_enabled(device):
        x = x.to(torch.get_autocast_dtype(device))
    chunk = max(1, _LOGITS_AT_ONCE // model.config.vocab_size)
    with torch.autocast(device, enabled=False):  # it would mix types in what is done in place
        return _ChunkedLoss.apply(x, model.unembedding.weight, targets.flatten(), chunk)  # type: ignore[no-any-return, no-untyped-call]


class _ChunkedLoss(torch.autograd.Function):
    """Mean cross-entropy of ``x @ weight.T``. The way forward makes the gradients, too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, chunk: int) -> Tensor:
        work = torch.promote_types(x.dtype, torch.float32)  # half precision would lose digits of the sums
        loss = x.new_zeros((), dtype=work)
        x_grad, weight_grad = (
            torch.zeros_like(part) if needed else None
            for part, needed in zip((x, weight), ctx.needs_input_grad, strict=False)
        )
        read = weight.to(x.dtype)  # the same tensor, but under autocast
        for start in range(0, len(x), chunk):
            rows, target = slice(start, start + chunk), targets[start : start + chunk, None]
            logits = (x[rows] @ read.T).to(work)
            logits -= logits.amax(dim=1, keepdim=True)
            at_target = logits.gather(1, target)
            exponentials = logits.exp_()  # in place: the logits are not needed any more
            total = exponentials.sum(dim=1, keepdim=True)
            loss += (total.log() - at_target).sum()
            # Of a token's loss by its logits: the softmax, less 1 at the target.
            slope = exponentials.div_(total).scatter_add_(1, target, -torch.ones_like(total)).to(x.dtype)
            if x_grad is not None:
                x_grad[rows] = slope @ read
            if weight_grad is not None and weight_grad.dtype == x.dtype:
                weight_grad.addmm_(slope.T, x[rows])
            elif weight_grad is not None:  # the sum over chunks keeps the digits of the weight
                weight_grad += slope.T @ x[rows]
        ctx.gradients = x_grad, weight_grad
        ctx.n_token = len(x)
        return loss / len(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        gradients, ctx.gradients = ctx.gradients, None  # given away, so that they can be scaled in place
        if gradients is None:
            raise RuntimeError("backward can be called once on a loss of next_token_loss")
        factor = slope / ctx.n_token
        return (*(None if part is None else part.mul_(factor) for part in gradients), None, None)
