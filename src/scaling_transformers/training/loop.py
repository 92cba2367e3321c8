"""A training loop of one screen: AdamW, warm-up, cosine decay, clipping."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from scaling_transformers.attention.masks import require_count
from scaling_transformers.model import Transformer
from scaling_transformers.training.language import SyntheticLanguage
from scaling_transformers.training.loss import next_token_loss
from scaling_transformers.training.parameterisation import parameter_groups

Text = NDArray[np.unsignedinteger[Any]] | SyntheticLanguage
"""What models are trained on: an array of tokens, or a language that goes on for ever."""


def sample_batch(text: Text, *, batch: int, n: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Random cuts of a text: tokens and their successors, each of shape (batch, n).

    Of a `SyntheticLanguage` the cuts follow each other, from a place that no other batch has seen but for an
    unlikely chance; each begins with a tree.

    Raises
    ------
    ValueError
        If the text is shorter than ``n + 1``, or ``n`` is not one of whole trees of the language, or ``batch``
        or ``n`` is not a whole number of at least 1.
    """
    require_count(batch=batch, n=n)
    if isinstance(text, SyntheticLanguage):
        if n % text.tree_length:
            raise ValueError(f"n must be a multiple of the language's trees of {text.tree_length}; got {n}")
        start = int(generator.integers(2**40)) * text.tree_length
        stream = torch.from_numpy(text.tokens(start=start, n=batch * n + 1).astype(np.int64))
        return stream[:-1].view(batch, n), stream[1:].view(batch, n)
    if text.ndim != 1 or len(text) < n + 1:
        raise ValueError(f"text must have one axis of at least {n + 1} tokens; got shape {text.shape}")
    starts = generator.integers(0, len(text) - n, size=batch)
    cuts = torch.from_numpy(text[starts[:, None] + np.arange(n + 1)].astype(np.int64))
    return cuts[:, :-1], cuts[:, 1:]


Sampler = Callable[..., tuple[Tensor, Tensor]]
"""Answers tokens and targets, as `sample_batch` does."""


def train(
    model: Transformer,
    text: Text,
    *,
    n_step: int,
    batch: int,
    n: int,
    learning_rate: float,
    seed: int = 0,
    transfer: bool = False,
    sampler: Sampler = sample_batch,
    each_step: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train in place on random cuts of a text; return the loss of every step, in nats per token.

    The learning rate rises linearly over the first 2 % of the steps and falls on a cosine to a tenth. With
    ``transfer`` each matrix has the rate that `parameter_groups` gives its width, and nothing decays. Another
    ``sampler`` makes other batches of the text; ``each_step`` is told the step and its loss.

    Raises
    ------
    FloatingPointError
        If loss or gradient stop being finite; the message names step and learning rate.
    """
    generator = np.random.default_rng(seed)
    groups: list[dict[str, Any]]
    if transfer:
        groups = parameter_groups(model, learning_rate=learning_rate)
    else:
        decayed = [p for p in model.parameters() if p.ndim >= 2]
        plain = [p for p in model.parameters() if p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)
    warm_up = max(1, n_step // 50)

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        progress = (step - warm_up) / max(1, n_step - warm_up)
        return 0.1 + 0.45 * (1 + math.cos(math.pi * progress))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    losses = []
    for step in range(n_step):
        tokens, targets = sampler(text, batch=batch, n=n, generator=generator)
        loss = next_token_loss(model, tokens, targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for name, value in (("loss", loss), ("gradient norm", norm)):
            if not torch.isfinite(value):
                rate = scheduler.get_last_lr()[0]
                raise FloatingPointError(
                    f"{name} is {value.item()} at step {step} with learning rate {rate:g}"
                )
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
        if each_step is not None:
            each_step(step, losses[-1])
    return losses


@torch.no_grad()
def token_losses(model: Transformer, tokens: Tensor, *, head_gate: Tensor | None = None) -> Tensor:
    """Loss of predicting each token but the first from those before it, in nats.

    Parameters
    ----------
    tokens : integer tensor, shape (batch, n)
    head_gate : as for `Transformer.forward`

    Returns
    -------
    tensor, shape (batch, n - 1)
    """
    logits = model(tokens[:, :-1], head_gate=head_gate)
    return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")


@torch.no_grad()
def validation_loss(model: Transformer, text: Text, *, n: int, n_text: int, seed: int = 0) -> float:
    """Mean loss, in nats per token, over ``n_text`` random cuts of ``n`` tokens."""
    require_count(n_text=n_text)
    generator = np.random.default_rng(seed)
    total = 0.0
    for start in range(0, n_text, 32):
        count = min(32, n_text - start)
        tokens, targets = sample_batch(text, batch=count, n=n, generator=generator)
        total += count * F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten()).item()
    return total / n_text
