"""What a student gets back: a page for each problem set, and one page that leads to them.

The points, the messages of the checks and the marks with their comments are shown; what is hidden stays so.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from masters import HIDDEN
from nbformat import NotebookNode
from nbgrader.api import SubmittedAssignment
from nbgrader.converters import GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import GetGrades, NbGraderPreprocessor
from nbgrader.utils import capture_log
from release import course_config

WITHHELD = "[This output held text of the hidden checks, and is left out.]"


class KeepHidden(NbGraderPreprocessor):
    """Take the hidden checks, and what quotes them, out of a graded notebook."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        lines = set[str]()
        for cell in nb.cells:
            if cell.cell_type == "code" and (found := HIDDEN.search(cell.source)):
                lines |= {line.strip() for line in found[1].splitlines() if len(line.strip()) > 20}
                cell.source = HIDDEN.sub("# More was checked here.", cell.source)
                for output in cell.outputs:
                    if output.output_type == "error":  # its traceback shows the lines around
                        output.traceback = [f"{output.ename}: {output.evalue}"]
        for cell in nb.cells:
            for output in cell.get("outputs", []):
                text = re.sub(r"\x1b\[[\d;]*m", "", str(output)).replace("\\'", "'")
                if any(line in text for line in lines):
                    cell.outputs = [NotebookNode(output_type="stream", name="stdout", text=WITHHELD)]
                    break
        return nb, resources


def state(submission: SubmittedAssignment) -> str:
    """A word that changes with a submission's points, marks and comments."""
    told = [
        [(grade.name, grade.auto_score, grade.manual_score, grade.extra_credit) for grade in notebook.grades]
        + [(comment.name, comment.comment) for comment in notebook.comments]
        for notebook in submission.notebooks
    ]
    return hashlib.sha256(repr(sorted(map(repr, told))).encode()).hexdigest()


def write_page(course: Path, student: str, name: str) -> None:
    """nbgrader's page of feedback on one graded notebook, without what is hidden."""
    config = course_config(course)
    config.CourseDirectory.assignment_id, config.CourseDirectory.student_id = name, student
    config.HTMLExporter.sanitize_html = (
        True  # what a student's cell put out must not run in a marker's browser
    )
    app = GenerateFeedback(coursedir=CourseDirectory(config=config), config=config, force=True)
    app.preprocessors = [GetGrades, KeepHidden, *app.preprocessors[1:]]
    done = capture_log(app)
    if not done["success"]:
        raise RuntimeError(done.get("log") or done["error"])


def write_index(folder: Path, student: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """The page that a student opens first: a line for each problem set."""
    lines = []
    for row in rows:
        name = html.escape(row["set"])
        there = (folder / row["set"] / f"{row['set']}.html").exists()
        lines.append(
            f"<tr><th scope=row>{f'<a href={name}/{name}.html>{name}</a>' if there else name}</th>"
            f"<td>{row['score']:g} of {row['maximum']:g}</td><td>{row['waiting'] or 'none'}</td>"
            f"<td>{html.escape(row['status'])}</td></tr>"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Feedback: {html.escape(student)}</title>"
        "<style>:root{color-scheme:light dark}"
        "body{font:16px/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem}"
        "th,td{text-align:left;padding:.3rem 1rem .3rem 0;vertical-align:top}</style>"
        f"<h1>Feedback: {html.escape(student)}</h1><table><thead><tr><th scope=col>Problem set</th>"
        "<th scope=col>Points</th><th scope=col>Answers still to be marked</th><th scope=col>State</th>"
        "</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></html>\n"
    )
