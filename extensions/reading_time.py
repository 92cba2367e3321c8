"""How long a page takes: a quiet line below its title.

Counted is what stands open on the page. Folded code and folded solutions take the time of those who open
them.
"""

from __future__ import annotations

import math
import re
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx import addnodes
from sphinx.application import Sphinx

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


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", say_how_long)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
