"""The values that one row of a table of runs can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

RESERVED = "key", "seconds"
"""Columns that the table of a sweep fills itself."""


def require_scalars(values: Mapping[str, Any], *, what: str) -> dict[str, Any]:
    """A mapping of names to values that a table can hold: strings, finite numbers, booleans and ``None``.

    Scalars of NumPy and torch become Python's own.

    Raises
    ------
    ValueError
        If ``values`` is no mapping, a name is not a string or is ``key`` or ``seconds``, or a value is of
        another kind.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{what} must be a mapping of names to values; got {values!r}")
    scalars = {}
    for name, value in values.items():
        if not isinstance(name, str) or not name or name in RESERVED:
            raise ValueError(f"{what} must have names that are strings, not {RESERVED}; got {name!r}")
        if not isinstance(value, str) and hasattr(value, "item"):
            value = value.item()
        if value is not None and not isinstance(value, (str, int, float, bool)):
            raise ValueError(f"{what} must be strings, numbers, booleans or None; got {name} = {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{what} must be finite, or None where missing; got {name} = {value}")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(f"{what} must be whole numbers of at most 64 bits; got {name} = {value}")
        if isinstance(value, str):
            value.encode()  # a lone surrogate is a ValueError now rather than when the file is written
        scalars[name] = value
    return scalars
