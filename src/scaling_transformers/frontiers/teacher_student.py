"""Students of random teachers on manifolds of known dimension, many trained at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scaling_transformers.attention.masks import require_count
from scaling_transformers.frontiers.manifold import teacher, torus

N_AMBIENT = 16


def lessons(
    dimensions: Sequence[int], seeds: Sequence[int], *, n_sample: int, test: bool = False
) -> tuple[Tensor, Tensor]:
    """Points on a torus and the values of its teacher, for each dimension and seed.

    Values have mean 0 and variance 1 over a large sample of their own. Test points are other points.

    Returns
    -------
    points, shape (n_model, n_sample, `N_AMBIENT`), and values, (n_model, n_sample): seeds of one dimension
    stand together
    """
    points, values = [], []
    for dimension in dimensions:
        for seed in seeds:
            master = teacher(n_ambient=N_AMBIENT, seed=seed)
            of = {"dimension": dimension, "n_ambient": N_AMBIENT}
            scale = master(torus(**of, n_sample=20_000, seed=3 * seed))
            x = torus(**of, n_sample=n_sample, seed=3 * seed + (2 if test else 1))
            points.append(x)
            values.append((master(x) - scale.mean()) / scale.std())
    return tuple(torch.from_numpy(np.stack(part)).float() for part in (points, values))  # type: ignore[return-value]


def n_parameters(width: int) -> int:
    """Parameters of a student: two hidden layers of ``width``, with biases."""
    return (N_AMBIENT + 1) * width + (width + 1) * width + width + 1


def train_students(
    points: Tensor,
    values: Tensor,
    *,
    width: int,
    n_step: int,
    batch: int,
    learning_rate: float,
    seed: int,
) -> list[Tensor]:
    """Train one student on each set of lessons, all at once, to the least squared error.

    A student has two hidden layers of ReLU. Adam, at a rate that falls to nothing along a cosine. A batch is
    drawn anew at each step; at most all points.

    Parameters
    ----------
    points, values : shapes (n_model, n_sample, n_ambient) and (n_model, n_sample)
    width : of both hidden layers
    learning_rate : at the start

    Returns
    -------
    list of tensors
        Weights and biases of each layer in turn, of all students: for `predict`.
    """
    require_count(width=width, n_step=n_step, batch=batch)
    n_model, n_sample, n_ambient = points.shape
    generator = torch.Generator().manual_seed(seed)
    weights = []
    # points have length 1, so the first layer needs no division by the number of its inputs
    for fan_in, fan_out, variance in (
        (n_ambient, width, 2.0),
        (width, width, 2.0 / width),
        (width, 1, 1.0 / width),
    ):
        weights.append(math.sqrt(variance) * torch.randn(n_model, fan_in, fan_out, generator=generator))
        weights.append(torch.zeros(n_model, 1, fan_out))
    weights[1].uniform_(-1.0, 1.0, generator=generator)  # else all first kinks meet at the origin
    for weight in weights:
        weight.requires_grad_()
    optimizer = torch.optim.Adam(weights, lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1.0 + math.cos(math.pi * step / n_step))
    )
    for _ in range(n_step):
        if batch < n_sample:
            chosen = torch.randint(n_sample, (batch,), generator=generator)
            x, y = points[:, chosen], values[:, chosen]
        else:
            x, y = points, values
        loss = (predict(weights, x) - y).square().mean(dim=1).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return [weight.detach() for weight in weights]


def predict(weights: Sequence[Tensor], points: Tensor) -> Tensor:
    """What students say at points (n_model, n, n_ambient); shape (n_model, n)."""
    first, first_bias, second, second_bias, last, last_bias = weights
    hidden = torch.baddbmm(first_bias, points, first).relu()
    hidden = torch.baddbmm(second_bias, hidden, second).relu()
    return torch.baddbmm(last_bias, hidden, last).squeeze(2)


@torch.no_grad()
def held_out_losses(weights: Sequence[Tensor], points: Tensor, values: Tensor) -> NDArray[np.float64]:
    """Mean squared error of each student, as a share of the variance of the values; shape (n_model,)."""
    losses: NDArray[np.float64] = (predict(weights, points) - values).double().square().mean(dim=1).numpy()
    return losses
