"""What the model asks of its tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scaling_transformers.config import TransformerConfig
from scaling_transformers.model.cache import Cache
from scaling_transformers.sparsity.hierarchy import require_starts


def require_integers(**tensors: Any) -> None:
    """Refuse anything but tensors of whole numbers."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or tensor.dtype not in (torch.int64, torch.int32):
            raise ValueError(
                f"{name} must be a tensor of whole numbers; got {getattr(tensor, 'dtype', type(tensor))}"
            )


def require_shape(tensor: Tensor, shape: tuple[int, ...], *, name: str) -> None:
    """Refuse a tensor of another shape."""
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} must have shape {shape}; got {tuple(tensor.shape)}")


def require_below(tensor: Tensor, size: int, *, name: str, limit: str) -> None:
    """Refuse indices outside a table of ``size`` rows, whose field in the config is ``limit``."""
    if torch.compiler.is_compiling() or tensor.is_meta:
        return  # there are no values to look at yet
    least, largest = (int(value) for value in tensor.aminmax())
    if least < 0 or largest >= size:
        raise ValueError(f"{name} must lie below {limit}={size} and not below 0; got {least} to {largest}")


def require_whole_tiles(config: TransformerConfig, n: int) -> None:
    """Refuse a text that the tiles of a pattern do not divide."""
    if config.pattern is not None and n % config.pattern.block:
        raise ValueError(
            f"tokens must have a length that the pattern's block of {config.pattern.block} divides; got {n} "
            f"(a cache takes any length)"
        )


def check_inputs(
    config: TransformerConfig,
    tokens: Tensor,
    token_types: Tensor | None = None,
    mask: Tensor | None = None,
    head_gate: Tensor | None = None,
    cache: Cache | None = None,
    return_attention: bool = False,
    starts: Tensor | None = None,
) -> None:
    """Refuse arguments of `Transformer.forward` that do not fit the config or each other."""
    _check_what_is_skipped(
        config, mask=mask, head_gate=head_gate, cache=cache, return_attention=return_attention or None
    )
    require_integers(tokens=tokens)
    if tokens.ndim != 2 or tokens.shape[0] < 1:
        raise ValueError(f"tokens must have shape (batch, n); got {tuple(tokens.shape)}")
    n = tokens.shape[1]
    if not 1 <= n <= config.n_ctx:
        raise ValueError(f"tokens must have a length from 1 to n_ctx={config.n_ctx}; got {n}")
    require_below(tokens, config.vocab_size, name="tokens", limit="vocab_size")
    if token_types is not None:
        if not config.n_token_type:
            raise ValueError("token_types need n_token_type of at least 1 in the config; got 0")
        require_integers(token_types=token_types)
        require_shape(token_types, tuple(tokens.shape), name="token_types")
        require_below(token_types, config.n_token_type, name="token_types", limit="n_token_type")
    if mask is not None:
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            raise ValueError(
                f"mask must be a boolean tensor, True for real tokens; "
                f"got {getattr(mask, 'dtype', type(mask))}"
            )
        require_shape(mask, tuple(tokens.shape), name="mask")
        if not bool(mask.any(dim=1).all()):
            raise ValueError("mask must leave a real token in each text; it has a row without")
        if cache is not None:
            raise ValueError("mask cannot go with a cache: the texts in a cache have no padding")
    _check_hierarchy(config, tokens, starts)
    if head_gate is not None:
        require_shape(head_gate, (config.n_layer, config.n_head), name="head_gate")
        if not bool(head_gate.isfinite().all()):
            raise ValueError("head_gate must be finite; it holds NaN or infinity")
    if cache is not None:
        if torch.is_grad_enabled():
            raise ValueError("cache keeps no gradients; call the model under torch.no_grad()")
        if tokens.shape[0] != cache.batch:
            raise ValueError(f"tokens must have the cache's batch of {cache.batch}; got {tokens.shape[0]}")
        if cache.n_seen + n > cache.n_tokens:
            raise ValueError(
                f"tokens must fit the cache's room of {cache.n_tokens} tokens, {cache.n_seen} of them "
                f"used; got {n} more"
            )


# What has no meaning where blocks read some of the tokens, or is not kept track of there.
_REFUSED = {
    "depth_keep": ("mask", "return_attention"),
    "shorten": ("mask", "cache"),
    "halting": ("mask", "head_gate", "cache", "return_attention"),
    "n_merge": ("mask", "cache"),
}


def _check_what_is_skipped(config: TransformerConfig, **given: object) -> None:
    """Refuse arguments that have no meaning where blocks or experts read some of the tokens."""
    field = config.skips or ""
    for name in _REFUSED.get(field, ()):
        if given[name] is not None:
            raise ValueError(f"{name} cannot go with {field}={getattr(config, field)!r} in the config")
    if given["mask"] is not None and (
        config.capacity_factor is not None or config.routing == "expert_choice"
    ):
        raise ValueError("mask cannot go with capacity_factor or expert_choice: padding would take up room")


def _check_hierarchy(config: TransformerConfig, tokens: Tensor, starts: Tensor | None) -> None:
    """Refuse starts that no block reads, and texts too short to merge in every block."""
    if starts is not None:
        if config.shorten == 1:
            raise ValueError("starts need shorten of at least 2 in the config; got 1")
        require_starts(starts, (tokens.shape[0], tokens.shape[1]))
    least = (config.n_layer + 1) * config.n_merge
    if tokens.shape[1] < least:
        raise ValueError(
            f"tokens must have a length of at least (n_layer + 1) * n_merge={least}, for each block to find "
            f"n_merge={config.n_merge} pairs; got {tokens.shape[1]}"
        )
