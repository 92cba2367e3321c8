"""Solutions pass, mistakes and empty answers do not, and a number of somebody else's does not either."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import masters
import pytest

ROOT = Path(__file__).parents[2]
every_master = pytest.mark.parametrize("path", masters.masters(), ids=lambda path: path.stem)

RUN = """
import contextlib, io, json, sys
from pathlib import Path
import masters
with contextlib.redirect_stdout(io.StringIO()):
    rows = [(check, which, error and type(error).__name__, str(error))
            for check, which, error in masters.outcomes(masters.read(Path(sys.argv[1])))]
print(json.dumps(rows))
"""
COPIED = """
import contextlib, io, json, os, sys
from pathlib import Path
import masters

def values(notebook):
    space, kept = {"__name__": "__main__"}, {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and not {"check", "mistake"} & set(cell.metadata):
            before = dict(space)
            exec(cell.source, space)
            if "answer" in cell.metadata:
                kept[cell.metadata["answer"]] = {
                    name: value for name, value in space.items()
                    if isinstance(value, (int, float)) and before.get(name) is not value and name[0] != "_"
                }
    return kept

def caught(notebook, copied):
    space, wrong = {"__name__": "__main__"}, []
    for cell in notebook.cells:
        if cell.cell_type != "code" or "mistake" in cell.metadata:
            continue
        if "check" in cell.metadata:
            if copied[cell.metadata["check"]]:
                try:
                    exec(cell.source, dict(space))
                except AssertionError:
                    wrong.append(cell.metadata["check"])
            continue
        exec(cell.source, space)
        space |= copied.get(cell.metadata.get("answer"), {})
    return wrong

notebook = masters.read(Path(sys.argv[1]))
with contextlib.redirect_stdout(io.StringIO()):
    os.environ["COURSEWORK_STUDENT"] = "ada"
    theirs = values(notebook)
    found = set()
    for student in ("bob", "cleo"):
        os.environ["COURSEWORK_STUDENT"] = student
        found |= set(caught(notebook, theirs))
print(json.dumps([sorted(name for name in theirs if theirs[name]), sorted(found)]))
"""


def run(script, path, student):
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ
        | {
            "PYTHONPATH": f"{ROOT / 'coursework'}:{ROOT / 'src'}",
            "COURSEWORK_STUDENT": student,
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "Agg",
        },
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "nbgrader counts what a check writes to stderr as a failure"
    return json.loads(done.stdout)


@every_master
def test_the_solution_passes_and_an_empty_answer_and_each_mistake_fail(path):
    rows = run(RUN, path, "cleo")
    assert [row for row in rows if row[1] == "solution" and row[2]] == []
    assert [row[:2] for row in rows if row[1] != "solution" and not row[2]] == []
    mistakes = [row for row in rows if row[1] not in ("solution", "untouched")]
    for check in {row[0] for row in rows}:
        assert len({row[1] for row in mistakes if row[0] == check}) >= 2, (
            f"{check} has fewer than two mistakes"
        )
    speechless = [row for row in mistakes if row[2] == "AssertionError" and len(row[3]) < 20]
    assert not speechless, "a check that fails says what to look at"


@every_master
def test_numbers_copied_from_another_student_fail(path):
    with_numbers, caught = run(COPIED, path, "ada")
    assert with_numbers, "no answer of this problem set is a number"
    assert caught, f"the numbers of {with_numbers} are the same for all"


@every_master
def test_a_set_has_four_to_eight_questions_one_of_them_open_and_their_points_add_up(path):
    notebook = masters.read(path)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    titles = re.findall(r"(?m)^## \d+\. .*\((.*points?.*)\)", text)
    assert 4 <= len(titles) <= 8
    by_checks = sum(int(cell.metadata["points"]) for cell in notebook.cells if "check" in cell.metadata)
    by_hand = sum(int(cell.metadata["points"]) for cell in notebook.cells if masters.is_by_hand(cell))
    assert sum(int(number) for title in titles for number in re.findall(r"\d+", title)) == by_checks + by_hand
    assert by_checks >= 20
    assert by_hand >= 8
    for cell in notebook.cells:
        if masters.is_by_hand(cell):
            assert re.search("(?i)rubric", cell.source), f"{cell.metadata['answer']} has no rubric"


def test_every_chapter_that_teaches_has_a_problem_set():
    chapters = re.findall(r"chapters/(\w+)", (ROOT / "_toc.yml").read_text().split("At the back")[0])
    assert [path.stem for path in masters.masters()] == [
        name for name in chapters if name not in ("index", "conclusion")
    ]


CELL = "```{code-cell} ipython3\n"
GOOD = """\
---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {name: python3, display_name: Python 3}
---

```{code-cell} ipython3
:answer: one

### BEGIN SOLUTION
one = 1
### END SOLUTION
```

```{code-cell} ipython3
:check: one
:points: 1

assert one
### BEGIN HIDDEN TESTS
assert one == 1
### END HIDDEN TESTS
```
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("### END SOLUTION", "", "no solution between its marks"),
        ("### BEGIN HIDDEN TESTS", "", "hides nothing"),
        (":check: one", ":check: two", "no answer above it"),
        (":answer: one", ":answer: one\n:points: 1", "points belong to"),
        (GOOD[GOOD.index(":check") - 24 :], "", "nothing checks"),
        (CELL + ":answer", CELL + ":mistake: early\n\n1\n```\n\n" + CELL + ":answer", "below no answer"),
    ],
)
def test_what_is_wrong_with_a_master_is_named(tmp_path, old, new, message):
    path = tmp_path / "bad.md"
    path.write_text(GOOD)
    masters.read(path)
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"bad\.md.*{message}"):
        masters.read(path)
