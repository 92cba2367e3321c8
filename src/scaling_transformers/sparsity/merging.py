"""Merge tokens that are alike, so that what follows reads fewer of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from scaling_transformers.attention.masks import require_count
from scaling_transformers.sparsity.depths import take


class Merged(NamedTuple):
    """What is left of ``n`` tokens after ``r`` pairs were merged.

    Attributes
    ----------
    x : tensor, shape (batch, n - r, d)
        The states left, in the order of the text.
    size : tensor, shape (batch, n - r)
        How many tokens each stands for.
    group : integer tensor, shape (batch, n)
        Which of those left each token went into.
    kept : integer tensor, shape (batch, n - r)
        Which token each of those left was before: of a merged pair the one that stayed in place.
    """

    x: Tensor
    size: Tensor
    group: Tensor
    kept: Tensor


def merge_tokens(x: Tensor, keys: Tensor, size: Tensor, *, r: int, keep_first: bool = False) -> Merged:
    """Merge the ``r`` pairs of tokens whose keys are most alike, by bipartite soft matching.

    The tokens are dealt into two sets by turns. Each of the first set (tokens 0, 2, 4, ...) looks for the one
    of the second whose key has the largest cosine with its own. The ``r`` best of these pairs are merged into
    their mean, weighted by size, which stands where the token of the second set stood. Several may merge into
    one.

    Parameters
    ----------
    x : tensor, shape (batch, n, d)
        States of the tokens.
    keys : tensor, shape (batch, n, d_key)
        What is compared: the keys of all heads side by side.
    size : tensor, shape (batch, n)
        How many tokens each stands for already, in the dtype of ``x``.
    r : int
        Pairs to merge, at most ``n / 2``.
    keep_first : bool
        Merge the first token last of all: a text is read from it.

    Returns
    -------
    Merged

    Raises
    ------
    ValueError
        If a shape does not fit or ``r`` is out of range.

    Examples
    --------
    >>> x = torch.tensor([[[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.2, 1.0]]])
    >>> merged = merge_tokens(x, x, torch.ones(1, 4), r=1)
    >>> merged.group.tolist(), merged.size.tolist()
    ([[0, 0, 1, 2]], [[2.0, 1.0, 1.0]])

    Source: Bolya et al. 2023 (Token Merging), who average the keys over the heads; here they stand side by
    side.
    """
    if not isinstance(x, Tensor) or x.ndim != 3 or not x.is_floating_point():
        raise ValueError(
            f"x must be a floating tensor of shape (batch, n, d); got {getattr(x, 'shape', type(x))}"
        )
    batch, n = x.shape[:2]
    if keys.ndim != 3 or keys.shape[:2] != x.shape[:2]:
        raise ValueError(f"keys must have shape ({batch}, {n}, d_key); got {tuple(keys.shape)}")
    if size.shape != x.shape[:2]:
        raise ValueError(f"size must have shape ({batch}, {n}); got {tuple(size.shape)}")
    require_count(r=r, least=0)
    if 2 * r > n:
        raise ValueError(f"r must be at most half of the {n} tokens; got {r}")
    places = torch.arange(n, device=x.device).expand(batch, n)
    if r == 0:
        return Merged(x, size, places, places)
    with torch.no_grad():  # who merges with whom has no gradient
        directions = F.normalize(keys, dim=-1)
        cosine, partner = (directions[:, ::2] @ directions[:, 1::2].mT).max(dim=-1)
        if keep_first:
            cosine[:, 0] = -float("inf")
        leaving = cosine.argsort(dim=1, descending=True, stable=True)[:, :r]
        target = places.scatter(1, 2 * leaving, 2 * partner.gather(1, leaving) + 1)
        stays = target == places
        kept = (~stays).long().argsort(dim=1, stable=True)[:, : n - r]  # a fixed number, so shapes are known
        group = (stays.cumsum(dim=1) - 1).gather(1, target)
    total = size.new_zeros(batch, n - r).scatter_add(1, group, size)
    share = size / total.gather(1, group)
    states = x.new_zeros(batch, n - r, x.shape[2])
    return Merged(
        states.scatter_add(1, group[..., None].expand_as(x), x * share[..., None]), total, group, kept
    )


def unmerge_tokens(x: Tensor, group: Tensor) -> Tensor:
    """Give each token the state of the one it went into.

    Parameters
    ----------
    x : tensor, shape (batch, n_left, d)
    group : integer tensor, shape (batch, n)

    Returns
    -------
    tensor, shape (batch, n, d)
    """
    return take(x, group)
