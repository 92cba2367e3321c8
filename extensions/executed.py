"""The notebooks that a build has run."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from nbformat import NotebookNode
from sphinx.application import Sphinx


def executed_notebook(app: Sphinx, docname: str) -> NotebookNode | None:
    """The notebook of a page with the outputs of its cells, or None if the page has no code.

    MyST-NB writes the notebook that it ran into a folder, but of one that came from its cache the code alone.
    """
    config = app.env.mystnb_config  # type: ignore[attr-defined]
    path = Path(config.output_folder) / f"{docname}.ipynb"
    if "kernelspec" not in app.env.metadata[docname] or not path.is_file():
        return None
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    with suppress(KeyError):  # one that failed is not in the cache
        _, notebook = get_cache(config.execution_cache_path).merge_match_into_notebook(notebook)
    return notebook
