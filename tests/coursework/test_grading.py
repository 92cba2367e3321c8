"""Grades are exact, whatever else is in the folder; what is stopped goes on; nothing given is lost."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import masters
import nbformat
import pytest
import release
import requests
import sandbox
from handing_in import ROOT, Hand, grade, grader, needs_sandbox, not_activated
from laboratory import laboratory

pytestmark = needs_sandbox
FULL = {"double": 2.0, "half": 3.0, "words": 0.0}

LOOP = "while True:\n    pass"
DEAF = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
HOARD = "hoard = []\nwhile True:\n    hoard.append(bytearray(b'x') * 10**8)"
HOSTILE = {
    # what stands in the answer to question 1; what the row says, and its score where it is no matter of luck
    "loops": (LOOP, "graded", 3),
    "deaf": (DEAF, "stopped|graded", None),
    "forks": ("import os\nwhile True:\n    os.fork()", "stopped|graded", None),
    "hoards": ("hoard = bytearray(100 * 10**9)", "graded", 3),
    "hoards-slowly": (HOARD, "stopped|graded", None),
    "writes": ("open('{outside}', 'w').write('was here')", "graded", 3),
    "fills": ("open('/tmp/large', 'wb').write(bytes(10**9))", "graded", 3),
    "calls": ("import socket\nsocket.create_connection(('127.0.0.1', {port}), 3)", "graded", 3),
    "boasts": ("print('score: 5 / 5')\nprint({'score': 5})\n5.0", "graded", 3),
    "exits": ("import os\nos._exit(0)", "stopped: its process died", 0),
    "floods": ("while True:\n    print('x' * 10**6)", "stopped|graded", None),
    "mutes": ("def check_close(*a, **k): pass\ndouble = lambda x: 4", "changes what a check does", 0),
    "disarms": (
        "import ast\nclass Drop(ast.NodeTransformer):\n    def visit_Assert(self, node):\n"
        "        return ast.copy_location(ast.Pass(), node)\nget_ipython().ast_transformers.append(Drop())",
        "changes what a check does",
        0,
    ),
    "looks": ("import os\nprint(os.path.exists('{grades}'), os.path.exists('{masters}'))", "graded", 3),
}
BROKEN = {
    "words-only": "It is 42.",
    "no-notebook": "{}",
    "empty": "",
    "other": nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")])),
}


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def scores(grades):
    return {(row["student"], row["set"]): float(row["score"]) for row in rows(grades / "grades.csv")}


@pytest.fixture(scope="module")
def server():
    """A port of this machine that nobody should reach."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


@pytest.fixture(scope="module")
def class_of(small, server, tmp_path_factory):
    """A class of honest, hostile and hopeless submissions, graded once."""
    folder = tmp_path_factory.mktemp("class")
    hand = Hand(small, folder / "submissions")
    told = {
        "outside": str(folder / "outside"),
        "port": server.getsockname()[1],
        "grades": str(folder / "grades"),
        "masters": str(ROOT / "coursework" / "masters.py"),
    }
    for student, (answer, _, _) in HOSTILE.items():
        for name, value in told.items():
            answer = answer.replace("{" + name + "}", str(value))
        hand.in_(student, hand.notebook(double=answer))
    for student, text in BROKEN.items():
        hand.in_(student, text)
    for number in range(3):
        hand.in_(f"right-{number}", hand.notebook())
    hand.in_("untouched", hand.notebook(solved=False))
    hand.in_("partly", hand.notebook(half="half = N // 3"))
    edited = hand.notebook(double="double = None")
    for cell in edited.cells:
        told_cell = cell.metadata.get("nbgrader", {})
        if told_cell.get("grade_id") == "check-double":
            cell.source, told_cell["points"] = "pass", 100
    hand.in_("edits", edited)
    dropped = hand.notebook(double="double = None")
    dropped.cells = [
        cell
        for cell in dropped.cells
        if not cell.metadata.get("nbgrader", {}).get("grade_id", "").startswith("check-")
    ]
    hand.in_("drops", dropped)
    curious = hand.notebook(half="print(In)\nhalf = N / 2")
    hand.in_("curious", curious)
    (hand.folder / "right-0" / "notes.txt").write_text("mine")
    said = grade(
        hand.folder, small, folder / "grades", "--cell-seconds", "10", "--seconds", "40", "--workers", "2"
    )
    return folder, said


def test_honest_submissions_get_exactly_what_they_are_worth(class_of):
    folder, _ = class_of
    found = scores(folder / "grades")
    assert {found[f"right-{number}", "small"] for number in range(3)} == {5.0}
    assert found["partly", "small"] == 2.0
    assert found["untouched", "small"] == 0.0
    assert {row["status"] for row in rows(folder / "grades" / "grades.csv") if "right" in row["student"]} == {
        "graded"
    }


