"""For readers who listen to a page: a figure without words fails the build, a table says what heads it.

The words of a figure are the ``alt`` of an image, the ``aria-label`` of a drawing. They state what the figure
shows: they are no file name, no repetition of the caption, and not those of another figure of the page.
"""

from __future__ import annotations

import re
from collections import Counter
from html import unescape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

LEAST = 40  # letters: fewer name a picture, and do not state what it shows
_FIGURE = re.compile(r"<(img|svg)\b([^>]*)>")
_NAME = re.compile(r"[\w./-]+\.(?:svg|png|jpe?g|gif|webp)", re.IGNORECASE)
_CAPTION = re.compile(
    r'<figcaption>.*?<span class="caption-text">(.*?)</span><a class="headerlink"', re.DOTALL
)


def attribute(name: str, tag: str) -> str:
    """The value of an attribute of a tag, "" where it has none."""
    found = re.search(rf'\b(?<![\w-]){name}="([^"]*)"', tag)
    return " ".join(unescape(found[1]).split()) if found else ""


def figures(body: str) -> list[tuple[str, str]]:
    """Words and caption of every figure of a page, "" where one is missing; no ornaments."""
    found = []
    for figure in _FIGURE.finditer(body):
        kind, tag = figure.groups()
        if attribute("aria-hidden", tag) == "true" or attribute("role", tag) in ("presentation", "none"):
            continue
        words = attribute("alt" if kind == "img" else "aria-label", tag)
        end = body.find("</figure>", figure.end())
        inside = end >= 0 and "<figure" not in body[figure.end() : end]
        caption = _CAPTION.search(body[figure.end() : end]) if inside else None
        text = unescape(re.sub(r"<[^>]+>", "", caption[1])) if caption else ""
        found.append((words, " ".join(text.split())))
    return found


def faults(body: str) -> list[str]:
    """What is wrong with the words of the figures of a page."""
    found = []
    pictures = figures(body)
    for number, (words, caption) in enumerate(pictures, 1):
        if not words:
            found.append(f"figure {number} of the page has no words for those who do not see it")
        elif _NAME.fullmatch(words):
            found.append(f"the words of a figure must say what it shows; got a file's name: {words!r}")
        elif len(words) < LEAST:
            found.append(
                f"the words of a figure must be a sentence of {LEAST} letters or more; got {words!r}"
            )
        elif caption.startswith(words.rstrip(".")):
            found.append(f"the words of a figure must say more than how its caption begins; got {words!r}")
    repeated = (
        words for words, count in Counter(words for words, _ in pictures).items() if words and count > 1
    )
    return found + [f"two figures of a page must not have the same words: {words!r}" for words in repeated]


def check_figures(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if doctree is not None and app.builder.format == "html":
        for fault in faults(context.get("body", "")):
            logger.warning(fault, location=pagename, type="book", subtype="figure")


def visit_entry(translator: Any, node: nodes.entry) -> None:
    """Open a cell of a table; one that heads a column or a row says which."""
    translator.__class__.visit_entry(translator, node)
    scope = "col" if isinstance(node.parent.parent, nodes.thead) else "row"
    translator.body[-1] = re.sub(r"^<th\b(?![^>]*\bscope=)", f'<th scope="{scope}"', translator.body[-1])


def depart_entry(translator: Any, node: nodes.entry) -> None:
    translator.__class__.depart_entry(translator, node)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_node(nodes.entry, override=True, html=(visit_entry, depart_entry))
    app.add_css_file("access.css")
    app.connect("html-page-context", check_figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
