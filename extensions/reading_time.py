"""How long a page takes: a quiet line below its title.

Counted is what stands open on the page. Folded code and folded solutions take the time of those who open
them. The role ``{reading-hours}`` says elsewhere how long chapters take together, in hours with one decimal:
``{reading-hours}`attention complexity```.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

logger = logging.getLogger(__name__)

WORDS_A_MINUTE = 230
LINES_A_MINUTE = 20  # of code: they are few, and read one by one
SECONDS = {nodes.figure: 20, nodes.table: 20, nodes.math_block: 10}
"""What looking at one takes beyond the words of its caption."""

_FOLDED = {"dropdown", "tag_hide-input", "tag_hide-cell", "tag_remove-input", "tag_remove-cell"}


def minutes_to_read(doctree: nodes.document) -> int:
    """Minutes that a page takes to read, at least one."""
    words = lines = 0
    seconds = 0.0
    for node in doctree.findall():
        if _folded(node):
            continue
        seconds += SECONDS.get(type(node), 0)
        if isinstance(node, nodes.Text):
            if not _inside(
                node, (nodes.literal_block, nodes.math, nodes.math_block, nodes.raw, nodes.comment)
            ):
                words += len(re.findall(r"\w[\w’'-]*", node.astext()))
        elif isinstance(node, nodes.literal_block) and "output" not in " ".join(node["classes"]):
            lines += sum(bool(line.strip()) for line in node.astext().splitlines())
    return max(1, round(words / WORDS_A_MINUTE + lines / LINES_A_MINUTE + seconds / 60))


def _ancestors(node: nodes.Node) -> Any:
    while node is not None:
        yield node
        node = node.parent


def _inside(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    return any(isinstance(above, kinds) for above in _ancestors(node))


def _folded(node: nodes.Node) -> bool:
    """Whether a node is seen only by readers who open something, or is what a cell has printed."""
    for above in _ancestors(node):
        classes = set(above.get("classes", [])) if isinstance(above, nodes.Element) else set()
        if "cell_output" in classes or "dropdown" in classes:
            return True
        if "cell" in classes and _FOLDED & classes:
            return isinstance(node, nodes.literal_block) or _inside(node, (nodes.literal_block,))
    return False


def said(minutes: int, seconds: float | None) -> str:
    """The line: minutes to read, and how long the code ran."""
    words = f"{minutes} minute{'s' * (minutes != 1)} to read"
    if seconds is None:
        return words
    whole = max(1, math.ceil(seconds))
    return f"{words}, {whole} second{'s' * (whole != 1)} to run"


def say_how_long(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Put the line below the title of a page of prose."""
    if doctree is None or "body" not in context:
        return
    if next(doctree.findall(addnodes.desc), None) is not None:  # the reference is looked up, not read
        return
    record = NbMetadataCollector.get_exec_data(app.env, pagename)
    seconds = record["runtime"] if record else None
    line = f'<p class="reading-time">{said(minutes_to_read(doctree), seconds)}</p>'
    context["body"] = context["body"].replace("</h1>", f"</h1>\n{line}", 1)


class reading_hours(nodes.Inline, nodes.TextElement):
    """Stands where the hours of the chapters ``of`` will be, until all are read."""


class ReadingHours(SphinxRole):
    """``{reading-hours}`` of the names of chapters."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        _kept(self.env, "book_hours_pages")[self.env.docname] = True
        return [reading_hours(of=self.text, docname=self.env.docname)], []


def _kept(env: BuildEnvironment, what: str) -> dict[str, Any]:
    """What is known of pages by name, kept with the environment."""
    if not hasattr(env, what):
        setattr(env, what, {})
    return getattr(env, what)  # type: ignore[no-any-return]


def keep_minutes(app: Sphinx, doctree: nodes.document) -> None:
    _kept(app.env, "book_minutes")[app.env.docname] = minutes_to_read(doctree)


def forget(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    for what in ("book_minutes", "book_hours_pages"):
        _kept(env, what).pop(docname, None)


def pages_to_write(app: Sphinx, env: BuildEnvironment) -> Collection[str]:
    return sorted(_kept(env, "book_hours_pages"))


def hours(env: BuildEnvironment, of: str, docname: str) -> str:
    """Hours that chapters take to read together; one that is not in the book is reported."""
    known = _kept(env, "book_minutes")
    home = docname.rpartition("/")[0]
    names = [f"{home}/{name}".lstrip("/") for name in of.split()]
    for name in names:
        if name not in known:
            logger.warning("no page %r to say the reading time of", name, location=docname, type="book")
    return f"{sum(known.get(name, 0) for name in names) / 60:.1f}"


def fill_in(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for place in list(doctree.findall(reading_hours)):
        place.replace_self(nodes.Text(hours(app.env, place["of"], place["docname"])))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_node(reading_hours)
    app.add_role("reading-hours", ReadingHours())
    app.connect("doctree-read", keep_minutes)
    app.connect("env-purge-doc", forget)
    app.connect("env-updated", pages_to_write)
    app.connect("doctree-resolved", fill_in)
    app.connect("html-page-context", say_how_long)
    return {"version": "1", "env_version": 1, "parallel_read_safe": False, "parallel_write_safe": True}
