"""Many runs of one shape trained at once: the weights of all models in one tensor, one update for all.

A small model leaves most of a device idle: each of its operations is over before the next can be sent.
Stacked, one operation does the same for all models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from scaling_transformers.attention.masks import require_count
from scaling_transformers.model import Transformer
from scaling_transformers.training.engine import MAX_NORM
from scaling_transformers.training.loop import (
    BETAS,
    Sampler,
    Text,
    rate_factor,
    sample_batch,
    weight_groups,
)

_EPS = 1e-8  # in the divisor of AdamW, as torch has it


def train_stacked(
    models: Sequence[Transformer],
    text: Text,
    *,
    n_step: int,
    batch: int,
    n: int,
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    transfer: bool = False,
    sampler: Sampler = sample_batch,
    schedule: str = "cosine",
) -> NDArray[np.float64]:
    """Train models of one shape in place and at once; each ends as `train` would leave it, but for rounding.

    All take the same number of steps. Each has its own weights, learning rate and seed of the batches, and
    its own clipping.

    Parameters
    ----------
    models : sequence of Transformer
        Of one config, type and device, without a mixture of experts or of depths, whose ways differ from text
        to text.
    learning_rates, seeds : sequences as long as ``models``
    n_step, batch, n, transfer, sampler, schedule
        As for `train`.

    Returns
    -------
    array, shape (len(models), n_step)
        The loss of every step, in nats per token.

    Raises
    ------
    ValueError
        If the models differ in shape, or an argument is outside what is said above.
    FloatingPointError
        If a loss or gradient stops being finite; the message names model, step, learning rate and batch.

    Source: Loshchilov and Hutter 2019, algorithm 2 (AdamW), each number on its own.
    """
    require_count(batch=batch, n=n)
    rate_factor(0, n_step=n_step, schedule=schedule)
    _require_one_shape(models, learning_rates=learning_rates, seeds=seeds)
    first = models[0]
    device, dtype = first.embedding.weight.device, first.embedding.weight.dtype
    names = [name for name, _ in first.named_parameters()]
    weights = torch.stack([_flat(model) for model in models])  # (n_model, n_params)
    share, decay = _share_and_decay(first, transfer=transfer)
    highest = torch.tensor(learning_rates, dtype=dtype, device=device)[:, None]
    mean, square = torch.zeros_like(weights), torch.zeros_like(weights)
    generators = [np.random.default_rng(seed) for seed in seeds]
    losses = np.empty((len(models), n_step))
    loss_of_all = vmap(_loss_of(first), in_dims=(0, 0, 0))
    for step in range(n_step):
        cuts = [sampler(text, batch=batch, n=n, generator=generator) for generator in generators]
        tokens, targets = (torch.stack(half).to(device) for half in zip(*cuts, strict=True))
        weights.requires_grad_(True)
        parts = dict(zip(names, _split(weights, first), strict=True))
        with _attention(device):
            loss = loss_of_all(parts, tokens, targets)
        (gradient,) = torch.autograd.grad(loss.sum(), weights)
        weights = weights.detach()
        norm = gradient.norm(dim=1, keepdim=True)
        factor = rate_factor(step, n_step=n_step, schedule=schedule)
        losses[:, step] = loss.detach().cpu()
        for name, value in (("loss", loss), ("gradient norm", norm[:, 0])):
            for i in (~torch.isfinite(value)).nonzero()[:, 0].tolist():
                raise FloatingPointError(
                    f"{name} is {value[i].item()} for model {i} at step {step} with learning rate "
                    f"{learning_rates[i] * factor:g}, on batch {step} of seed {seeds[i]}, whose first tokens "
                    f"are {tokens[i, 0, :8].tolist()}"
                )
        gradient *= (MAX_NORM / (norm + 1e-6)).clamp(max=1.0)
        rate = highest * factor * share
        mean.lerp_(gradient, 1 - BETAS[0])
        square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        divisor = (square / (1 - BETAS[1] ** (step + 1))).sqrt_().add_(_EPS)
        weights *= 1 - rate * decay
        weights -= rate / (1 - BETAS[0] ** (step + 1)) * mean / divisor
    with torch.no_grad():
        for model, trained in zip(models, weights, strict=True):
            for parameter, part in zip(model.parameters(), _split(trained[None], model), strict=True):
                parameter.copy_(part[0])
    return losses


def _require_one_shape(
    models: Sequence[Transformer], *, learning_rates: Sequence[float], seeds: Sequence[int]
) -> None:
    if not models or len({id(model) for model in models}) < len(models):
        raise ValueError("models must hold at least one model, and none of them twice")
    for name, values in (("learning_rates", learning_rates), ("seeds", seeds)):
        if len(values) != len(models):
            raise ValueError(
                f"{name} must have one value for each of {len(models)} models; got {len(values)}"
            )
    first = models[0]
    if first.config.n_expert > 1:
        raise ValueError("models must have no mixture of experts to be stacked")
    if first.config.depth_keep < 1:
        raise ValueError("models must have no mixture of depths to be stacked")
    if first.config.halting is not None:
        raise ValueError(f"models must have no halting to be stacked; got {first.config.halting!r}")
    for i, model in enumerate(models):
        for what in ("config", "dtype", "device"):
            one, other = (
                m.config if what == "config" else getattr(m.embedding.weight, what) for m in (first, model)
            )
            if one != other:
                raise ValueError(
                    f"models must have one {what}; that of model {i} is {other}, of model 0 {one}"
                )


class _Loss(nn.Module):
    """Loss of a model as a module of its own, so that other weights can be put in its place."""

    def __init__(self, model: Transformer):
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        x, _ = self.model._run(tokens)  # no look at the tokens' values: of many models at once there are none
        return F.cross_entropy(self.model.unembedding(x).flatten(0, 1), targets.flatten())


def _loss_of(model: Transformer) -> Callable[[Mapping[str, Tensor], Tensor, Tensor], Tensor]:
    module = _Loss(model)

    def loss(weights: Mapping[str, Tensor], tokens: Tensor, targets: Tensor) -> Tensor:
        named = {f"model.{name}": part for name, part in weights.items()}
        found: Tensor = functional_call(module, named, (tokens, targets))
        return found

    return loss


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """Torch's fused kernel for CPUs takes one model at a time; matrix products take all."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _flat(model: Transformer) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def _split(weights: Tensor, model: Transformer) -> list[Tensor]:
    """The parameters of all models, each of shape (n_model, ...), from their rows (n_model, n_params)."""
    shapes = [parameter.shape for parameter in model.parameters()]
    parts = torch.split(weights, [shape.numel() for shape in shapes], dim=1)
    return [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]


def _share_and_decay(model: Transformer, *, transfer: bool) -> tuple[Tensor, Tensor]:
    """Of each number of a model: its learning rate, as a share of the model's, and its weight decay."""
    by_id = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in weight_groups(model, learning_rate=1.0, transfer=transfer)
        for parameter in group["params"]
    }
    each = [torch.tensor(by_id[id(p)], dtype=p.dtype).expand(p.numel(), 2) for p in model.parameters()]
    share, decay = torch.cat(each).to(model.embedding.weight.device).unbind(dim=1)
    return share, decay
