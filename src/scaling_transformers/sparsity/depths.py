"""Which tokens a block reads, and how they come out of the text and back: a mixture of depths."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from scaling_transformers.attention.masks import require_count


def keep_largest(logits: Tensor, *, n_keep: int) -> Tensor:
    """The ``n_keep`` tokens of each text with the largest logits: what is read in training.

    It looks ahead: whether a token is read depends on the tokens after it. `keep_positive` does not.

    Parameters
    ----------
    logits : tensor, shape (batch, n)
    n_keep : int
        From 1 to ``n``.

    Returns
    -------
    boolean tensor, shape (batch, n)

    Raises
    ------
    ValueError
        If ``n_keep`` is out of range.

    Source: Raposo et al. 2024 (Mixture-of-Depths), who call it expert choice.
    """
    require_count(n_keep=n_keep)
    if n_keep > logits.shape[-1]:
        raise ValueError(f"n_keep must be at most the {logits.shape[-1]} tokens of a text; got {n_keep}")
    kept = torch.zeros_like(logits, dtype=torch.bool)
    return kept.scatter_(-1, logits.topk(n_keep, dim=-1).indices, True)


def keep_positive(logits: Tensor) -> Tensor:
    """The tokens whose logit is above 0: what is read where the future is not known.

    Each token is decided on its own, so their number differs from text to text; `keeping_loss` teaches the
    router to come near the share that `keep_largest` has.

    Source: Raposo et al. 2024 (Mixture-of-Depths), on sampling.
    """
    return logits > 0


def keeping_loss(logits: Tensor, kept: Tensor) -> Tensor:
    """Cross-entropy of the guess, from a token's logit alone, whether it was kept; in nats, a mean.

    Parameters
    ----------
    logits : tensor, shape (batch, n)
    kept : boolean tensor, shape (batch, n)

    Source: Raposo et al. 2024 (Mixture-of-Depths), on sampling.
    """
    return F.binary_cross_entropy_with_logits(logits, kept.to(logits.dtype))


def places_of(kept: Tensor) -> tuple[Tensor, Tensor]:
    """Where the kept tokens stand, in their order, in rows filled up to the longest.

    Parameters
    ----------
    kept : boolean tensor, shape (batch, n)

    Returns
    -------
    places : integer tensor, shape (batch, most)
        With ``most`` the largest number of tokens kept in a text. What fills a row up stands at its end and
        names tokens that are not kept, none of them twice.
    real : boolean tensor, shape (batch, most)
        False where a row is filled up.
    """
    most = int(kept.sum(dim=-1).max())
    places = (~kept).to(torch.uint8).argsort(dim=-1, stable=True)[:, :most]
    return places, kept.gather(-1, places)


def take(x: Tensor, places: Tensor) -> Tensor:
    """The states at some places of each text: (batch, n, d) and (batch, m) to (batch, m, d)."""
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[-1]))


def add_at(x: Tensor, places: Tensor, update: Tensor) -> Tensor:
    """The states ``x`` with ``update``, shape (batch, m, d), added at some places of each text."""
    return x.scatter_add(1, places[..., None].expand_as(update), update.to(x.dtype))
