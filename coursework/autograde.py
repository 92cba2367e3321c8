"""Grade one notebook: built anew from the source, run in the sandbox, scored into nbgrader's gradebook."""

from __future__ import annotations

import os
import secrets
import tempfile
import warnings
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import nbformat
import sandbox
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import Execute
from nbgrader.utils import capture_log
from release import course_config
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

warnings.filterwarnings("ignore", category=SAWarning)  # of nbgrader's own queries; nobody here can act on it

LARGEST = 10_000_000
"""Bytes of a submitted notebook, and of what its cells may print."""
CANARY = "canary"
NOT_RUN = "NotCounted"
GRADED = "graded"
PUT_OUT = {"stream", "display_data", "execute_result", "update_display_data", "comm_open", "comm_msg"}


class NotGraded(ValueError):
    """A submission that cannot be graded as it is; the words are for its student."""


def read_submission(path: Path) -> NotebookNode:
    """A submitted notebook; NotGraded where it is none."""
    if path.stat().st_size > LARGEST:
        raise NotGraded(
            f"the file has {path.stat().st_size / 1e6:,.0f} MB; clear the outputs and hand it in again"
        )
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # whatever a file that is none makes nbformat raise
        raise NotGraded(
            f"the file is not a notebook that Jupyter can read ({type(error).__name__})"
        ) from error
    return notebook


def rebuilt(source: NotebookNode, submitted: NotebookNode) -> NotebookNode:
    """The source with a student's answers for its own, and the student's own cells where they stood.

    Nothing else of a submission counts: its copies of the checks, of the given cells and of their metadata
    stay out, whatever was done to them.
    """
    variants = [notebook.metadata.get("variant") for notebook in (submitted, source)]
    if None not in variants and variants[0] != variants[1]:
        raise NotGraded(f"this is the problem set of variant {variants[0]}; what is graded is {variants[1]}")
    known = {cell.metadata.nbgrader.grade_id for cell in source.cells if "nbgrader" in cell.metadata}
    given = {cell.source for cell in source.cells if "nbgrader" not in cell.metadata}
    theirs: dict[str, str] = {}
    own: dict[str, list[NotebookNode]] = {}
    last = ""
    new = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    for cell in submitted.cells:
        told = cell.metadata.get("nbgrader")
        name = told.get("grade_id") if isinstance(told, dict) else None
        if name in known and name not in theirs:
            theirs[name] = cell.source
            last = name
        elif cell.cell_type in new and cell.source not in given:
            own.setdefault(last, []).append(new[cell.cell_type](cell.source))
    cells = own.get("", [])
    answered = False
    for cell in source.cells:
        told = cell.metadata.get("nbgrader", {})
        name = told.get("grade_id", "")
        if told.get("solution"):
            cell = nbformat.from_dict({**cell, "source": theirs.get(name, "")})
            answered |= name in theirs
        cells = [*cells, cell, *(own.get(name, []) if name else [])]
    if not answered:
        raise NotGraded(
            "no answer cell of this problem set is in it; start from the notebook that was given out"
        )
    return nbformat.v4.new_notebook(cells=cells, metadata=source.metadata)


