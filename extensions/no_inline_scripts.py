"""Move every script that stands in a page into a file, so that a security policy can forbid all that do.

The theme and the extensions of Sphinx write small scripts into each page: the reader's theme, settings, the
name of the page. Each becomes a file in its place. Those that follow one another share one, and those that
only give a value to a name, for others to read, join the first of the page: fewer files to wait for. Equal
texts are one file.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from laid_files import lay_file, remove_unused
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

FOLDER = "_static/page-scripts"
_SCRIPT = re.compile(r"(<script\b[^>]*>.*?</script>)", re.DOTALL)
_INLINE = re.compile(r"<script\b(?P<attributes>(?![^>]*\bsrc\s*=)[^>]*)>(?P<code>.*?)</script>", re.DOTALL)
_DATA = re.compile(r"""\btype\s*=\s*["']?(?!module\b|text/javascript\b|application/javascript\b)""")
_SETTING = re.compile(r"""(?:(?:let|var) |window\.)\w+ = (?:'[^']*'|"[^"]*"|\{[^;]*\}|\w+);?""")
_HANDLER = re.compile(r"""<[a-z][^<>]*\s(?:on[a-z]+\s*=|href\s*=\s*["']?javascript:)[^<>]*>""", re.IGNORECASE)
_PRINTS = 'onclick="window.print()"'
# What sphinx-thebe leaves in a page; its own script is taken away by book_site.py.
_UNUSED = re.compile(r"<script(?: type=\"text/x-thebe-config\">|>kernelName = ).*?</script>\s*", re.DOTALL)


def without_inline_scripts(html: str, lay: Callable[[str], str]) -> str:
    """The page with its scripts in files, and its button that prints for print-button.js to bring to life.

    Parameters
    ----------
    html : the page
    lay : lays a file with the text that it gets; answers its address in the page

    Raises
    ------
    ValueError
        If any other element has a handler in an attribute.
    """
    pieces = _SCRIPT.split(_UNUSED.sub("", html.replace(_PRINTS, "data-print")))
    markup = "".join(piece for piece in pieces if not piece.startswith("<script"))
    if found := _HANDLER.search(markup):
        raise ValueError(f"a page must have no handler in an attribute; got {found[0]}")
    kept: list[str] = []
    scripts: dict[int, list[str]] = {}  # by its place among what is kept: attributes, then what it runs
    last = -1
    for piece in pieces:
        script = _INLINE.fullmatch(piece)
        if script is None or _DATA.search(script["attributes"]):
            if piece.strip():
                last = -1
            kept.append(piece)
            continue
        code = script["code"].strip()
        place = next(iter(scripts), -1) if _SETTING.fullmatch(code) else last
        if place < 0:
            place = last = len(kept)
            scripts[place] = [script["attributes"]]
            kept.append("")
        if code not in scripts[place]:
            scripts[place].append(code)
    for place, (attributes, *codes) in scripts.items():
        text = "\n".join(code if code.endswith(";") else f"{code};" for code in codes)
        kept[place] = f'<script{attributes} src="{lay(text)}"></script>'
    return "".join(kept)


def clear_pages(app: Sphinx, exception: Exception | None) -> None:
    """Move the scripts of all pages that this build has written."""
    if exception is not None or app.builder.format != "html":
        return
    outdir = Path(app.outdir)
    for page in sorted(outdir.rglob("*.html")):
        path = page.relative_to(outdir).as_posix()
        if path.startswith("_"):
            continue

        def lay(text: str, folder: str = posixpath.dirname(path)) -> str:
            name = lay_file(outdir, FOLDER, "script", f"{text}\n")
            return posixpath.relpath(f"{FOLDER}/{name}", folder or ".")

        before = page.read_text("utf-8")
        try:
            after = without_inline_scripts(before, lay)
        except ValueError as error:
            logger.warning("%s", error, location=path, type="book")
            continue
        if after != before:
            page.write_text(after, encoding="utf-8")
    remove_unused(outdir, FOLDER)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_js_file("print-button.js", defer="defer")
    app.connect("build-finished", clear_pages, priority=800)  # after all that write pages
    return {"parallel_read_safe": True, "parallel_write_safe": True}
