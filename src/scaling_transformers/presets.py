"""Published models by name, read from ``data/presets.csv``."""

from __future__ import annotations

from functools import cache
from typing import Any

from scaling_transformers._names import unknown_name
from scaling_transformers._tables import read_rows
from scaling_transformers.config import TransformerConfig

_LLAMA = {
    "activation": "swiglu",
    "norm": "rmsnorm",
    "position": "rotary",
    "bias": False,
    "tie_embeddings": False,
}
_FAMILIES: dict[str, dict[str, Any]] = {
    "gpt": {"activation": "gelu_tanh"},
    "bert": {"kind": "encoder", "norm_placement": "post", "n_token_type": 2, "pooler": True},
    "llama": _LLAMA,
}


def preset(name: str) -> TransformerConfig:
    """Config of a published model, every field as published.

    Three models do a little more than their config says: GPT-3 makes every second layer's attention sparse,
    BERT's own head for masked tokens has a layer before the logits, and Llama 3.1 405B rescales the rotary
    angles beyond its first 8192 tokens. None of the three changes the counts of a dense `Transformer`.

    Parameters
    ----------
    name : str
        One of the column ``name`` of ``data/presets.csv``: ``"gpt2"``, ``"bert-base"``, ``"llama-2-7b"``, ...

    Raises
    ------
    ValueError
        If no model has that name; the message lists the nearest ones, or all where none is near.

    Examples
    --------
    >>> preset("llama-2-70b").n_kv_head
    8

    Source: the column ``source`` of ``data/presets.csv``, row by row.
    """
    rows = _read_rows()
    if not isinstance(name, str) or name not in rows:
        raise unknown_name(name, rows, what="a preset")
    row = rows[name]
    fields: dict[str, Any] = {field: int(row[field]) for field in _COUNTS if row[field]}
    fields |= {field: float(row[field]) for field in ("rope_theta", "norm_eps") if row[field]}
    return TransformerConfig(**fields, **_FAMILIES[row["family"]])


_COUNTS = (
    "n_layer",
    "d_model",
    "n_head",
    "n_kv_head",
    "d_head",
    "d_ff",
    "vocab_size",
    "n_ctx",
    "n_expert",
    "n_expert_active",
    "window",
)


@cache
def _read_rows() -> dict[str, dict[str, str]]:
    """The table, by name."""
    return {row["name"]: row for row in read_rows("presets.csv")}
