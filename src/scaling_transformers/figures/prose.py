"""Numbers on their way from a cell into the prose."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def keep(**values: Any) -> None:
    """Store numbers or words under their names, for ``{glue:text}`` in the prose of the same chapter.

    Examples
    --------
    ``keep(slope=0.5)`` in a cell, and in the text ``{glue:text}`slope:.3f```.

    Raises
    ------
    ValueError
        If a value is neither a number nor a string, or not finite.
    """
    from myst_nb import glue  # only chapters need it

    for name, value in values.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(plain, bool) or not isinstance(plain, int | float | str):
            raise ValueError(f"{name} must be a number or a string; got {type(value).__name__}")
        if isinstance(plain, float) and not math.isfinite(plain):
            raise ValueError(f"{name} must be finite; got {plain}")
        glue(name, plain, display=False)


def scientific(value: float, digits: int = 1) -> str:
    """A number as prose writes it, with ``digits`` behind the point.

    Examples
    --------
    >>> scientific(2e10)
    '2.0 · 10¹⁰'
    """
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa} · 10{str(int(exponent)).translate(_RAISED)}"
