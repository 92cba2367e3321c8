"""Every question of every problem set serves a learning outcome, and every outcome has its questions."""

import re
from pathlib import Path

import masters
import pytest
import syllabus

ROOT = Path(__file__).parents[2]
NOT_MEASURABLE = {"understand", "know", "learn", "appreciate", "grasp", "see", "think", "be", "become"}

SMALL = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  name: python3
  display_name: Python 3
---

# Problem set: small

**Chapter:** None. **Time:** about 3 hours.

## 1. Add (2 points, and 1 in words)

Add.

```{code-cell} ipython3
:answer: add

### BEGIN SOLUTION
total = 1 + 1
### END SOLUTION
```

```{code-cell} ipython3
:check: add
:points: 2

assert total
### BEGIN HIDDEN TESTS
assert total == 2
### END HIDDEN TESTS
```

Say why.

+++ {"answer": "why", "points": 1}

### BEGIN SOLUTION
One and one.
### END SOLUTION
"""

every_master = pytest.mark.parametrize("path", masters.masters(), ids=lambda path: path.stem)


def test_each_question_is_mapped_and_each_named_question_exists():
    assert syllabus.complaints(syllabus.outcomes(), syllabus.problem_sets()) == []


def test_a_question_forgotten_or_misspelt_and_an_outcome_without_one_are_named():
    question = syllabus.Question(1, "Count", ("count", "why"), 3, 2)
    sets = {"cost": syllabus.ProblemSet("cost", 3.0, (question,))}
    table = [
        syllabus.Outcome("cost", "Count it.", ("count", "whi")),
        syllabus.Outcome("cost", "Judge it.", ()),
    ]
    assert syllabus.complaints(table, sets) == [
        "cost: no outcome names the answer why",
        "cost: there is no answer whi",
        "cost: no question asks for 'Judge it.'",
    ]
    assert syllabus.numbers(table[0], sets) == [1]


@every_master
def test_a_chapter_has_two_to_four_outcomes_that_begin_with_what_can_be_observed(path):
    said = [row.outcome for row in syllabus.outcomes() if row.chapter == path.stem]
    assert 2 <= len(said) <= 4
    assert all(re.fullmatch(r"[A-Z].+\.", one) for one in said)
    assert not {one.split()[0].lower() for one in said} & NOT_MEASURABLE


@every_master
def test_the_questions_read_are_those_that_stand_in_the_file(path):
    text = path.read_text("utf-8")
    one = syllabus.problem_set(path)
    assert [question.number for question in one.questions] == list(range(1, text.count("\n## ") + 1))
    named = re.findall(r'^:answer: (\S+)$|^\+\+\+ \{"answer": "([^"]+)"', text, re.MULTILINE)
    assert [name for question in one.questions for name in question.answers] == [
        "".join(two) for two in named
    ]
    checked = sum(map(int, re.findall(r"^:points: (\d+)$", text, re.MULTILINE)))
    marked = sum(map(int, re.findall(r'^\+\+\+ \{.*"points": (\d+)', text, re.MULTILINE)))
    assert sum(question.by_checks for question in one.questions) == checked
    assert sum(question.by_hand for question in one.questions) == marked


@every_master
def test_a_problem_set_says_that_it_takes_two_to_four_hours(path):
    assert 2 <= syllabus.problem_set(path).hours <= 4


@pytest.mark.parametrize(
    ("then", "complaint"),
    [
        (("**Time:** about 3 hours", "**Time:** a day"), "must say"),
        (("(2 points", "(3 points"), "with 3 points"),
    ],
)
def test_a_master_that_promises_other_points_or_no_time_is_refused(then, complaint, tmp_path):
    path = tmp_path / "small.md"
    path.write_text(SMALL)
    assert syllabus.problem_set(path).questions == (syllabus.Question(1, "Add", ("add", "why"), 2, 1),)
    path.write_text(SMALL.replace(*then))
    with pytest.raises(ValueError, match=complaint):
        syllabus.problem_set(path)
