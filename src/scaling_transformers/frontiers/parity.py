"""Many sparse parities learned by one small network: the quanta model, trained."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from scaling_transformers.attention.masks import require_count
from scaling_transformers.frontiers.quanta import zipf_frequencies


class ParityTasks(NamedTuple):
    """Tasks for several networks: each says whether the sum of a few of the bits is odd.

    Attributes
    ----------
    subsets : the bits that count, shape (n_model, n_task, n_counted)
    frequencies : share of each task in the data, shape (n_task,)
    n_bit : bits of an input, after one that says which task is asked
    """

    subsets: Tensor
    frequencies: Tensor
    n_bit: int

    def draw(self, tasks: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random bits for given tasks (n,): inputs (n, n_task + n_bit), answers ±1 (n_model, n)."""
        bits = torch.randint(2, (len(tasks), self.n_bit), generator=generator)
        asked = F.one_hot(tasks, len(self.frequencies))
        counted = bits.expand(len(self.subsets), -1, -1).gather(2, self.subsets[:, tasks])
        return torch.cat([asked, 2 * bits - 1], dim=1).float(), 2.0 * (counted.sum(dim=2) % 2) - 1.0


def parity_tasks(
    *, n_task: int, n_bit: int, n_counted: int, alpha: float, seeds: Sequence[int]
) -> ParityTasks:
    """Tasks with random subsets of bits, other ones for each seed, and frequencies by `zipf_frequencies`.

    Raises
    ------
    ValueError
        If a number is below 1, or more bits count than there are.

    Source: Michaud et al. 2023, "multitask sparse parity".
    """
    require_count(n_task=n_task, n_bit=n_bit, n_counted=n_counted)
    if n_counted > n_bit:
        raise ValueError(f"n_counted must be at most n_bit = {n_bit}; got {n_counted}")
    subsets = [
        np.random.default_rng(seed).permuted(np.tile(np.arange(n_bit), (n_task, 1)), axis=1)[:, :n_counted]
        for seed in seeds
    ]
    shares = torch.from_numpy(zipf_frequencies(n_task, alpha=alpha)).float()
    return ParityTasks(torch.from_numpy(np.stack(subsets)), shares, n_bit)


def train_parities(
    tasks: ParityTasks,
    *,
    width: int,
    steps: Sequence[int],
    batch: int,
    learning_rate: float,
    seed: int,
    n_test: int = 200,
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Train one network for each seed of the tasks, all at once, on examples that never repeat.

    One hidden layer of ReLU, Adam at a constant rate, logistic loss. All networks see the same bits.

    Parameters
    ----------
    steps : after which to measure, rising; the last ends the training
    n_test : test examples of each task

    Yields
    ------
    step, and the loss of each network on each task, in nats, shape (n_model, n_task)
    """
    require_count(width=width, batch=batch, n_test=n_test)
    generator = torch.Generator().manual_seed(seed)
    n_model, n_task, _ = tasks.subsets.shape
    n_input = n_task + tasks.n_bit
    weights = [
        torch.randn(n_model, n_input, width, generator=generator) / math.sqrt(tasks.n_bit),
        torch.zeros(n_model, 1, width),
        torch.randn(n_model, width, 1, generator=generator) / math.sqrt(width),
        torch.zeros(n_model, 1, 1),
    ]
    for weight in weights:
        weight.requires_grad_()
    optimizer = torch.optim.Adam(weights, lr=learning_rate, fused=True)
    test = tasks.draw(torch.arange(n_task).repeat_interleave(n_test), generator=generator)
    for step in range(1, max(steps) + 1):
        asked = torch.multinomial(tasks.frequencies, batch, replacement=True, generator=generator)
        loss = _losses(weights, *tasks.draw(asked, generator=generator)).mean(dim=1).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step in steps:
            with torch.no_grad():
                losses = _losses(weights, *test).reshape(n_model, n_task, n_test).double().mean(dim=2)
            yield step, losses.numpy()


def _losses(weights: Sequence[Tensor], inputs: Tensor, answers: Tensor) -> Tensor:
    first, first_bias, last, last_bias = weights
    hidden = torch.baddbmm(first_bias, inputs.expand(len(first), -1, -1), first).relu()
    return F.softplus(-answers * torch.baddbmm(last_bias, hidden, last).squeeze(2))
