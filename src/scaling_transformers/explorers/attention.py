"""A query turns among six keys: what the temperature does to attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from scaling_transformers.attention import attention_entropy, attention_weights
from scaling_transformers.explorers.base import Control, Explorer

# Direction (degrees) and length of each key in the plane: nature to the right, money to the left.
KEYS = {
    "water": (-15, 0.85),
    "river": (15, 1.0),
    "shore": (50, 0.9),
    "bank": (95, 1.0),
    "loan": (140, 0.9),
    "money": (170, 1.0),
}
TEMPERATURES = (0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 5.0, 10.0)


def _vectors(degrees: Any, lengths: Any) -> Any:
    """Vectors in the plane, shape (n, 2), from directions and lengths."""
    angle = np.deg2rad(np.asarray(degrees, dtype=float))
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1) * np.asarray(lengths, dtype=float)[:, None]


def _attend(direction: float, temperature: float) -> dict[str, Any]:
    """Weights of the six keys for a query of length 1, and the output: the mean of the keys under them."""
    query = _vectors([direction], [1.0])
    keys = _vectors(*zip(*KEYS.values(), strict=True))
    weights = attention_weights(query, keys, scale=1.0 / temperature)
    entropy = float(attention_entropy(weights)[0])
    top = int(np.argmax(weights))
    effective = float(np.exp(entropy))
    return {
        "query": query[0],
        "weights": weights[0],
        "output": (weights @ keys)[0],
        "entropy": entropy,
        "effective": effective,
        "summary": (
            f"Query at {direction:.3g}°, temperature {temperature:.3g}: {list(KEYS)[top]} gets most, "
            f"{weights[0, top]:.2f}. "
            f"Entropy {entropy:.2f} nats, as if {effective:.1f} keys were used equally."
        ),
    }


def attention_explorer() -> Explorer:
    """Turn a query among six keys, move the temperature, and see the weights and the output follow.

    The scores are divided by the temperature, ``scale = 1 / temperature``; the values are the keys.
    """
    return Explorer(
        title="Cold attention picks one key; hot attention averages them all",
        controls=[
            Control("direction", "Direction of the query", range(0, 360, 10), unit="°", initial=30),
            Control("temperature", "Temperature", TEMPERATURES, initial=0.3),
        ],
        compute=_attend,
        view="attention",
        fixed={"names": list(KEYS), "keys": _vectors(*zip(*KEYS.values(), strict=True))},
    )
