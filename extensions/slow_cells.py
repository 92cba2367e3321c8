"""Say at the end of a build where its time goes: the slowest of the cells that it ran, and the chapters.

A kernel tells when it takes a cell up and when it has done, and the notebook client notes both where it is
asked to; MyST-NB has no setting for that, so that the function it calls is given one here. Chapters from
the cache are not run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any

from myst_nb.core.execute import cache
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)
_LISTED = 10


@dataclass(frozen=True)
class Timed:
    """A cell that was run: the page and the line of its file where its code starts."""

    docname: str
    line: int
    seconds: float
    code: str


def seconds_of(cell: NotebookNode) -> float | None:
    """How long the kernel worked on a cell, or None if it was not told."""
    times = cell.get("metadata", {}).get("execution", {})
    try:
        start, end = (times[name] for name in ("iopub.execute_input", "shell.execute_reply"))
    except KeyError:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def first_line(source: str) -> str:
    """The first line of code that says something: no comment, nothing empty."""
    lines = (line.strip() for line in source.splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")


def timed_cells(docname: str, notebook: NotebookNode) -> list[Timed]:
    """The cells of a notebook whose times are known."""
    lines = notebook.metadata.get("source_map", [0] * len(notebook.cells))
    return [
        Timed(docname, line + 1, seconds, first_line(cell.source))
        for cell, line in zip(notebook.cells, lines, strict=True)
        if cell.cell_type == "code" and (seconds := seconds_of(cell)) is not None
    ]


def table_of(cells: list[Timed], paths: dict[str, str]) -> list[str]:
    """The lines to print: the slowest cells, then every chapter that was run with its seconds."""
    slowest = sorted(cells, key=lambda cell: -cell.seconds)[:_LISTED]
    places = [f"{paths[cell.docname]}:{cell.line}" for cell in slowest]
    width = max(map(len, places))
    rows = [f"The slowest {len(slowest)} of {len(cells)} cells that this build ran:"]
    rows += [
        f"  {cell.seconds:8.2f} s  {place:<{width}}  {cell.code[:60]}"
        for cell, place in zip(slowest, places, strict=True)
    ]
    sums: dict[str, float] = {}
    for cell in cells:
        sums[cell.docname] = sums.get(cell.docname, 0.0) + cell.seconds
    rows.append(f"The chapters that it ran, {sum(sums.values()):.0f} s in all:")
    ordered = sorted(sums.items(), key=lambda item: -item[1])
    return rows + [f"  {seconds:8.2f} s  {paths[docname]}" for docname, seconds in ordered]


def timing(app: Sphinx, run: Callable[..., Any]) -> Callable[..., Any]:
    """The function that runs a notebook, made to note how long each cell took; no times stay in it."""

    def run_and_note(notebook: NotebookNode, *args: Any, **options: Any) -> Any:
        result = run(notebook, *args, **{**options, "record_timing": True})
        noted: list[Timed] = app.slow_cells  # type: ignore[attr-defined]
        noted += timed_cells(app.env.docname, notebook)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
        return result

    return run_and_note


def time_the_cells(app: Sphinx) -> None:
    app.slow_cells = []  # type: ignore[attr-defined]
    run = getattr(cache.single_nb_execution, "__wrapped__", cache.single_nb_execution)
    cache.single_nb_execution = wraps(run)(timing(app, run))


def list_slow_cells(app: Sphinx, exception: Exception | None) -> None:
    """Print the table, of the chapters that this build has run."""
    cells: list[Timed] = app.slow_cells  # type: ignore[attr-defined]
    if cells:
        folder = Path(app.srcdir)
        paths = {
            cell.docname: Path(app.env.doc2path(cell.docname)).relative_to(folder).as_posix()
            for cell in cells
        }
        logger.info("\n%s", "\n".join(table_of(cells, paths)))


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", time_the_cells)
    app.connect("build-finished", list_slow_cells, priority=950)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
