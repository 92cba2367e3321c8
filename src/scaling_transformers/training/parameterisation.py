"""A parameterisation under which the best learning rate does not move with width."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from scaling_transformers.model import Transformer

BASE_WIDTH = 64  # at this width every matrix has the learning rate itself


@torch.no_grad()
def initialise_for_transfer(model: Transformer) -> Transformer:
    """Draw the weights anew, in place, so that learning rates found at one width serve at another.

    A matrix that reads ``n`` numbers starts with deviation ``n ** -0.5``. The unembedding, and what joins the
    residual stream, start at zero. Embeddings start with a deviation of 0.5 at any width; norms stay as they
    are. Goes with `parameter_groups`.

    Source: Yang et al. 2022 (Tensor Programs V), table 8, with zero for the outputs as of appendix D.2.

    Raises
    ------
    ValueError
        If the model ties its embeddings: the two want different scales.
    """
    if model.config.tie_embeddings:
        raise ValueError("tie_embeddings must be False in the config for rates to transfer over width")
    for block in model.blocks:
        for name, parameter in block.named_parameters():
            if parameter.ndim >= 2:
                nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
                if name.endswith(("out.weight", "down.weight")):
                    nn.init.zeros_(parameter)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(
                module.weight, std=0.5
            )  # the best of 0.02 to 1 in trials on both of the book's corpora
    nn.init.zeros_(model.unembedding.weight)
    return model


def parameter_groups(model: Transformer, *, learning_rate: float) -> list[dict[str, Any]]:
    """Groups for AdamW whose learning rates transfer over width: one group for each rate.

    A matrix that reads ``n`` numbers gets ``learning_rate * BASE_WIDTH / n``; embeddings, biases and norms
    get ``learning_rate``. No weight decays: it would act with the rate, and so with the width.

    Source: Yang et al. 2022 (Tensor Programs V), table 8, column Adam.
    """
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    by_rate: dict[float, list[nn.Parameter]] = {}
    for parameter in model.parameters():
        reads = BASE_WIDTH if parameter.ndim < 2 or id(parameter) in embeddings else parameter.shape[-1]
        by_rate.setdefault(learning_rate * BASE_WIDTH / reads, []).append(parameter)
    return [{"params": params, "lr": rate, "weight_decay": 0.0} for rate, params in by_rate.items()]
