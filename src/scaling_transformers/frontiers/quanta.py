"""The quanta model: knowledge in pieces, each learned at once, the most used first; their sum is smooth."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers.attention.masks import require_count

Floats = NDArray[np.float64]


def zipf_frequencies(n_task: int, *, alpha: float) -> Floats:
    """Shares of the tasks in the data, most frequent first: rank ** -(1 + alpha), which sum to 1.

    Raises
    ------
    ValueError
        If ``n_task`` is below 1 or ``alpha`` is not positive and finite.

    Source: Michaud et al. 2023.
    """
    require_count(n_task=n_task)
    if not (math.isfinite(alpha) and alpha > 0):
        raise ValueError(f"alpha must be positive and finite; got {alpha!r}")
    weights = np.arange(1.0, n_task + 1.0) ** -(1.0 + alpha)
    shares: Floats = weights / weights.sum()
    return shares


def loss_when_learned(frequencies: ArrayLike, n_learned: ArrayLike, *, unlearned: float = 1.0) -> Floats:
    """Mean loss once the ``n_learned`` most frequent tasks are learned and cost nothing.

    Parameters
    ----------
    frequencies : shares, most frequent first
    n_learned : whole numbers from 0 to the number of tasks, any shape
    unlearned : loss of a task before it is learned; ln 2 nats for a guess between two

    Raises
    ------
    ValueError
        If ``n_learned`` lies outside.
    """
    shares, n = np.asarray(frequencies, dtype=np.float64), np.asarray(n_learned)
    if n.size and (n.min() < 0 or n.max() > len(shares)):
        raise ValueError(f"n_learned must be from 0 to {len(shares)}; got {n_learned!r}")
    left = np.concatenate([np.cumsum(shares[::-1])[::-1], [0.0]])
    loss: Floats = unlearned * left[n]
    return loss


def loss_from_examples(
    frequencies: ArrayLike, n_example: ArrayLike, *, needed: float, unlearned: float = 1.0
) -> Floats:
    """Mean loss when a task is learned once ``needed`` examples of it are expected among ``n_example``.

    Raises
    ------
    ValueError
        If ``needed`` is not positive.
    """
    if not needed > 0:
        raise ValueError(f"needed must be positive; got {needed!r}")
    shares = np.asarray(frequencies, dtype=np.float64)
    expected = np.asarray(n_example, dtype=np.float64)[..., None] * shares
    loss: Floats = unlearned * np.where(expected < needed, shares, 0.0).sum(axis=-1)
    return loss


def sampled_loss(frequencies: ArrayLike, n_example: int, *, needed: int, n_draw: int, seed: int) -> Floats:
    """The same with the examples drawn: a task is learned where ``needed`` came. Shape (n_draw,)."""
    require_count(n_example=n_example, needed=needed, n_draw=n_draw)
    shares = np.asarray(frequencies, dtype=np.float64)
    counts = np.random.default_rng(seed).multinomial(n_example, shares / shares.sum(), size=n_draw)
    loss: Floats = np.where(counts < needed, shares, 0.0).sum(axis=1)
    return loss


def exponent_of_examples(alpha: float) -> float:
    """Exponent of the loss by the number of examples, where tasks never end: alpha / (1 + alpha).

    The task of rank n comes often enough when ``n_example * n ** -(1 + alpha)`` reaches what is needed.

    Source: Michaud et al. 2023.
    """
    return alpha / (1.0 + alpha)
