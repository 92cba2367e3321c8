"""Low-rank updates beside frozen weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling_transformers.accounting._inputs import require_positive
from scaling_transformers.efficiency._modules import find
from scaling_transformers.efficiency.counts import check_lora
from scaling_transformers.model import Transformer


class LoRALinear(nn.Module):
    """A linear layer that stays as it is, plus ``alpha / rank * B A``, of which A and B are trained."""

    def __init__(self, base: nn.Linear, *, rank: int, alpha: float, generator: torch.Generator | None = None):
        super().__init__()
        self.base, self.scale = base, alpha / rank
        a, b = base.weight.new_empty(rank, base.in_features), base.weight.new_zeros(base.out_features, rank)
        # Entries of A x are then as large as those of x; with B zero the layer starts as it was.
        self.a = nn.Parameter(a.normal_(std=base.in_features**-0.5, generator=generator))
        self.b = nn.Parameter(b)

    def forward(self, x: Tensor) -> Tensor:
        """The layer and its update at ``x`` (..., d_in): (..., d_out)."""
        update = F.linear(F.linear(x, self.a), self.b)
        out: Tensor = self.base(x) + self.scale * update
        return out


def add_lora(
    model: Transformer,
    *,
    rank: int,
    alpha: float | None = None,
    targets: Sequence[str] = ("query", "value"),
    generator: torch.Generator | None = None,
) -> Transformer:
    """Freeze a model and put trainable low-rank updates beside some of its weights, in place.

    The model computes what it did until B is trained. `scaling_transformers.training.train` then trains the
    updates alone.

    Parameters
    ----------
    rank : int
        Of each update; from 1 to the rank that the smallest of the matrices can have.
    alpha : float, optional
        The update is multiplied by ``alpha / rank``. Default ``rank``.
    targets : sequence of str
        Names of linear layers in a block, as for `scaling_transformers.efficiency.lora_parameters`.
    generator : torch.Generator, optional
        Source of chance for A, on the model's device; default torch's own.

    Returns
    -------
    Transformer
        The model itself.

    Raises
    ------
    ValueError
        If ``rank`` or ``alpha`` is out of range, a target is not in the model or is no plain linear layer any
        more, or the model has updates already.

    Source: Hu et al. 2021 (LoRA), section 4.1.
    """
    chosen = check_lora(model.config, rank=rank, targets=targets)
    alpha = require_positive(rank if alpha is None else alpha, name="alpha")
    if find(model, LoRALinear):
        raise ValueError("model must have no low-rank updates yet; call merge_lora first")
    for _, name, layer in find(model, nn.Module):
        if name in chosen and not isinstance(layer, nn.Linear):
            raise ValueError(
                f"targets must be plain linear layers; {name!r} is a {type(layer).__name__}: "
                "add the updates first, then quantise"
            )
    model.requires_grad_(False)
    for parent, name, layer in find(model, nn.Linear):
        if name in chosen:
            setattr(parent, name, LoRALinear(layer, rank=rank, alpha=alpha, generator=generator))
    return model


@torch.no_grad()
def merge_lora(model: Transformer) -> Transformer:
    """Add the low-rank updates to the weights and put plain linear layers back, in place.

    The model computes what it did, to rounding, at the cost that it had before `add_lora`, and all of its
    parameters can be trained again.

    Returns
    -------
    Transformer
        The model itself.

    Raises
    ------
    ValueError
        If the model has no updates, or one of them stands beside quantised weights.

    Source: Hu et al. 2021 (LoRA), section 4.1.
    """
    places = find(model, LoRALinear)
    if not places:
        raise ValueError("model must have low-rank updates to merge; it has none")
    for _, name, layer in places:
        if not isinstance(layer.base, nn.Linear):
            raise ValueError(f"model must have plain weights to merge into; those of {name!r} are quantised")
    for parent, name, layer in places:
        layer.base.weight += layer.scale * layer.b @ layer.a
        setattr(parent, name, layer.base)
    model.requires_grad_(True)
    return model
