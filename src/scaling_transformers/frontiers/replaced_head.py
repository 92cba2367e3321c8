"""One head of a trained model, its attention weights replaced by others: what is lost?"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scaling_transformers.attention import attention_weights, merge_heads, split_heads
from scaling_transformers.model import Transformer
from scaling_transformers.model.attention import Attention
from scaling_transformers.training.loop import token_losses


def _require_head(model: Transformer, tokens: Tensor, *, layer: int, head: int) -> None:
    """Refuse a head that is not there, and models whose scores depend on more than queries and keys."""
    config = model.config
    for name, value, count in (("layer", layer, config.n_layer), ("head", head, config.n_head)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
            raise ValueError(f"{name} must be a whole number from 0 to {count - 1}; got {value!r}")
    if config.kind != "decoder" or config.n_kv_head != config.n_head or config.position == "alibi":
        raise ValueError("config must be that of a decoder with a key head for each head, and without ALiBi")
    if config.window is not None or config.pattern is not None or config.position == "rotary":
        raise ValueError("config must have no window, no pattern and no rotary positions")
    if tokens.ndim != 2:
        raise ValueError(f"tokens must have shape (batch, n); got {tuple(tokens.shape)}")


@torch.no_grad()
def queries_and_keys(
    model: Transformer, tokens: Tensor, *, layer: int, head: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Queries and keys of a head while the model reads texts.

    Parameters
    ----------
    model : Transformer
        A decoder without rotary or ALiBi positions, window or pattern, with a key head for each head.
    tokens : integer tensor, shape (batch, n)
    layer, head : int, from 0

    Returns
    -------
    two NumPy arrays, each of shape (batch, n, d_head)

    Raises
    ------
    ValueError
        If the model is another one, there is no such head, or ``tokens`` has another number of axes.
    """
    _require_head(model, tokens, layer=layer, head=head)
    attention, caught = cast(Attention, model.blocks[layer].attention), list[Tensor]()

    def keep(_: Any, inputs: tuple[Any, ...], __: Any) -> None:
        caught.extend(
            split_heads(part(inputs[0]), n_head=model.config.n_head)[:, head]
            for part in (attention.query, attention.key)
        )

    handle = attention.register_forward_hook(keep)
    try:
        model(tokens)
    finally:
        handle.remove()
    q, k = (part.double().numpy() for part in caught)
    return q, k


@torch.no_grad()
def replaced_losses(
    model: Transformer, tokens: Tensor, *, weights: NDArray[np.floating], layer: int, head: int
) -> NDArray[np.float64]:
    """Loss of each token but the first when a head mixes its values by other weights than its own.

    Parameters
    ----------
    model, tokens, layer, head
        As for `queries_and_keys`.
    weights : array, shape (batch, n, n)
        What the head uses in place of its attention weights.

    Returns
    -------
    array, shape (batch, n - 1), in nats

    Raises
    ------
    ValueError
        As `queries_and_keys`, or if the weights do not fit.
    """
    _require_head(model, tokens, layer=layer, head=head)
    batch, n = tokens.shape
    if weights.shape != (batch, n - 1, n - 1):
        raise ValueError(f"weights must have shape {(batch, n - 1, n - 1)}; got {weights.shape}")
    attention = cast(Attention, model.blocks[layer].attention)

    def replace(_: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        q, k, v = (
            split_heads(part(inputs[0]), n_head=model.config.n_head)
            for part in (attention.query, attention.key, attention.value)
        )
        mixed = attention_weights(q, k, is_causal=True)
        mixed[:, head] = torch.from_numpy(weights).to(mixed.dtype)
        return attention.out(merge_heads(mixed @ v)), output[1]

    handle = attention.register_forward_hook(replace)
    try:
        losses = token_losses(model, tokens)
    finally:
        handle.remove()
    return losses.double().numpy()
