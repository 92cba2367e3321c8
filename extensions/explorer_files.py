"""Lay the scripts and the data of interactive figures beside the page that shows them.

MyST-NB writes the state of every widget into the page. Here it leaves the page again: what a figure needs
goes into two files that `chapters/_static/explorer-host.js` fetches when a reader comes near, the rest goes
nowhere. They are classic scripts, which a page opened from a folder can load, and which the strictest
security policy lets pass.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from laid_files import lay_file, remove_unused
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

FOLDER = "_static/explorers"
_STATE_TYPE = "application/vnd.jupyter.widget-state+json"
_FIGURE = re.compile(r'<div class="explorer" data-explorer="(?P<model>\w+)" data-view="(?P<view>[\w-]+)"')
_STYLE = re.compile(r"<style>[^<]*</style>(?=<div class=\"explorer\")")
_EXPORT = re.compile(r"^export default (.+);\s*\Z", re.MULTILINE)
_NEEDED = ("title", "controls", "fixed", "frames", "state")


def take_states(context: dict[str, Any]) -> dict[str, Any]:
    """Take the state of the widgets out of a page's scripts: the values of each model by its name."""
    models: dict[str, Any] = {}
    kept = []
    for entry in context.get("script_files", []):
        attributes = getattr(entry, "attributes", {})
        if attributes.get("type") == _STATE_TYPE:
            models |= json.loads(attributes["body"])["state"]
        else:
            kept.append(entry)
    context["script_files"] = kept
    return {name: model["state"] for name, model in models.items()}


def with_files(body: str, states: Mapping[str, Any], lay: Callable[[str, str], str]) -> str:
    """The body of a page whose figures name the files of their script and their values.

    Parameters
    ----------
    body : HTML, in which a figure names its model
    states : values of each model
    lay : lays a file, with a stem for its name and a text; answers its address in the page

    Raises
    ------
    KeyError
        If a figure's model is not among the states.
    ValueError
        If its script is no module that ends in an export and needs no other.
    """
    numbers: dict[str, int] = {}
    views: Counter[str] = Counter()

    def named(figure: re.Match[str]) -> str:
        view, state = figure["view"], states[figure["model"]]
        script, found = _EXPORT.subn(r"return \1;", state["_esm"])
        if found != 1 or re.search(r"^(import|export)\b", script, re.MULTILINE):
            raise ValueError(f"script of {view!r} must end in 'export default' and import nothing")
        values = json.dumps({name: state[name] for name in _NEEDED}, ensure_ascii=False)
        addresses = [
            lay(view, f"bookExplorers.add({expression});\n")
            for expression in (f"(() => {{\n{script}\n}})()", values)
        ]
        number = numbers.setdefault(figure["model"], len(numbers) + 1)
        views[view] += 1
        name = f"explorer-{view}" + (f"-{views[view]}" if views[view] > 1 else "")
        return (
            f'<div id="{name}" class="explorer" data-explorer="{number}" data-view="{view}"'
            f' data-script="{addresses[0]}" data-values="{addresses[1]}"'
        )

    styles: set[str] = set()

    def once(style: re.Match[str]) -> str:
        seen = style[0] in styles
        styles.add(style[0])
        return "" if seen else style[0]

    return _FIGURE.sub(named, _STYLE.sub(once, body))


def lay_page(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Take the widgets of a page out of it and lay what its figures need into files."""
    if app.builder.format != "html":
        return

    def lay(stem: str, text: str) -> str:
        address: str = context["pathto"](f"{FOLDER}/{lay_file(Path(app.outdir), FOLDER, stem, text)}", 1)
        return address

    states = take_states(context)
    try:
        context["body"] = with_files(context.get("body", ""), states, lay)
    except (KeyError, ValueError) as error:
        logger.warning("a figure is without its files: %s", error, location=pagename, type="book")


def forget_unused_files(app: Sphinx, exception: Exception | None) -> None:
    """Remove the files of figures that no page shows any more."""
    if exception is None and app.builder.format == "html":
        remove_unused(Path(app.outdir), FOLDER)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", lay_page, priority=950)  # after all that add scripts
    app.connect("build-finished", forget_unused_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
