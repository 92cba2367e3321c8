"""Which file is whose answer to which problem set, in a folder as a course site or nbgrader hands it over."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

CANVAS = re.compile(r"(?P<name>[^_]+)(?:_LATE)?_(?P<student>\d+)_\d+_(?P<file>.+)")
MOODLE = re.compile(r"(?P<name>.+)_(?P<student>\d+)_assignsubmission_file_?")
NAME = re.compile(r"[A-Za-z0-9][\w.@+-]*")


class Submission(NamedTuple):
    """One file, and the student and problem set that its name tells."""

    student: str
    set: str
    path: Path


class Student(NamedTuple):
    """A line of the roster; what the course site asks for may be empty."""

    student: str
    name: str = ""
    email: str = ""
    id_number: str = ""
    canvas_id: str = ""


def read_roster(path: Path) -> dict[str, Student]:
    """The students of a CSV file with a column ``student``, by that; other columns are those of Student."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if "student" not in (reader.fieldnames or []):
            raise ValueError(f"{path} must have a column named student; it has {reader.fieldnames}")
        lines = [{key: (line.get(key) or "").strip() for key in Student._fields} for line in reader]
    roster = {line["student"]: Student(**line) for line in lines if line["student"]}
    if len(roster) < sum(bool(line["student"]) for line in lines):
        raise ValueError(f"{path} names a student twice")
    bad = [student for student in roster if not NAME.fullmatch(student)]
    if bad:
        raise ValueError(f"{path}: a student is letters, digits and . _ @ + -, not {bad[0]!r}")
    return roster


def find(
    folder: Path, sets: Collection[str], roster: dict[str, Student]
) -> tuple[list[Submission], list[Path]]:
    """The submissions below a folder, and the files whose names tell no student or no problem set.

    Understood are ``STUDENT/SET.ipynb``, ``STUDENT/SET/SET.ipynb`` (nbgrader), ``STUDENT_SET.ipynb``, and the
    names of Canvas (``name_12345_67890_SET.ipynb``) and of Moodle
    (``Name_12345_assignsubmission_file/SET.ipynb``).
    Where a student handed in a set twice, the newest file counts.
    """
    if not folder.is_dir():
        raise ValueError(f"SUBMISSIONS must be a folder; {folder} is none")
    known = {value.casefold(): line.student for line in roster.values() for value in line if value}
    found: dict[tuple[str, str], Submission] = {}
    left = []
    for path in sorted(folder.rglob("*"), key=lambda path: (path.lstat().st_mtime, str(path))):
        if path.is_dir() or path.name.startswith(".") or ".ipynb_checkpoints" in path.parts:
            continue
        keys, name = _told(path.relative_to(folder), sets)
        student = next(
            (known[key.casefold()] for key in keys if key.casefold() in known), next(iter(keys), "")
        )
        if path.is_symlink() or not name or not NAME.fullmatch(student):
            left.append(path)
        else:
            found[student, name] = Submission(student, name, path)
    return [found[key] for key in sorted(found)], left


def _told(path: Path, sets: Collection[str]) -> tuple[list[str], str]:
    """Who may be meant by a path, best first, and the problem set; empty where it tells none."""
    if len(path.parts) > 1:
        found = MOODLE.fullmatch(path.parts[0])
        keys = [found["student"], found["name"]] if found else [path.parts[0]]
        return keys, _set(path.stem, sets)
    if found := CANVAS.fullmatch(path.stem):
        return [found["student"], found["name"]], _set(found["file"], sets)
    return next(
        (([path.stem[: -len(name) - 1]], name) for name in sets if re.fullmatch(rf".+[_-]{name}", path.stem)),
        ([], ""),
    )


def _set(stem: str, sets: Collection[str]) -> str:
    """The set that a file is named after, also with the number that a site or a browser adds."""
    plain = re.sub(r"[-_ ]?\(?\d+\)?$", "", stem.strip()).casefold()
    return next((name for name in sets if name in (stem, plain)), "")
