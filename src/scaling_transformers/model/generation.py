"""From logits to the next token."""

from __future__ import annotations

import math
from numbers import Real
from typing import cast

import torch
from torch import Tensor, nn

from scaling_transformers.attention.masks import require_count
from scaling_transformers.config import TransformerConfig


def without_cache(config: TransformerConfig) -> str | None:
    """Why a model cannot go on with a text from keys and values alone; None if it can."""
    if config.depth_keep < 1:
        return f"depth_keep={config.depth_keep} keeps other tokens in each block"
    if config.shorten > 1:
        return f"shorten={config.shorten} joins tokens into one"
    if config.halting is not None:
        return f"halting={config.halting!r} lets each token decide how far it goes"
    if config.capacity_factor is not None:
        return f"capacity_factor={config.capacity_factor} gives room by the length of the text"
    if config.routing == "expert_choice":
        return "routing='expert_choice' looks at the whole text"
    return None


def check_causal(model: nn.Module) -> None:
    """Refuse to generate with a model that would look at tokens which are not there yet."""
    config = cast(TransformerConfig, model.config)
    if config.routing == "expert_choice":
        raise ValueError("routing='expert_choice' cannot generate: experts choose by the tokens to come")
    if config.depth_keep < 1 and model.training:
        raise ValueError(f"depth_keep={config.depth_keep} looks ahead in training; call model.eval() first")


def check_sampling(*, temperature: float, top_k: int | None, top_p: float | None, vocab_size: int) -> None:
    """Refuse settings of `sample` that are out of range."""
    if (
        isinstance(temperature, bool)
        or not isinstance(temperature, Real)
        or not 0 <= float(temperature) < math.inf
    ):
        raise ValueError(f"temperature must be a finite number of at least 0; got {temperature!r}")
    if top_k is not None:
        require_count(top_k=top_k)
        if top_k > vocab_size:
            raise ValueError(f"top_k must be at most vocab_size={vocab_size}; got {top_k}")
    if top_p is not None and (
        isinstance(top_p, bool) or not isinstance(top_p, Real) or not 0 < float(top_p) <= 1
    ):
        raise ValueError(f"top_p must be above 0 and at most 1; got {top_p!r}")


def sample(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw one token from each row of logits.

    Parameters
    ----------
    logits : tensor, shape (batch, vocab_size)
    temperature, top_k, top_p, generator
        As for `Transformer.generate`, and already checked.

    Returns
    -------
    integer tensor, shape (batch, 1)

    Source: Holtzman et al. 2020, section 3 (top-p).
    """
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    # The largest is taken off first, so that no temperature, however low, makes an infinite number.
    logits = (logits - logits.amax(dim=-1, keepdim=True)).double() / temperature
    logits, tokens = logits.sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        logits, tokens = logits[:, :top_k], tokens[:, :top_k]
    probabilities = logits.softmax(dim=-1)
    if top_p is not None:
        likelier = probabilities.cumsum(dim=-1) - probabilities  # mass of what comes before a token
        probabilities = probabilities.masked_fill(likelier >= top_p, 0.0)
    rank = torch.multinomial(probabilities, 1, generator=generator)
    return tokens.gather(-1, rank)
