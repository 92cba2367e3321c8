"""Runs the reader's cells: in the page's Python, and at the build to see which cells can run there."""

from __future__ import annotations

import ast
import io
import linecache
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

MOST = 100_000
"""Characters that one run may print; what an endless loop prints beyond them is dropped."""
EVERY = 0.05
"""Seconds between two pieces of the output on their way to the page."""


class Out(io.TextIOBase):
    """Collects what is printed and tells it now and then, for a message a letter would bury the page."""

    def __init__(self, tell: Callable[[str], Any]) -> None:
        self.tell, self.held, self.told, self.last = tell, "", 0, time.monotonic()

    def write(self, text: str) -> int:
        if self.told + len(self.held) < MOST:
            self.held += text[:MOST]
            if self.told + len(self.held) >= MOST:
                self.held += f"\n... only the first {MOST:,} characters are shown\n"
                self.flush()
        if self.held and time.monotonic() - self.last > EVERY:
            self.flush()
        return len(text)

    def flush(self) -> None:
        if self.held:
            self.tell(self.held)
            self.told += len(self.held)
            self.held, self.last = "", time.monotonic()


def run(
    before: str, source: str, tell: Callable[[str], Any], draw: Callable[[str], Any] | None = None
) -> str:
    """Run ``source`` in a fresh namespace after ``before``, whose output nobody sees.

    The output goes to ``tell``, and so does the value of a last expression, but for a figure's, whose markup
    goes to ``draw``.

    Returns
    -------
    str
        Empty, or the traceback of what went wrong, without the frames of this file.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    out = Out(tell)
    try:
        with redirect_stdout(Out(lambda text: None)), redirect_stderr(Out(lambda text: None)):
            _execute(before, names, where="<the cells before>")
        with redirect_stdout(out), redirect_stderr(out):
            value = _execute(source, names, where="<this cell>")
            if draw is not None and hasattr(value, "_repr_html_"):
                draw(value._repr_html_())
            elif value is not None:
                out.write(f"{value!r}\n")
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: the next run must find Python here
        out.flush()
        return _traceback(error)
    out.flush()
    return ""


def _execute(source: str, names: dict[str, Any], *, where: str) -> Any:
    """Run the statements; the value of the last one if it is an expression."""
    linecache.cache[where] = (len(source), None, source.splitlines(keepends=True), where)
    tree = ast.parse(source, where)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, where, "exec"), names)
    if last is not None:
        return eval(compile(ast.Expression(last.value), where, "eval"), names)
    return None


def _traceback(error: BaseException) -> str:
    """What Python says of an error, from the reader's own line on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    if isinstance(error, SyntaxError):
        frames = None
    return "".join(traceback.format_exception(type(error), error, frames)).rstrip() + "\n"


def try_all(cells: list[dict[str, Any]]) -> list[dict[str, str]]:
    """What each cell prints, and its traceback."""
    results = []
    for cell in cells:
        printed: list[str] = []
        error = run(cell["before"], cell["source"], printed.append)
        results.append({"printed": "".join(printed), "error": error})
    return results


if __name__ == "__main__":
    import json

    sys.path.insert(0, sys.argv[1])
    print(json.dumps(try_all(json.load(sys.stdin))))
