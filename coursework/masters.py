"""The master of a problem set: one MyST notebook with the solution, the mistakes and the tests side by side.

Cells of a master say what they are by their metadata:

- ``answer: NAME`` on a code cell: what a student writes, with the solution between ``### BEGIN SOLUTION`` and
  ``### END SOLUTION``;
- ``mistake: WHAT`` on a code cell: a plausible wrong answer in the place of the answer above it;
- ``check: NAME`` and ``points: N`` on a code cell: what the answer is checked by, public first, then what
  lies between ``### BEGIN HIDDEN TESTS`` and ``### END HIDDEN TESTS``;
- ``answer: NAME`` and ``points: N`` on a Markdown cell: an answer in words, marked by hand, with its
  rubric between the marks of a solution;
- ``student: true`` on the one code cell in which students name themselves.

All other cells are given, and stand as they are in every release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
SOLUTION = re.compile(r"^ *### BEGIN SOLUTION\n(.*?)^ *### END SOLUTION *$", re.MULTILINE | re.DOTALL)
HIDDEN = re.compile(r"^ *### BEGIN HIDDEN TESTS\n(.*?)^ *### END HIDDEN TESTS *$", re.MULTILINE | re.DOTALL)
VARIANT = re.compile(r'(?m)^VARIANT = "[^"\n]*"')


def masters() -> list[Path]:
    """The masters, in the order of the chapters."""
    order = re.findall(r"chapters/(\w+)", (FOLDER.parent / "_toc.yml").read_text())
    return sorted(FOLDER.glob("*.md"), key=lambda path: order.index(path.stem))


def read(path: Path) -> NotebookNode:
    """A master as a notebook; ValueError names what is wrong with it."""
    notebook = jupytext.read(path)
    names: dict[str, set[str]] = {"answer": set(), "check": set()}
    last = None
    for cell in notebook.cells:
        told = cell.metadata
        for kind, seen in names.items():
            if kind in told:
                if told[kind] in seen:
                    raise ValueError(f"{path.name}: two cells say {kind}: {told[kind]}")
                seen.add(told[kind])
        if "answer" in told:
            last = told["answer"]
            if not SOLUTION.search(cell.source):
                raise ValueError(f"{path.name}: the answer {last} has no solution between its marks")
            if (cell.cell_type == "markdown") != ("points" in told):
                raise ValueError(f"{path.name}: {last}: points belong to an answer in words, or to a check")
        if "check" in told and not (told["check"] in names["answer"] and HIDDEN.search(cell.source)):
            raise ValueError(
                f"{path.name}: the check {told['check']} has no answer above it, or hides nothing"
            )
        if "mistake" in told and last is None:
            raise ValueError(f"{path.name}: the mistake {told['mistake']} stands below no answer")
    by_hand = {cell.metadata["answer"] for cell in notebook.cells if is_by_hand(cell)}
    unchecked = names["answer"] - names["check"] - by_hand
    if unchecked:
        raise ValueError(f"{path.name}: nothing checks {sorted(unchecked)}")
    return notebook


def is_by_hand(cell: NotebookNode) -> bool:
    """Whether a cell asks for an answer in words."""
    return cell.cell_type == "markdown" and "answer" in cell.metadata


def outcomes(notebook: NotebookNode) -> Iterator[tuple[str, str, BaseException | None]]:
    """Run a master here, and yield (check, which answer, what the check raised or None).

    Which answer: ``solution``, ``untouched``, or the name of a mistake. An answer that is wrong is tried from
    the state that the solutions above it left, and does not reach those below.
    """
    space: dict[str, Any] = {"__name__": "__main__"}
    tries: dict[str, dict[str, dict[str, Any]]] = {}
    before: dict[str, Any] = {}
    current = ""
    for number, cell in enumerate(notebook.cells):
        told = cell.metadata
        if cell.cell_type != "code":
            continue
        if "answer" in told:
            current, before = told["answer"], dict(space)
            exec(compile(cell.source, current, "exec"), space)
            tries[current] = {"untouched": dict(before)}
            _quietly(SOLUTION.sub(_stub, cell.source), "untouched", tries[current]["untouched"])
        elif "mistake" in told:
            tries[current][told["mistake"]] = dict(before)
            _quietly(cell.source, told["mistake"], tries[current][told["mistake"]])
        else:
            if "check" in told:
                checked = told["check"]
                for which, theirs in {"solution": space, **tries.pop(checked)}.items():
                    yield checked, which, _quietly(cell.source, f"check of {checked}", dict(theirs))
            else:
                exec(compile(cell.source, f"cell {number}", "exec"), space)
                for theirs in (theirs for waiting in tries.values() for theirs in waiting.values()):
                    _quietly(cell.source, f"cell {number}", theirs)


def _stub(match: re.Match[str]) -> str:
    indent = re.match(" *", match[0])
    return f"{indent[0] if indent else ''}raise NotImplementedError()"


def _quietly(source: str, name: str, space: dict[str, Any]) -> BaseException | None:
    try:
        exec(compile(source, name, "exec"), space)
    except Exception as error:
        return error
    return None


if __name__ == "__main__":
    import sys
    import time

    for path in [Path(name) for name in sys.argv[1:]] or masters():
        start, wrong = time.monotonic(), 0
        for check, which, error in outcomes(read(path)):
            good = (error is None) == (which == "solution")
            wrong += not good
            print(f"{path.stem} {check:24} {'ok   ' if good else 'WRONG'} {which}: {error!r}"[:200])
        print(f"{path.stem}: {wrong} wrong, {time.monotonic() - start:.1f} s")
