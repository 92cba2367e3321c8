"""A model writes: what its weights and its cache hold, and how long they keep an accelerator busy."""

from __future__ import annotations

from typing import Any

from scaling_transformers.accounting import (
    accelerator,
    arithmetic_intensity,
    count_parameters,
    kv_cache_bytes,
    least_seconds,
)
from scaling_transformers.accounting.roofline import Traffic
from scaling_transformers.explorers.base import Control, Explorer
from scaling_transformers.presets import preset

MODELS = {
    "GPT-2 XL": "gpt2-xl",
    "Llama 2 7B": "llama-2-7b",
    "Llama 3 8B": "llama-3-8b",
    "Llama 2 70B": "llama-2-70b",
    "Llama 3 405B": "llama-3-405b",
}
BATCHES = (1, 4, 16, 64, 256)
LENGTHS = (256, 1024, 4096, 16_384, 65_536, 131_072)
BYTES = (0.5, 1.0, 2.0)
CHIP = "H100"
_OF_CACHE = ("scores", "values")


def _split(traffic: Traffic) -> tuple[Traffic, Traffic]:
    """The products with weights, and attention over the cache."""
    weights, cache = (
        Traffic(
            {name: n for name, n in traffic.flops_by_part.items() if (name in _OF_CACHE) is of_cache},
            {name: n for name, n in traffic.bytes_by_part.items() if (name in _OF_CACHE) is of_cache},
        )
        for of_cache in (False, True)
    )
    return weights, cache


def _cost(model: str, batch: float, length: float, width: float) -> dict[str, Any]:
    """Bytes held, and least time, of a step that writes one token of each of ``batch`` texts."""
    published = preset(MODELS[model])
    config = published.replace(n_ctx=max(published.n_ctx, int(length)))
    chip = accelerator(CHIP)
    n_params = count_parameters(published).total
    held = {
        "weights": width * n_params,
        "cache": kv_cache_bytes(config, batch=int(batch), seq_len=int(length), bytes_per_element=width),
    }
    step = arithmetic_intensity(
        config, batch=int(batch), seq_len=int(length), n_new=1, bytes_per_element=width
    )
    parts = dict(zip(held, _split(step), strict=True))
    seconds = {name: least_seconds(part, chip) for name, part in parts.items()}
    total, gb = sum(held.values()), 1e9
    fits = total <= chip.memory_bytes
    return {
        "gigabytes": [n / gb for n in held.values()],
        "milliseconds": [1e3 * s for s in seconds.values()],
        "intensity": [part.intensity for part in parts.values()],
        "summary": (
            f"{model} ({n_params / 1e9:,.3g} billion parameters), texts: {int(batch):,}, "
            f"tokens in each: {int(length):,}, bytes a number: {width:g}. "
            f"Weights {held['weights'] / gb:,.3g} GB, cache {held['cache'] / gb:,.3g} GB: "
            f"{'fits' if fits else 'does not fit'} into the {chip.memory_bytes / gb:.0f} GB of one {CHIP}. "
            f"A step takes at least {1e3 * sum(seconds.values()):,.3g} ms{'' if fits else ' if it did'}, "
            f"{batch / sum(seconds.values()):,.3g} tokens a second in all, "
            f"at {step.intensity:,.3g} FLOP/byte (ridge: {chip.ridge:.0f})."
        ),
    }


def cost_explorer() -> Explorer:
    """Choose model, batch, length and bytes a number; see memory and least time of a step of writing.

    The bytes are those of weights, activations and cache; the arithmetic stays in 16 bits.
    """
    chip = accelerator(CHIP)
    return Explorer(
        title="Few short texts pay for the weights, many or long ones for the cache",
        controls=[
            Control("model", "Model", tuple(MODELS), initial="Llama 2 7B"),
            Control("batch", "Texts at once", BATCHES),
            Control("length", "Tokens in each text", LENGTHS, initial=4096),
            Control("width", "Bytes a number", BYTES, initial=2.0),
        ],
        compute=_cost,
        view="cost",
        fixed={"memory": chip.memory_bytes / 1e9, "ridge": chip.ridge, "chip": CHIP},
    )