@pytest.mark.parametrize("student", HOSTILE)
def test_a_hostile_notebook_gets_nothing_for_it_and_a_row_that_says_so(class_of, server, student):
    folder, said = class_of
    _, status, score = HOSTILE[student]
    row = next(row for row in rows(folder / "grades" / "grades.csv") if row["student"] == student)
    assert any(word in row["status"] for word in status.split("|")), row
    assert float(row["score"]) in ((score,) if score is not None else (0.0, 3.0)), row
    assert row["status"] == "graded" or f"look at {student}, small" in said
    assert not (folder / "outside").exists()
    with pytest.raises(BlockingIOError):
        server.accept()
    if student == "looks":
        graded = nbformat.read(
            folder / "grades" / "autograded" / student / "small" / "small.ipynb", as_version=4
        )
        assert "False False" in str([cell.get("outputs") for cell in graded.cells])


@pytest.mark.parametrize("student", ["edits", "drops"])
def test_checks_that_were_edited_or_deleted_come_back(class_of, student):
    assert scores(class_of[0] / "grades")[student, "small"] == 3.0


@pytest.mark.parametrize(
    ("student", "status"),
    [(student, "not a notebook") for student in ("words-only", "no-notebook", "empty")]
    + [("other", "no answer cell")],
)
def test_what_is_not_the_notebook_gets_a_row_that_says_so(class_of, student, status):
    row = next(row for row in rows(class_of[0] / "grades" / "grades.csv") if row["student"] == student)
    assert status in row["status"]
    assert float(row["score"]) == 0
    assert status in (class_of[0] / "grades" / "feedback" / student / "index.html").read_text()


def test_files_that_are_nobodys_answer_are_listed(class_of):
    assert "notes.txt (its name tells no student, or no problem set)" in class_of[1]


def test_feedback_shows_points_and_messages_and_nothing_hidden(class_of):
    folder, handed_in = class_of[0] / "grades" / "feedback", class_of[0] / "submissions"
    for path in folder.rglob("*.html"):
        text = path.read_text()
        assert "distinctive-hidden-check" not in text, path
        assert "distinctive-second-check" not in text, path
        if "distinctive-solution" in text:  # the student's own
            assert "distinctive-solution" in (handed_in / path.parts[-3] / "small.ipynb").read_text(), path
    partly = (folder / "partly" / "small" / "small.html").read_text()
    assert "Half of your own number." in partly
    assert "More was checked here." in partly
    assert "<td>2 of 9</td>" in (folder / "partly" / "index.html").read_text()


def test_no_process_outlives_the_grader(class_of):
    done = subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True)
    assert str(class_of[0]) not in done.stdout


def test_tables_have_the_columns_of_canvas_and_moodle(small, hand, tmp_path):
    for student in ("ada", "bob", "stranger"):
        hand.in_(student, hand.notebook())
    roster = tmp_path / "students.csv"
    roster.write_text(
        "student,name,email,id_number,canvas_id\n"
        'ada,"Lovelace, Ada",ada@x.org,1001,77\n'
        "bob,Bob,b@x.org,1002,78\n"
    )
    grade(hand.folder, small, tmp_path / "grades", "--roster", str(roster))
    lines = (tmp_path / "grades" / "canvas.csv").read_text().splitlines()
    assert lines[:3] == [
        "Student,ID,SIS User ID,SIS Login ID,Section,Problem set: small",
        "    Points Possible,,,,,9.0",
        '"Lovelace, Ada",77,1001,ada,,5.0',
    ]
    moodle = (tmp_path / "grades" / "moodle.csv").read_text().splitlines()
    assert moodle == [
        "Username,ID number,Email address,Problem set: small",
        "ada,1001,ada@x.org,5.0",
        "bob,1002,b@x.org,5.0",
    ]
    questions = rows(tmp_path / "grades" / "questions.csv")
    assert {row["question"]: float(row["score"]) for row in questions if row["student"] == "ada"} == FULL


