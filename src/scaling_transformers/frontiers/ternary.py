"""Weights of few values, trained: rounded in the forward pass, moved as if they were not in the backward."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from scaling_transformers.efficiency._modules import find
from scaling_transformers.efficiency.quantization import QuantizedWeight, pack
from scaling_transformers.model import Transformer

_LEAST = 1e-8  # of a scale: a matrix of zeros, as the outputs start, stays one


def ternary(weight: Tensor) -> Tensor:
    """The matrix rounded to ``-scale``, 0 and ``scale``, its mean absolute value (absmean).

    Parameters
    ----------
    weight : floating tensor, shape (n_out, n_in)

    Examples
    --------
    >>> ternary(torch.tensor([[1.0, 0.2, 0.3, -2.5]])).tolist()
    [[1.0, 0.0, 0.0, -1.0]]

    Source: Ma et al. 2024 (BitNet b1.58), RoundClip with the absmean scale.
    """
    scale = weight.abs().mean().clamp(min=_LEAST)
    return (weight / scale).round().clamp(-1, 1) * scale


def int4(weight: Tensor) -> Tensor:
    """The matrix rounded to 15 values a row: -7 to 7 times a seventh of the row's largest entry.

    The same as `scaling_transformers.efficiency.quantize` with 4 bits, in torch.

    Parameters
    ----------
    weight : floating tensor, shape (n_out, n_in)
    """
    scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=_LEAST) / 7
    return (weight / scale).round().clamp(-7, 7) * scale


ROUNDINGS: dict[str, Callable[[Tensor], Tensor]] = {"ternary": ternary, "int4": int4}


def straight_through(weight: Tensor, rounded: Tensor) -> Tensor:
    """The rounded matrix, whose gradient is that of the matrix itself.

    Rounding is flat almost everywhere, so that its true gradient is zero and teaches nothing. The
    straight-through estimator takes rounding for the identity in the backward pass.

    Source: Bengio et al. 2013 (Estimating or propagating gradients).
    """
    return weight + (rounded - weight).detach()


class Rounded(nn.Module):
    """A parametrization: what a layer multiplies by is rounded, what the optimiser moves is not."""

    def __init__(self, rounding: str):
        super().__init__()
        self.rounding = rounding

    def forward(self, weight: Tensor) -> Tensor:
        """The matrix that the layer multiplies by."""
        return straight_through(weight, ROUNDINGS[self.rounding](weight))


def round_in_training(model: Transformer, *, rounding: str) -> Transformer:
    """Give every linear layer in the blocks rounded weights, in place, with float ones behind them.

    The float ones, which the optimiser moves, are the parameters: training needs the memory of a float model
    and more. Embedding and unembedding, norms and activations keep their precision; BitNet also rounds the
    activations, to 8 bits.

    Parameters
    ----------
    rounding : one of `ROUNDINGS`

    Raises
    ------
    ValueError
        If there is no such rounding, or a layer has one already.
    """
    _require_rounding(rounding)
    for _, name, linear in find(model, nn.Linear):
        if parametrize.is_parametrized(linear, "weight"):
            raise ValueError(f"model must have no rounded weights yet; {name} has")
        parametrize.register_parametrization(linear, "weight", Rounded(rounding))
    return model


def freeze_rounding(model: Transformer) -> Transformer:
    """Put the rounded weights in the place of the float ones, in place: the model as it would be shipped."""
    for _, _, linear in find(model, nn.Linear):
        if parametrize.is_parametrized(linear, "weight"):
            parametrize.remove_parametrizations(linear, "weight", leave_parametrized=True)
    return model


@torch.no_grad()
def round_after_training(model: Transformer, *, rounding: str) -> Transformer:
    """Round the weights of every linear layer in the blocks once, in place, with no training after it.

    Parameters, errors: as for `round_in_training`.
    """
    _require_rounding(rounding)
    for _, _, linear in find(model, nn.Linear):
        linear.weight.copy_(ROUNDINGS[rounding](linear.weight))
    return model


def packed_ternary(weight: NDArray[np.floating]) -> QuantizedWeight:
    """The codes of `ternary` in 2 bits each, with one scale.

    Parameters
    ----------
    weight : floating array, shape (n_out, n_in)
        Before or after rounding.

    Returns
    -------
    QuantizedWeight
        ``scales`` has shape (1, 1).
    """
    rounded = ternary(torch.from_numpy(weight)).numpy()
    scale = np.abs(rounded).max()
    codes = np.rint(rounded / (scale if scale > 0 else 1)).astype(np.int8)
    n_out, n_in = weight.shape
    return QuantizedWeight(pack(codes, bits=2), np.array([[scale]], weight.dtype), 2, (n_out, n_in))


def _require_rounding(rounding: str) -> None:
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding must be one of {tuple(ROUNDINGS)}; got {rounding!r}")
