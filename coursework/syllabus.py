"""What the problem sets ask, how long they take, and which learning outcome each question is for.

The outcomes stand in ``outcomes.csv``: a chapter, what a student can do after it, and the names of the
answers that show it, as the masters give them in ``answer``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import masters
from nbformat import NotebookNode

HEADING = re.compile(r"^## (\d+)\. (.+?) \(([^()]*\bpoints?\b[^()]*)\)$", re.MULTILINE)
HOURS = re.compile(r"\*\*Time:\*\* about (\d+(?:\.\d+)?) hours?")
OUTCOMES = masters.FOLDER / "outcomes.csv"


class Question(NamedTuple):
    """A numbered heading with the names of the answers below it, and its points (their sum, or "4 + 2")."""

    number: int
    title: str
    answers: tuple[str, ...]
    by_checks: int
    by_hand: int


class ProblemSet(NamedTuple):
    """A master: the chapter it belongs to, the hours that its first lines give, its questions."""

    chapter: str
    hours: float
    questions: tuple[Question, ...]


class Outcome(NamedTuple):
    """What a student can do after a chapter, and the names of the answers that show it."""

    chapter: str
    outcome: str
    answers: tuple[str, ...]


def problem_set(path: Path) -> ProblemSet:
    """A master, read for what it asks; ValueError where it does not say so as the others do."""
    sections: list[tuple[re.Match[str], list[NotebookNode]]] = []
    notebook = masters.read(path)
    for cell in notebook.cells:
        headings = list(HEADING.finditer(cell.source)) if cell.cell_type == "markdown" else []
        sections += [(heading, []) for heading in headings]
        if sections:
            sections[-1][1].append(cell)
    hours = HOURS.search("".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown"))
    if hours is None:
        raise ValueError(f"{path.name}: its first lines must say **Time:** about N hours")
    return ProblemSet(path.stem, float(hours[1]), tuple(_question(path, *section) for section in sections))


def _question(path: Path, heading: re.Match[str], cells: list[NotebookNode]) -> Question:
    told = [cell.metadata for cell in cells]
    answers = tuple(cell["answer"] for cell in told if "answer" in cell)
    by_checks = sum(cell["points"] for cell in told if "check" in cell)
    by_hand = sum(cell["points"] for cell in told if "answer" in cell and "points" in cell)
    if not answers or by_checks + by_hand != sum(map(int, re.findall(r"\d+", heading[3]))):
        raise ValueError(
            f"{path.name}: {heading[0]!r} has {len(answers)} answers with {by_checks + by_hand} points"
        )
    return Question(int(heading[1]), heading[2], answers, by_checks, by_hand)


def problem_sets() -> dict[str, ProblemSet]:
    """Every problem set by its chapter, in the order of the chapters."""
    return {path.stem: problem_set(path) for path in masters.masters()}


def outcomes() -> list[Outcome]:
    """The table of outcomes, in the order of its lines."""
    with OUTCOMES.open(newline="", encoding="utf-8") as file:
        return [
            Outcome(row["chapter"], row["outcome"], tuple(row["questions"].split()))
            for row in csv.DictReader(file)
        ]


def complaints(table: Iterable[Outcome], sets: dict[str, ProblemSet]) -> list[str]:
    """Answers without an outcome, answers that no problem set has, and outcomes that nothing shows."""
    asked = {
        (one.chapter, name)
        for one in sets.values()
        for question in one.questions
        for name in question.answers
    }
    table = list(table)
    mapped = {(row.chapter, name) for row in table for name in row.answers}
    return [
        *(f"{chapter}: no outcome names the answer {name}" for chapter, name in sorted(asked - mapped)),
        *(f"{chapter}: there is no answer {name}" for chapter, name in sorted(mapped - asked)),
        *(f"{row.chapter}: no question asks for {row.outcome!r}" for row in table if not row.answers),
    ]


def numbers(row: Outcome, sets: dict[str, ProblemSet]) -> list[int]:
    """The numbers of the questions that an outcome is shown by."""
    return [part.number for part in sets[row.chapter].questions if set(part.answers) & set(row.answers)]
