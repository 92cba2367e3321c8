"""The published figures that the package ships, as rows."""

from __future__ import annotations


def read_rows(name: str) -> list[dict[str, str]]:
    """The rows of ``data/<name>``, each by the names of the columns."""
    import csv  # here, as the name below, so that importing the package stays light
    from importlib.resources import files

    text = (files("scaling_transformers") / "data" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
