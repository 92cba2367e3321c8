"""The checks that every count makes on what it is given."""

from __future__ import annotations

from numbers import Integral, Real

from scaling_transformers.config import TransformerConfig


def require_config(config: TransformerConfig) -> None:
    """Raise `ValueError` unless ``config`` is a `TransformerConfig`."""
    if not isinstance(config, TransformerConfig):
        raise ValueError(f"config must be a TransformerConfig; got {type(config).__name__}")


def require_count(value: int, *, name: str) -> int:
    """``value`` as an int, or a `ValueError` unless it is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}")
    return int(value)


def require_length(seq_len: int, config: TransformerConfig) -> int:
    """``seq_len`` as an int, or a `ValueError` unless a text of that length fits the model."""
    length = require_count(seq_len, name="seq_len")
    if length > config.n_ctx:
        raise ValueError(
            f"seq_len must be at most n_ctx={config.n_ctx}; got {length}; "
            "for a longer text describe a model that reads it: config.replace(n_ctx=...)"
        )
    return length


def require_positive(value: float, *, name: str) -> float:
    """``value`` as it came, or a `ValueError` unless it is a positive finite number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < float("inf"):
        raise ValueError(f"{name} must be a positive finite number; got {value!r}")
    return value
