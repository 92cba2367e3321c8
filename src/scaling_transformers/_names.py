"""Rows by their names, and what to say of a name that a table does not have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar


class Named(Protocol):
    """A row of a table."""

    @property
    def name(self) -> str: ...


Row = TypeVar("Row", bound=Named)


def by_name(rows: Sequence[Row], name: object, *, what: str) -> Row:
    """The row of that name, in capitals or not; a `ValueError` that names the near ones if there is none."""
    for row in rows:
        if isinstance(name, str) and row.name.lower() == name.lower():
            return row
    raise unknown_name(name, [row.name for row in rows], what=what)


def unknown_name(name: object, names: Iterable[str], *, what: str) -> ValueError:
    """The error for a ``name`` not among ``names``: it lists the near ones, or all where none is near."""
    from difflib import get_close_matches  # here, so that importing the package stays light

    spelling = {known.lower(): known for known in names}
    near = [spelling[match] for match in get_close_matches(str(name).lower(), spelling, n=5, cutoff=0.6)]
    known = tuple(spelling.values())
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"the names are {known}"
    return ValueError(f"name must be that of {what}; got {name!r}; {hint}")
