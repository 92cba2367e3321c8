"""An interactive figure as it stands in a page without its scripts: drawn by the same script, once, in V8."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from py_mini_racer import MiniRacer

NOTE = "Moving this figure needs JavaScript."
_EXPORT = re.compile(r"^export default (.+);\s*\Z", re.MULTILINE)


def still_html(script: str, values: Mapping[str, Any], attributes: Mapping[str, str]) -> str:
    """The figure as HTML: title, controls that do not move, pictures and the sentence.

    Parameters
    ----------
    script : module whose last statement exports an object with a function ``render``
    values : what the script reads from its model
    attributes : of the element around the figure, in their order

    Raises
    ------
    ValueError
        If the script does not end in such an export.
    """
    if not _EXPORT.search(script):
        raise ValueError("script must end in 'export default ...;'")
    body = _EXPORT.sub(r"return \1;", script)
    dom = files("scaling_transformers.explorers").joinpath("dom.js").read_text("utf-8")
    arguments = ", ".join(json.dumps(value) for value in (values, attributes, NOTE))
    with MiniRacer() as browser:
        return str(browser.eval(f"{dom}\nstill((() => {{\n{body}\n}})(), {arguments})"))
