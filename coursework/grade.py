"""Grade a folder of notebooks: ``python coursework/grade.py FOLDER`` (``make grade SUBMISSIONS=FOLDER``).

Every notebook runs in a sandbox of its own (sandbox.py), as many at a time as there are cores. The folder
of grades is one of nbgrader's course folders, so its tools for marking by hand open it; beside its
gradebook lie ``grades.csv`` (a line for each student and problem set), ``questions.csv`` (a line for each
question), ``canvas.csv`` and ``moodle.csv`` (what these sites import), and ``feedback/STUDENT/index.html``.

What has been graded is written down at once, in ``graded.jsonl``, and not done again unless the submission
or the problem set has changed: stop it, and start it again, at any time.
"""

from __future__ import annotations

import argparse
import csv
import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import autograde
import feedback
import nbformat
import release
import sandbox
from nbgrader.api import Gradebook, MissingEntry
from submissions import Student, Submission, find, read_roster
from tqdm import tqdm

from scaling_transformers._workers import Outcome, in_processes

Row = dict[str, Any]


@contextmanager
def only_grader(course: Path) -> Iterator[None]:
    """Keep a second grader out of a folder of grades; the system frees it when this process ends."""
    with (course / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another grader is at work in {course}; wait for its end, or stop it") from None
        yield


class Ledger:
    """What came out for each submission, a line each in a file that only grows: the last line counts."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, dict[tuple[str, str], Row]()
        text = path.read_text() if path.exists() else ""
        for line in text.splitlines():
            try:
                row = json.loads(line)
                self.rows[row["student"], row["set"]] = row
            except ValueError:  # the line at which an earlier run was cut off
                continue
        if text and not text.endswith("\n"):
            path.write_text("".join(json.dumps(row) + "\n" for row in self.rows.values()))

    def add(self, row: Row) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows[row["student"], row["set"]] = row


def prepare(course: Path, autograder: Path) -> dict[str, str]:
    """Bring problem sets into a course's gradebook where they are new or changed; a fingerprint of each."""
    prints = {}
    for path in sorted(autograder.glob("*.ipynb")):
        text, name = path.read_bytes(), path.stem
        there = course / "source" / name / path.name
        if not (there.exists() and (course / "release" / name).exists() and there.read_bytes() == text):
            release.assign(course, name, nbformat.reads(text.decode(), as_version=4))
            there.write_bytes(text)  # as it was, so that it compares equal next time
        prints[name] = hashlib.sha256(text).hexdigest()
    if not prints:
        raise SystemExit(f"there is no problem set in {autograder}: run make coursework first")
    return prints


def in_parallel(task: Any, runs: Mapping[str, Row], *, workers: int, label: str) -> Iterator[Outcome]:
    """The outcomes of a task, as they come, with a bar of progress."""
    outcomes = in_processes(task, runs, workers=workers)
    with closing(outcomes), tqdm(outcomes, total=len(runs), desc=label, unit="", disable=not runs) as bar:
        yield from bar


def grade_all(
    course: Path,
    found: list[Submission],
    prints: Mapping[str, str],
    *,
    workers: int,
    seconds: int,
    cell_seconds: int,
) -> tuple[Ledger, list[str]]:
    """Grade what is new or changed; the ledger, and what the grader itself failed at."""
    ledger, failures = Ledger(course / "graded.jsonl"), []
    kernels = course / "kernels"
    sandbox.install(kernels, seconds=seconds)
    runs = {}
    for number, one in enumerate(found):
        mark = hashlib.sha256(one.path.read_bytes() + prints[one.set].encode()).hexdigest()
        if ledger.rows.get((one.student, one.set), {}).get("print") != mark:
            runs[str(number)] = {"student": one.student, "set": one.set, "path": str(one.path), "print": mark}

    def task(run: Row) -> Row:
        row = autograde.grade(
            course, run["student"], run["set"], Path(run["path"]), kernels=kernels, cell_seconds=cell_seconds
        )
        return row | {"print": run["print"]}

    for outcome in in_parallel(task, runs, workers=workers, label="graded"):
        if outcome.row is None:
            run = runs[outcome.key]
            failures.append(f"{run['student']}, {run['set']}: {outcome.error}\n{outcome.trace}")
        else:
            ledger.add({**outcome.row, "seconds": round(outcome.seconds, 2)})
    return ledger, failures


def tables(
    gradebook: Gradebook, rows: Iterable[Row], roster: Mapping[str, Student]
) -> tuple[list[Row], list[Row]]:
    """The lines of grades.csv and of questions.csv, from the gradebook and what the grader wrote down.

    A submission that could not be graded keeps the grade of an earlier one, if there was any, and says so.
    """
    grades, questions = [], []
    for row in sorted(rows, key=lambda row: (row["student"], row["set"])):
        student, name = row["student"], row["set"]
        line = {
            "student": student,
            "name": roster[student].name if student in roster else "",
            "set": name,
            "score": 0.0,
            "maximum": gradebook.find_assignment(name).max_score,
            "waiting": 0,
            "status": row["status"],
            "seconds": row["seconds"],
        }
        try:
            submission = gradebook.find_submission(name, student)
        except MissingEntry:
            submission = None
        if submission is not None:
            line["score"] = submission.score
            if not row["graded"]:
                line["status"] += " (the points are those of the submission before it)"
            for grade in submission.notebooks[0].grades:
                by_hand = grade.cell.cell_type == "markdown"
                waiting = bool(grade.needs_manual_grade)
                line["waiting"] += waiting
                questions.append(
                    {
                        "student": student,
                        "set": name,
                        "question": grade.name.removeprefix("check-"),
                        "score": grade.score,
                        "maximum": grade.max_score,
                        "marked": "waiting" if waiting else "by hand" if by_hand else "by checks",
                    }
                )
        grades.append(line)
    return grades, questions


def write_csv(path: Path, lines: list[Row], columns: list[str]) -> None:
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)
    part.replace(path)