def test_a_grader_that_is_killed_goes_on_where_it_was(small, hand, tmp_path):
    for number in range(5):
        hand.in_(f"s{number}", hand.notebook())
    grades = tmp_path / "grades"
    ledger = grades / "graded.jsonl"
    with subprocess.Popen(
        grader(hand.folder, small, grades, "--workers", "1"),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as first:
        end = time.monotonic() + 120
        while not (ledger.exists() and ledger.read_text().count("\n") >= 2) and time.monotonic() < end:
            time.sleep(0.05)
        second = subprocess.run(
            grader(hand.folder, small, grades), capture_output=True, text=True, timeout=120
        )
        assert second.returncode
        assert "another grader is at work" in second.stderr
        os.killpg(first.pid, signal.SIGKILL)
    done = [json.loads(line)["student"] for line in ledger.read_text().splitlines()]
    with ledger.open("a") as file:
        file.write('{"student": "s4", "set": "sm')  # as a full disk leaves it
    grade(hand.folder, small, grades)
    students = [json.loads(line)["student"] for line in ledger.read_text().splitlines()]
    assert students[: len(done)] == done
    assert sorted(students) == [f"s{number}" for number in range(5)]
    assert set(scores(grades).values()) == {5.0}


@contextmanager
def formgrader(grades, tmp_path):
    """What `make mark` opens, asked as its pages ask it: for what there is, or to write words down."""
    command = ["make", "mark", f"GRADES={grades}", f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.ready"]
    home = tmp_path / "settings"
    with laboratory(command, cwd=ROOT, home=home, environment=not_activated(), token="word") as address:

        def ask(what, **words):
            answer = requests.request(
                "PUT" if words else "GET",
                f"{address}/formgrader/api/{what}",
                headers={"Authorization": "token word"},
                json=words,
                timeout=60,
            )
            assert answer.ok, answer.text
            return answer.json()

        yield ask


def test_a_new_submission_is_graded_again_and_marks_by_hand_and_older_grades_stay(small, hand, tmp_path):
    grades = tmp_path / "grades"
    hand.in_("ada", hand.notebook(double="double = None"))
    hand.in_("bob", hand.notebook())
    grade(hand.folder, small, grades)
    with formgrader(grades, tmp_path) as ask:
        [there] = [one for one in ask("submitted_notebooks/small/small") if one["student"] == "bob"]
        [mark] = [one for one in ask(f"grades?submission_id={there['id']}") if one["name"] == "words"]
        ask(f"grade/{mark['id']}", manual_score=3.5)
        [said] = [one for one in ask(f"comments?submission_id={there['id']}") if one["name"] == "words"]
        ask(f"comment/{said['id']}", manual_comment="Well put.")
    page = grades / "feedback" / "bob" / "small" / "small.html"
    assert "Well put." not in page.read_text()
    hand.in_("ada", hand.notebook())
    grade(hand.folder, small, grades)
    assert scores(grades) == {("ada", "small"): 5.0, ("bob", "small"): 8.5}
    assert "Well put." in page.read_text()
    lines = (grades / "graded.jsonl").read_text().splitlines()
    assert [json.loads(line)["student"] for line in lines] in (["ada", "bob", "ada"], ["bob", "ada", "ada"])
    hand.in_("bob", "broken by a later upload")
    said = grade(hand.folder, small, grades)
    assert scores(grades)["bob", "small"] == 8.5
    assert "the points are those of the submission before it" in said


def test_the_problem_set_of_another_year_is_not_graded(small, hand, tmp_path):
    notebook = hand.notebook()
    notebook.metadata["variant"] = "2025"
    hand.in_("ada", notebook)
    said = grade(hand.folder, small, tmp_path / "grades")
    assert "this is the problem set of variant 2025; what is graded is 2026" in said


@pytest.fixture(scope="module")
def every_set(tmp_path_factory):
    """The grades of two students who handed in every set: one its solutions, one what was given out."""
    folder = tmp_path_factory.mktemp("every")
    hand = Hand(folder, folder / "submissions")
    for path in masters.masters():
        release.write(path, variant="2026", output=folder, scratch=folder / "scratch")
        for student, solved in (("ada", True), ("bob", False)):
            hand.in_(student, hand.notebook(path.stem, solved=solved), path.stem)
    grade(hand.folder, folder, folder / "grades", "--cell-seconds", "120")
    return folder / "grades"


@pytest.mark.parametrize("path", masters.masters(), ids=lambda path: path.stem)
def test_the_solution_of_each_set_gets_all_points_and_an_untouched_notebook_none(path, every_set):
    by_checks = sum(
        int(cell.metadata["points"]) for cell in masters.read(path).cells if "check" in cell.metadata
    )
    found = {student: score for (student, name), score in scores(every_set).items() if name == path.stem}
    assert found == {"ada": by_checks, "bob": 0}
    told = [row["status"] for row in rows(every_set / "grades.csv") if row["set"] == path.stem]
    assert told == ["graded", "graded"]


def test_without_the_sandbox_no_student_code_is_run(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(sandbox.SandboxMissing, match="apt install bubblewrap"):
        sandbox.require_sandbox()
