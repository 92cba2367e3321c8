"""What a page says of itself to those who link to it: a description, and a card with a picture.

`cards.py` draws the pictures. Addresses are absolute where ``_config.yml`` names the site's address
(``baseurl``), and relative where not.
"""

from __future__ import annotations

import csv
import posixpath
import textwrap
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

QUESTIONS = "src/scaling_transformers/data/chapters.csv"
LONGEST = 200  # characters of a description: what search engines and cards show
SIZE = (1200, 630)  # of a card, in pixels


def questions(app: Sphinx) -> dict[str, str]:
    """The question of each chapter, by its page."""
    path = Path(app.srcdir) / QUESTIONS
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8") as file:
        return {f"chapters/{row['chapter']}": row["question"] for row in csv.DictReader(file)}


def description(doctree: nodes.document, question: str = "") -> str:
    """A chapter's question and its first sentences, or those alone, cut where a word ends."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section | nodes.document):
            words = " ".join(paragraph.astext().split())
            break
    else:
        words = ""
    return textwrap.shorten(f"{question} {words}".strip(), LONGEST, placeholder=" …")


def describe_page(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Add the description and the card to the head of a page."""
    if doctree is None or app.builder.format != "html":
        return
    base = str(app.config.html_baseurl or "").rstrip("/")
    page = app.builder.get_target_uri(pagename)
    card = f"_static/cards/{card_name(pagename, questions(app))}.png"
    image = f"{base}/{card}" if base else posixpath.relpath(card, posixpath.dirname(page) or ".")
    title = nodes.Text(app.env.titles[pagename].astext()).astext()
    what = description(doctree, questions(app).get(pagename, "")) or f"{title}: {app.config.html_title}"
    properties = {
        "og:type": "website" if pagename == app.config.root_doc else "article",
        "og:site_name": app.config.html_title,
        "og:title": title,
        "og:description": what,
        **({"og:url": f"{base}/{page}"} if base else {}),
        "og:image": image,
        "og:image:width": str(SIZE[0]),
        "og:image:height": str(SIZE[1]),
        "og:image:alt": f"{app.config.html_title}: {questions(app).get(pagename, title)}",
    }
    names = {"description": what, "twitter:card": "summary_large_image"}
    lines = [f'<meta property="{key}" content="{escape(value)}" />' for key, value in properties.items()]
    lines += [f'<meta name="{key}" content="{escape(value)}" />' for key, value in names.items()]
    context["metatags"] = context.get("metatags", "") + "\n" + "\n".join(lines) + "\n"


def card_name(pagename: str, known: dict[str, str]) -> str:
    """A chapter has a card of its own; all other pages share the book's."""
    return pagename.rpartition("/")[2] if pagename in known else "book"


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", describe_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
