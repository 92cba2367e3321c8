"""Numbers as the drawings write them, so that a picture and its sentence say the same."""

from __future__ import annotations


def three_digits(value: float) -> float:
    """A number rounded to three digits that count."""
    return float(f"{value:.3g}")


def written(value: float) -> str:
    """A number of three digits that count, with no power of ten."""
    return f"{three_digits(value):,.10g}"
