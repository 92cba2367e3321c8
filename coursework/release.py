"""Write the three releases of the problem sets: for students, for instructors, for the grader.

``python coursework/release.py`` (``make coursework``) reads the masters and writes, in ``_build/coursework``:

- ``student/NAME.ipynb``: no solution, no mistake, no hidden test;
- ``instructor/NAME.ipynb``: everything, each mistake below the answer that it stands for;
- ``autograder/NAME.ipynb``: what nbgrader grades by, with the solutions and the hidden tests.

What has not changed is not written again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import masters
import nbformat
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from nbgrader.apps import NbGraderAPI
from tqdm import tqdm
from traitlets.config import Config

ROOT = Path(__file__).parent.parent
OUTPUT = ROOT / "_build" / "coursework"

# nbgrader starts alembic by its name, which is on no PATH where the environment is not activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def course_config(course: Path) -> Config:
    """nbgrader's settings for a folder of its kind, with one gradebook that several processes may write."""
    config = Config()
    config.CourseDirectory.root = str(course.resolve())
    config.CourseDirectory.db_url = f"sqlite:///{course.resolve() / 'gradebook.db'}?timeout=120"
    return config


def assign(course: Path, name: str, source: NotebookNode) -> NotebookNode:
    """Make a problem set known to a course's gradebook, and return what its students get.

    Grades already given stay. Raises RuntimeError with nbgrader's words where it refuses.
    """
    path = course / "source" / name / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(source, path)
    done = NbGraderAPI(config=course_config(course)).generate_assignment(name, force=True)
    if not done["success"]:
        raise RuntimeError(f"nbgrader does not take {name}: {done.get('error') or ''}{done.get('log') or ''}")
    return nbformat.read(course / "release" / name / f"{name}.ipynb", as_version=4)


def for_grader(notebook: NotebookNode, name: str, *, variant: str) -> NotebookNode:
    """A master as nbgrader's source: its metadata, and no mistakes."""
    cells = [_given(_installing(), f"{name}-install")]
    for number, cell in enumerate(notebook.cells):
        told, label = cell.metadata, f"{name}-{number}"
        if "mistake" in told:
            continue
        if cell.cell_type == "code":
            cell = new_code_cell(masters.VARIANT.sub(f'VARIANT = "{variant}"', cell.source))
        if "answer" in told:
            _told(cell, told["answer"], solution=True, grade="points" in told, points=told.get("points"))
        elif "check" in told:
            _told(cell, f"check-{told['check']}", grade=True, locked=True, points=told["points"])
        elif cell.cell_type == "code" and "student" not in told:
            _given(cell, label)
        else:
            cell.metadata = NotebookNode()
        cell.id = re.sub(r"[^\w-]", "-", label)
        cells.append(cell)
    return _notebook(cells, variant)


def for_instructor(notebook: NotebookNode, *, variant: str) -> NotebookNode:
    """A master to read: each mistake named, as text, below the answer that it stands for."""
    cells = []
    for number, cell in enumerate(notebook.cells):
        told = cell.metadata
        if "mistake" in told:
            text = f"**A mistake that the check finds: {told['mistake']}**\n\n```python\n{cell.source}\n```"
            cell = nbformat.v4.new_markdown_cell(text)
        elif cell.cell_type == "code":
            cell = new_code_cell(masters.VARIANT.sub(f'VARIANT = "{variant}"', cell.source))
        cell.metadata, cell.id = NotebookNode(), f"cell-{number}"
        cells.append(cell)
    return _notebook(cells, variant)


def _notebook(cells: list[NotebookNode], variant: str) -> NotebookNode:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "variant": variant})


def _told(
    cell: NotebookNode,
    name: str,
    *,
    solution: bool = False,
    grade: bool = False,
    locked: bool = False,
    points: float | None = None,
) -> None:
    told: dict[str, Any] = {
        "grade_id": name,
        "grade": grade,
        "solution": solution,
        "locked": locked,
        "task": False,
        "schema_version": 3,
        "cell_type": cell.cell_type,
    }
    cell.metadata = NotebookNode(nbgrader=NotebookNode(told | ({} if points is None else {"points": points})))


def _given(cell: NotebookNode, name: str) -> NotebookNode:
    _told(cell, name, locked=True)
    return cell


def _installing() -> NotebookNode:
    """The first cell of every notebook of the book: it installs the package, or says how to."""
    sys.path.insert(0, str(ROOT / "extensions"))
    from portable_notebook import installing_cell

    told = yaml.safe_load((ROOT / "_config.yml").read_text()).get("repository") or {}
    return new_code_cell(installing_cell(told.get("url"), told.get("branch", "main")), id="install")


def write(path: Path, *, variant: str, output: Path, scratch: Path) -> bool:
    """Write the releases of one master, unless they stand there already; return whether it wrote.

    ``scratch`` is an empty course, for nbgrader to make the students' notebook in.
    """
    name, tools = path.stem, [Path(__file__), Path(masters.__file__), ROOT / "_config.yml"]
    state = hashlib.sha256(
        b"".join(file.read_bytes() for file in (path, *tools)) + variant.encode()
    ).hexdigest()
    targets = {kind: output / kind / f"{name}.ipynb" for kind in ("student", "instructor", "autograder")}
    mark = output / "made" / name
    if mark.exists() and mark.read_text() == state and all(target.exists() for target in targets.values()):
        return False
    source = for_grader(masters.read(path), name, variant=variant)
    student = assign(scratch, name, nbformat.from_dict(source))
    notebooks = {
        "student": student,
        "instructor": for_instructor(masters.read(path), variant=variant),
        "autograder": source,
    }
    for kind, target in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        nbformat.write(notebooks[kind], part)
        part.replace(target)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(state)
    return True


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--variant", help="another one gives every student other numbers; kept until the next"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT)
    chosen = parser.parse_args(words)
    kept = chosen.output / "variant"
    variant = chosen.variant or (kept.read_text() if kept.exists() else "2026")
    if not re.fullmatch(r"[\w.-]+", variant):
        raise SystemExit(f"a variant is letters, digits, points and hyphens, not {variant!r}")
    chosen.output.mkdir(parents=True, exist_ok=True)
    kept.write_text(variant)
    paths = masters.masters()
    with tempfile.TemporaryDirectory() as scratch:
        written = sum(
            write(path, variant=variant, output=chosen.output, scratch=Path(scratch))
            for path in tqdm(paths, desc="problem sets", unit="")
        )
    print(f"{len(paths)} problem sets, {written} written, variant {variant}: {chosen.output}")
    for kind in ("student", "instructor", "autograder"):
        print(f"  {chosen.output / kind}")


if __name__ == "__main__":
    main()
