"""The check of whole numbers that packages share."""

from __future__ import annotations

from numbers import Integral
from typing import Any


def require_count(*, least: int = 1, **counts: Any) -> None:
    """Refuse anything but whole numbers of at least ``least``."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}")