def write_tables(
    course: Path, grades: list[Row], questions: list[Row], roster: Mapping[str, Student]
) -> None:
    """grades.csv, questions.csv, and the two files that course sites import."""
    write_csv(
        course / "grades.csv",
        grades,
        ["student", "name", "set", "score", "maximum", "waiting", "status", "seconds"],
    )
    write_csv(
        course / "questions.csv", questions, ["student", "set", "question", "score", "maximum", "marked"]
    )
    titles = {row["set"]: f"Problem set: {row['set']}" for row in grades}
    points: dict[str, Row] = {}
    for row in grades:
        points.setdefault(row["student"], {})[titles[row["set"]]] = row["score"]
    known = {student: roster.get(student, Student(student)) for student in points}
    ids = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    most = {titles[row["set"]]: row["maximum"] for row in grades}
    canvas: list[Row] = [{"Student": "    Points Possible", **most}]
    canvas += [
        {
            "Student": who.name or student,
            "ID": who.canvas_id,
            "SIS User ID": who.id_number,
            "SIS Login ID": student,
        }
        | points[student]
        for student, who in known.items()
    ]
    write_csv(course / "canvas.csv", canvas, ids + sorted(most))
    moodle: list[Row] = [
        {"Username": student, "ID number": who.id_number, "Email address": who.email} | points[student]
        for student, who in known.items()
        if student in roster or not roster  # one student whom Moodle does not know stops its whole import
    ]
    write_csv(course / "moodle.csv", moodle, ["Username", "ID number", "Email address", *sorted(most)])


def give_feedback(course: Path, gradebook: Gradebook, grades: list[Row], *, workers: int) -> list[str]:
    """Write the pages whose points, marks or comments have changed; what the grader itself failed at."""
    runs, states = {}, {}
    for row in grades:
        try:
            state = feedback.state(gradebook.find_submission(row["set"], row["student"]))
        except MissingEntry:
            continue
        mark = course / "feedback" / row["student"] / row["set"] / "state"
        if not (mark.exists() and mark.read_text() == state):
            key = str(len(runs))
            runs[key], states[key] = {"student": row["student"], "set": row["set"]}, (mark, state)

    def task(run: Row) -> Row:
        feedback.write_page(course, run["student"], run["set"])
        return {}

    failures = []
    for outcome in in_parallel(task, runs, workers=workers, label="feedback"):
        if outcome.row is None:
            run = runs[outcome.key]
            failures.append(f"feedback for {run['student']}, {run['set']}: {outcome.error}\n{outcome.trace}")
        else:
            mark, state = states[outcome.key]
            mark.write_text(state)
    students: dict[str, list[Row]] = {}
    for row in grades:
        students.setdefault(row["student"], []).append(row)
    for student, rows in students.items():
        feedback.write_index(course / "feedback" / student, student, rows)
    return failures


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("submissions", type=Path, help="a folder of notebooks")
    parser.add_argument(
        "--grades", type=Path, default=Path("grades"), help="the folder of grades (%(default)s)"
    )
    parser.add_argument("--roster", type=Path, help="a CSV file: student, name, email, id_number, canvas_id")
    parser.add_argument("--autograder", type=Path, default=release.OUTPUT / "autograder")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=int, default=900, help="that a notebook may take (%(default)s)")
    parser.add_argument("--cell-seconds", type=int, default=60, help="that a cell may take (%(default)s)")
    chosen = parser.parse_args(words)
    try:
        sandbox.require_sandbox()
        roster = read_roster(chosen.roster) if chosen.roster else {}
        chosen.grades.mkdir(parents=True, exist_ok=True)
        course = chosen.grades.resolve()
        with only_grader(course):
            prints = prepare(course, chosen.autograder)
            found, left = find(chosen.submissions, prints, roster)
            ledger, failures = grade_all(
                course,
                found,
                prints,
                workers=chosen.workers,
                seconds=chosen.seconds,
                cell_seconds=chosen.cell_seconds,
            )
            with Gradebook(release.course_config(course).CourseDirectory.db_url) as gradebook:
                grades, questions = tables(gradebook, ledger.rows.values(), roster)
                write_tables(course, grades, questions, roster)
                failures += give_feedback(course, gradebook, grades, workers=chosen.workers)
    except (ValueError, sandbox.SandboxMissing) as error:
        raise SystemExit(str(error)) from error
    report(course, grades, left, failures)
    return 1 if failures else 0


def report(course: Path, grades: list[Row], left: list[Path], failures: list[str]) -> None:
    """Say what a person should look at."""
    odd = [row for row in grades if row["status"] != autograde.GRADED]
    waiting = sum(row["waiting"] for row in grades)
    print(f"{len(grades)} graded; {waiting} answers wait to be marked by hand; tables and feedback: {course}")
    for row in odd:
        print(f"  look at {row['student']}, {row['set']}: {row['status']}")
    for path in left:
        print(f"  left: {path} (its name tells no student, or no problem set)")
    for failure in failures:
        print(f"  NOT GRADED, the grader failed; run it again: {failure}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
