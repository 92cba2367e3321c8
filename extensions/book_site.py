"""What the site needs beyond Jupyter Book: its own MathJax, no script from elsewhere, notebooks to take."""

from __future__ import annotations

import json
import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

# sphinx-thebe is always loaded by Jupyter Book 1; its inline script names an outside host and throws.
_UNWANTED_SCRIPTS = ("THEBE_JS_URL", "sphinx-thebe")


def drop_unwanted_scripts(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Take the scripts and styles of sphinx-thebe out of a page."""

    def wanted(entry: Any) -> bool:
        text = f"{getattr(entry, 'filename', entry)} {getattr(entry, 'attributes', '')}"
        return not any(mark in text for mark in _UNWANTED_SCRIPTS)

    for key in ("script_files", "css_files"):
        context[key] = [entry for entry in context.get(key, []) if wanted(entry)]


def offer_notebook(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Lay the executed notebook of a chapter beside the pages and name it for the theme's download menu."""
    executed = Path(app.outdir).parent / "jupyter_execute" / f"{pagename}.ipynb"
    if doctree is None or app.builder.format != "html" or not executed.is_file():
        return
    notebook = json.loads(executed.read_text("utf-8"))
    notebook["metadata"]["kernelspec"].pop("fingerprint", None)  # see source_fingerprint.py
    target = Path(app.outdir) / "_sources" / f"{pagename}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")
    context["ipynb_source"] = f"{pagename}.ipynb"


def lay_static_files(app: Sphinx, exception: Exception | None) -> None:
    """Copy the part of MathJax that the pages use, from its PyPI package; take out what no page asks for."""
    if exception is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    for unused in static.glob("sphinx-thebe.*"):
        unused.unlink()
    target = static / "mathjax"
    if target.exists():
        return
    with as_file(files("sphinx-mathjax-offline") / "static" / "mathjax") as source:
        fonts = Path("output/chtml/fonts/woff-v2")
        shutil.copytree(source / fonts, target / fonts)
        shutil.copy(source / "tex-chtml.js", target)
    (target / "LICENSE").write_text("MathJax 3.2.2, https://www.mathjax.org, Apache License 2.0\n")


def setup(app: Sphinx) -> dict[str, Any]:
    # After sphinx-thebe has added its own.
    app.connect("html-page-context", drop_unwanted_scripts, priority=900)
    app.connect("html-page-context", offer_notebook, priority=400)  # before the theme makes its download menu
    app.connect("build-finished", lay_static_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
