"""Name the cell that spoils a build, and let no later build forget it.

A cell spoils the build when it raises, unless its tags say that it shall, or when it writes to stderr, as a
warning does, even where its output is not shown. Sphinx reads only chapters that have changed: without the
second half of this extension a build after a failed one would read nothing, see nothing and succeed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from executed import executed_notebook
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def report_spoiled_cells(app: Sphinx, doctree: nodes.document) -> None:
    """Log an error at the first line of every cell of this chapter that raised or wrote to stderr."""
    docname = app.env.docname
    notebook = executed_notebook(app, docname)
    if notebook is None:
        return
    for cell, line in zip(notebook.cells, notebook.metadata.source_map, strict=True):
        may_raise = "raises-exception" in cell.metadata.get("tags", [])
        for output in cell.get("outputs", []):
            if output.output_type == "error" and not may_raise:
                what = f"raised {output.ename}: {output.evalue}"
            elif output.get("name") == "stderr":
                what = f"wrote to stderr: {output.text.strip()}"
            else:
                continue
            logger.error("this cell %s", what, location=(docname, line + 1), type="book", subtype="cell")


def forget_a_spoiled_build(app: Sphinx, exception: Exception | None) -> None:
    """After any warning, make the next build read every page again; what ran well comes from the cache."""
    if app._warncount:
        (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-read", report_spoiled_cells)
    app.connect("build-finished", forget_a_spoiled_build, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
