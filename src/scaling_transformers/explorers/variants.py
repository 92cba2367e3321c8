"""One model in other designs: what a text leaves in the cache, and which part holds the parameters."""

from __future__ import annotations

from functools import cache
from typing import Any

from scaling_transformers.accounting import (
    count_parameters,
    kv_cache_bytes,
    latent_attention_parameters,
    latent_cache_bytes,
)
from scaling_transformers.config import TransformerConfig
from scaling_transformers.explorers._numbers import three_digits, written
from scaling_transformers.explorers.base import Control, Explorer
from scaling_transformers.presets import preset

MODEL = "llama-2-7b"
KEY_HEADS = {"multi-head": 32, "8 key heads": 8, "2 key heads": 2, "multi-query": 1}
LATENT = "latent"
ATTENTION = (*KEY_HEADS, LATENT)
WINDOWS = {"none": None, "4,096 tokens": 4096}
FEED_FORWARD = {  # activation and width
    "gated, 11,008 wide": ("swiglu", 11_008),
    "plain, 16,384 wide": ("gelu", 16_384),
    "gated, 16,384 wide": ("swiglu", 16_384),
}
BYTES = (1.0, 2.0)
LENGTHS = (1024, 8192, 32_768, 131_072)
KIB, GIB = 2**10, 2**30


@cache
def _design(attention: str, window: str, feed_forward: str) -> TransformerConfig:
    """The published config with one design exchanged; that of latent attention keeps its many heads."""
    activation, d_ff = FEED_FORWARD[feed_forward]
    published = preset(MODEL)
    return published.replace(
        n_kv_head=KEY_HEADS.get(attention, published.n_head),
        window=WINDOWS[window],
        activation=activation,
        d_ff=d_ff,
        n_ctx=max(LENGTHS),
    )


def _latent_sizes(config: TransformerConfig) -> dict[str, int]:
    """Layers and widths of latent attention; the widths are those of DeepSeek-V2 for the same heads."""
    return {"n_layer": config.n_layer, "d_latent": 4 * config.d_head, "d_rotary": config.d_head // 2}


def _kept(config: TransformerConfig, attention: str, *, length: int, width: float) -> int:
    """Bytes that a text leaves in the cache."""
    if attention != LATENT:
        return int(kv_cache_bytes(config, batch=1, seq_len=length, bytes_per_element=width))
    seen = length if config.window is None else min(length, config.window)
    return latent_cache_bytes(**_latent_sizes(config), batch=1, seq_len=seen, bytes_per_element=width)


def _parts(config: TransformerConfig, attention: str) -> dict[str, int]:
    """Parameters by part."""
    parts = dict(count_parameters(config).by_part)
    if attention == LATENT:
        parts["attention"] = latent_attention_parameters(
            **_latent_sizes(config), d_model=config.d_model, n_head=config.n_head, d_head=config.d_head
        )
    shown = {
        "tables": parts.pop("token_embedding") + parts.pop("unembedding"),
        "attention": parts.pop("attention"),
        "feed-forward": parts.pop("feed_forward"),
    }
    return {**shown, "norms": sum(parts.values())}


def _times(ratio: float) -> str:
    """One size against another, as one says it."""
    return f"{written(ratio)} times as much as" if ratio >= 1 else f"{written(100 * ratio)}% of"


def _variant(attention: str, window: str, feed_forward: str, width: float, length: float) -> dict[str, Any]:
    """Cache of a text in each kind of attention, and parameters by part in the one that is chosen."""
    kept = [
        _kept(_design(kind, window, feed_forward), kind, length=int(length), width=width)
        for kind in ATTENTION
    ]
    config, chosen = _design(attention, window, feed_forward), ATTENTION.index(attention)
    parts = _parts(config, attention)
    n_params = sum(parts.values())
    token = _kept(config, attention, length=1, width=width)
    return {
        "chosen": chosen,
        "kept": [three_digits(n / GIB) for n in kept],
        "weights": three_digits(width * n_params / GIB),
        "parts": [three_digits(n / 1e9) for n in list(parts.values())[:3]],
        "summary": (
            f"Attention: {attention}; window: {window}; feed-forward: {feed_forward}; "
            f"bytes a number: {width:g}. "
            f"A token leaves {written(token / KIB)} KiB, a text of {int(length):,} tokens keeps "
            f"{written(kept[chosen] / GIB)} GiB: {_times(kept[chosen] / (width * n_params))} the weights. "
            f"Of {written(n_params / 1e9)} billion parameters "
            f"attention has {written(parts['attention'] / 1e9)}, "
            f"feed-forward {written(parts['feed-forward'] / 1e9)}."
        ),
    }


def variants_explorer() -> Explorer:
    """Exchange the parts of Llama 2 7B; see the cache of a text and the parameters of each part.

    All else stays as published. The widths of latent attention are those of DeepSeek-V2 for heads of the same
    width, and its window, where there is one, keeps the last latent vectors.
    """
    return Explorer(
        title="Sharing keys shrinks the cache many times, the model only a little",
        controls=[
            Control("attention", "Attention", ATTENTION),
            Control("window", "Window", tuple(WINDOWS)),
            Control("feed_forward", "Feed-forward", tuple(FEED_FORWARD)),
            Control("width", "Bytes a number", BYTES, initial=2.0),
            Control("length", "Tokens of the text", LENGTHS, initial=8192),
        ],
        compute=_variant,
        view="variants",
        fixed={"attention": ATTENTION, "parts": ["tables", "attention", "feed-forward"]},
    )
