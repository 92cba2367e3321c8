"""Stands for `myst_nb` in a page, whose sentences around a cell are written already."""

from __future__ import annotations

from typing import Any


def glue(name: str, value: Any, display: bool = True) -> None:
    """Store nothing: the numbers in the prose are those of the build."""
