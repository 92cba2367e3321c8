"""What the site needs beyond Jupyter Book: its own MathJax, no script from elsewhere, notebooks to take."""

from __future__ import annotations

import re
import shutil
from html import escape
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from executed import executed_notebook
from portable_notebook import stand_alone
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


def visit_citation(translator: Any, node: nodes.citation) -> None:
    """Open an entry of the reading list, as an item of its list: docutils gives it a role long out of use."""
    translator.__class__.visit_citation(translator, node)
    translator.body[-1] = translator.body[-1].replace('role="doc-biblioentry"', 'role="listitem"')


def depart_citation(translator: Any, node: nodes.citation) -> None:
    translator.__class__.depart_citation(translator, node)


def drop_repeated_ids(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Take away the one id that sphinx-exercise gives to every exercise, and the one of every solution."""
    for section in doctree.findall(nodes.section):
        section["ids"] = [id for id in section["ids"] if id not in ("exercise-content", "solution-content")]


def part_words_from_link(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Put the space before the link in the title of a solution, where sphinx-exercise underlines it."""
    if "body" in context:
        context["body"] = re.sub(r"(>Solution to)(<a [^>]*>) ", r"\1 \2", context["body"])


def offer_notebook(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Lay the executed notebook of a chapter beside the pages and name it for the theme's download menu."""
    if doctree is None or app.builder.format != "html":
        return
    notebook = executed_notebook(app, pagename)
    if notebook is None:
        return
    notebook = stand_alone(app, pagename, doctree, notebook)
    target = Path(app.outdir) / "_sources" / f"{pagename}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)
    context["ipynb_source"] = f"{pagename}.ipynb"


def lead_to_first_page(app: Sphinx, exception: Exception | None) -> None:
    """Write the page at the root of the site: it leads to the first, by a link too where nothing moves on."""
    if exception is not None or app.builder.format != "html":
        return
    first, title = f"{app.config.root_doc}.html", escape(app.config.html_title)
    (Path(app.outdir) / "index.html").write_text(
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        # The empty icon keeps the browser from asking for one that is not there.
        f'<link rel="icon" href="data:,"><meta http-equiv="refresh" content="0; url={first}"></head>'
        f'<body><main><h1><a href="{first}">{title}</a></h1></main></body></html>\n',
        encoding="utf-8",
    )


def lay_static_files(app: Sphinx, exception: Exception | None) -> None:
    """Copy the part of MathJax that the pages use, from its PyPI package; take out what no page asks for."""
    if exception is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    for unused in [*static.glob("sphinx-thebe.*"), *static.glob("*webpack-macros.html")]:
        unused.unlink()
    target = static / "mathjax"
    with as_file(files("sphinx-mathjax-offline") / "static" / "mathjax") as source:
        # The second holds what MathJax fetches when a formula asks for it: \boldsymbol, \cancel, ...
        for folder in ("output/chtml/fonts/woff-v2", "input/tex/extensions"):
            shutil.copytree(source / folder, target / folder, dirs_exist_ok=True)
        shutil.copy(source / "tex-chtml.js", target)
    (target / "LICENSE").write_text("MathJax 3.2.2, https://www.mathjax.org, Apache License 2.0\n")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_node(nodes.citation, override=True, html=(visit_citation, depart_citation))
    app.connect("doctree-resolved", drop_repeated_ids)
    # After sphinx-thebe has added its own.
    app.connect("html-page-context", drop_unwanted_scripts, priority=900)
    app.connect("html-page-context", part_words_from_link)
    app.connect("html-page-context", offer_notebook, priority=400)  # before the theme makes its download menu
    app.connect("build-finished", lead_to_first_page)
    app.connect("build-finished", lay_static_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