class ExecuteWatched(Execute):
    """Runs a notebook to its end or its death, in the sandbox, and looks whether the checks still check.

    After each check stands a cell that must fail with a word that cannot be known before. Where it does not,
    somebody has changed what ``assert`` or ``check_close`` do, and no check gives points.
    """

    folder = Path()

    def preprocess(self, nb: NotebookNode, resources: Any, km: Any = None) -> tuple[NotebookNode, Any]:
        word = secrets.token_hex(16)
        nb.cells = [
            cell
            for checked in nb.cells
            for cell in ([checked, _canary(word)] if _is_check(checked) else [checked])
        ]
        self.printed, self.finished = 0, set[str]()
        stopped = ""
        try:
            nb, resources = super().preprocess(nb, resources, km)
        except DeadKernelError:
            note = self.folder / sandbox.ENDED
            stopped = note.read_text() if note.exists() else "its process died"
        except CellTimeoutError:
            stopped = "a cell went on when it was told to end"
        canaries = [cell for cell in nb.cells if CANARY in cell.metadata]
        nb.cells = [cell for cell in nb.cells if CANARY not in cell.metadata]
        if any(not _failed(cell) for cell in canaries if cell.id in self.finished):
            _give_nothing(nb, "the notebook changes what a check does")
        elif stopped:
            _give_nothing(nb, f"the notebook was stopped: {stopped}", but=self.finished)
        return nb, resources

    def on_cell_executed(self, **told: Any) -> None:
        super().on_cell_executed(**told)
        self.finished.add(told["cell"].id)

    def process_message(self, msg: Mapping[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        """Keep what cells put out, up to a size: more would fill this process's memory."""
        if msg["msg_type"] in PUT_OUT:
            self.printed += len(str(msg["content"]))
            if self.printed > LARGEST:
                return None
        return super().process_message(msg, cell, cell_index)


def _is_check(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade", False)


def _canary(word: str) -> NotebookNode:
    source = (
        f"try:\n    check_close(0.0, 1.0, {word!r})\n"
        f"except AssertionError as failure:\n    assert str(failure) != {word!r}, {word!r}"
    )
    return nbformat.v4.new_code_cell(source, metadata={CANARY: True})


def _failed(cell: NotebookNode) -> bool:
    return any(output.output_type == "error" for output in cell.outputs)


def _give_nothing(nb: NotebookNode, why: str, *, but: Set[str] = frozenset()) -> None:
    """Give each code cell an error in the place of what it put out, so that nbgrader counts no points."""
    for cell in nb.cells:
        if cell.cell_type == "code" and cell.id not in but:
            cell.outputs = [nbformat.v4.new_output("error", ename=NOT_RUN, evalue=why, traceback=[why])]


def grade(
    course: Path, student: str, name: str, path: Path, *, kernels: Path, cell_seconds: int
) -> dict[str, Any]:
    """Grade one submission into the course's gradebook; what came out as a row of plain values.

    Never raises for what a student handed in: the row's ``status`` says what was wrong.
    """
    row: dict[str, Any] = {"student": student, "set": name, "graded": False}
    try:
        source = nbformat.read(course / "source" / name / f"{name}.ipynb", as_version=4)
        notebook = rebuilt(source, read_submission(path))
        target = course / "submitted" / student / name / f"{name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target)
        row |= _run(course, student, name, kernels=kernels, cell_seconds=cell_seconds)
    except NotGraded as error:
        row["status"] = str(error)
    return row


def _run(course: Path, student: str, name: str, *, kernels: Path, cell_seconds: int) -> dict[str, Any]:
    os.environ |= {"JUPYTER_PATH": str(kernels), "COURSEWORK_STUDENT": student}
    with tempfile.TemporaryDirectory(prefix="kernel-") as folder:
        ExecuteWatched.folder = Path(folder)
        kernel = Path(folder) / "kernel"  # all that its process may write; the folder around it is not
        kernel.mkdir()
        config = course_config(course)
        channel = {"transport": "ipc", "connection_file": str(kernel / "kernel.json")}
        config.KernelManager = config.AsyncKernelManager = Config(channel)
        config.ExecuteWatched.timeout = cell_seconds
        config.ExecuteWatched.iopub_timeout = 20  # to end when interrupted
        config.ExecuteWatched.kernel_name = sandbox.NAME
        config.CourseDirectory.assignment_id, config.CourseDirectory.student_id = name, student
        app = Autograde(coursedir=CourseDirectory(config=config), config=config, force=True)
        app.autograde_preprocessors = [
            ExecuteWatched if step is Execute else step for step in app.autograde_preprocessors
        ]
        done = capture_log(app)
    if not done["success"]:
        raise RuntimeError(done.get("log") or done["error"])
    graded = nbformat.read(course / "autograded" / student / name / f"{name}.ipynb", as_version=4)
    stops = {
        out.evalue for cell in graded.cells for out in cell.get("outputs", []) if out.get("ename") == NOT_RUN
    }
    return {"status": stops.pop() if stops else GRADED, "graded": True}
