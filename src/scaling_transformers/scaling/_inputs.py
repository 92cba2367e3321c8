"""The checks that laws and fits make on what they are given."""

from __future__ import annotations

from typing import Any

from scaling_transformers._numpy import HAS_NUMPY, ArrayLike, np
from scaling_transformers.accounting._inputs import require_all_positive


def require_together(**values: ArrayLike) -> tuple[np.ndarray, ...]:
    """Every value as float64, positive and finite, or a `ValueError`; they must broadcast to one shape."""
    arrays = tuple(require_all_positive(value, name=name) for name, value in values.items())
    if not HAS_NUMPY:
        return arrays
    try:
        np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(values, arrays, strict=True))
        raise ValueError(f"{' and '.join(values)} must broadcast to one shape; got {shapes}") from None
    return arrays


def require_runs(*, least: int, **values: ArrayLike) -> tuple[np.ndarray, ...]:
    """Every value as a float64 vector of the same ``least`` or more positive numbers, or a `ValueError`."""
    arrays = tuple(require_all_positive(value, name=name) for name, value in values.items())
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1 or arrays[0].ndim != 1:
        shown = ", ".join(f"{name} {array.shape}" for name, array in zip(values, arrays, strict=True))
        raise ValueError(f"{', '.join(values)} must be lists of the same length; got shapes {shown}")
    if arrays[0].size < least:
        raise ValueError(f"{', '.join(values)} must hold at least {least} runs; got {arrays[0].size}")
    return arrays


def plain(value: Any) -> Any:
    """A float of an array without axes, else the array."""
    return float(value) if np.ndim(value) == 0 else value
