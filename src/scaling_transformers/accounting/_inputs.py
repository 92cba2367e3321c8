"""The checks that every count makes on what it is given, and the shapes of what it returns."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, TypeAlias

from scaling_transformers._numpy import HAS_NUMPY, np
from scaling_transformers.accounting.variation import ConfigArray
from scaling_transformers.config import TransformerConfig

Config: TypeAlias = TransformerConfig | ConfigArray
Whole: TypeAlias = int | Any  # an int of one config, an array of many
Number: TypeAlias = float | Any


def require_config(config: Config) -> None:
    """Raise `ValueError` unless ``config`` is a `TransformerConfig` or many of them."""
    if not isinstance(config, TransformerConfig | ConfigArray):
        raise ValueError(
            f"config must be a TransformerConfig, or many by vary(config, ...); got {type(config).__name__}"
        )


def require_count(value: Whole, *, name: str, config: Config | None = None) -> Whole:
    """``value`` as an int, or a `ValueError` unless it is a whole number of at least 1.

    With many configs also an array of such numbers, then as float64.
    """
    if isinstance(config, ConfigArray):
        array = np.asarray(value)
        if array.dtype.kind not in "iu" or array.size == 0:
            raise ValueError(f"{name} must be a whole number or an array of them; got {value!r}")
        if array.min() < 1:
            raise ValueError(f"{name} must be whole numbers of at least 1; got {array.min()}")
        return array.astype(np.float64)
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        hint = "; for an array count vary(config)" if config and isinstance(value, np.ndarray) else ""
        raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}{hint}")
    return int(value)


def require_length(seq_len: Whole, config: Config) -> Whole:
    """``seq_len`` as from `require_count`, or a `ValueError` unless a text of that length fits the model."""
    length = require_count(seq_len, name="seq_len", config=config)
    if isinstance(config, ConfigArray):
        result_shape(config, seq_len=length)
        lengths, limits = np.broadcast_arrays(length, config.n_ctx)
        first = np.argmax(lengths > limits)
        longest, limit = int(lengths.flat[first]), int(limits.flat[first])
    else:
        longest, limit = length, config.n_ctx
    if longest > limit:
        raise ValueError(
            f"seq_len must be at most n_ctx={limit}; got {longest}; "
            "for a longer text describe a model that reads it: config.replace(n_ctx=...)"
        )
    return length


def require_all_tokens(config: Config, what: str) -> None:
    """Raise `ValueError` where blocks read only some tokens or pairs, which ``what`` cannot count."""
    name = (config.base if isinstance(config, ConfigArray) else config).skips
    if name is not None:
        raise ValueError(f"{what} has no {name}; got a config with {name}={getattr(config, name)!r}")


def require_positive(value: float, *, name: str) -> float:
    """``value`` as it came, or a `ValueError` unless it is a positive finite number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < float("inf"):
        raise ValueError(f"{name} must be a positive finite number; got {value!r}")
    return value


def require_all_positive(value: Number, *, name: str) -> Any:
    """``value`` as float64, or a `ValueError` unless it is a positive finite number or an array of them."""
    if not HAS_NUMPY:
        return float(require_positive(value, name=name))
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or array.size == 0:
        raise ValueError(f"{name} must be a positive finite number or an array of them; got {value!r}")
    wrong = ~((array > 0) & (array < np.inf))
    if wrong.any():
        raise ValueError(f"{name} must be positive and finite; got {array[wrong].flat[0]}")
    return array.astype(np.float64)


def result_shape(config: Config, **values: Any) -> tuple[int, ...] | None:
    """The shape to which ``config`` and the values broadcast; None for a single config."""
    if not isinstance(config, ConfigArray):
        return None
    shape = config.shape
    for name, value in values.items():
        try:
            shape = np.broadcast_shapes(shape, np.shape(value))
        except ValueError:
            raise ValueError(
                f"{name} must broadcast against the shape {shape}; got shape {np.shape(value)}"
            ) from None
    return shape


def result(value: Any, shape: tuple[int, ...] | None, *, dtype: type = np.float64) -> Any:
    """``value`` as it is for a single config, else an array of ``shape``."""
    return value if shape is None else np.array(np.broadcast_to(np.asarray(value, dtype=dtype), shape))


def least(a: Number, b: Number) -> Any:
    """The lesser of two numbers, or of each pair in two arrays."""
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else np.minimum(a, b)


def ceil(value: Number) -> Any:
    """The next whole number: an int of a number, an array of an array."""
    return math.ceil(value) if isinstance(value, int | float) else np.ceil(value)
