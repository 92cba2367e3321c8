"""A problem set that is small enough to be graded often, submissions to it, and the grader's command."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import sandbox

ROOT = Path(__file__).parents[2]
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

**Chapter:** None. **Time:** about 1 hour.

```{code-cell} ipython3
:student: true

STUDENT = ""
```

```{code-cell} ipython3
from scaling_transformers.coursework import Personal, check_close

VARIANT = "2026"
pick = Personal("small", student=STUDENT, variant=VARIANT)
N = pick("n", list(range(100, 200)))
```

## 1. Double it (2 points)

```{code-cell} ipython3
:answer: double

def double(x):
    ### BEGIN SOLUTION
    return x + x  # distinctive-solution
    ### END SOLUTION
```

```{code-cell} ipython3
:mistake: the square

def double(x):
    return x * x
```

```{code-cell} ipython3
:check: double
:points: 2

assert double(2) == 4, "Two times two."
### BEGIN HIDDEN TESTS
check_close(double(N), 2 * N, "Try a number other than two.")  # distinctive-hidden-check
### END HIDDEN TESTS
```

## 2. Half of it (3 points, and 4 in words)

```{code-cell} ipython3
:answer: half

### BEGIN SOLUTION
half = N / 2
### END SOLUTION
```

```{code-cell} ipython3
:mistake: rounded

half = N // 4
```

```{code-cell} ipython3
:check: half
:points: 3

assert half > 0, "It is positive."
### BEGIN HIDDEN TESTS
check_close(half, N / 2, "Half of your own number.")  # distinctive-second-check
### END HIDDEN TESTS
```

+++ {"answer": "words", "points": 4}

### BEGIN SOLUTION
Twice and half: distinctive-words.
### END SOLUTION
"""


class Hand:
    """Writes submissions made from the students' release of a problem set into a folder."""

    def __init__(self, releases: Path, folder: Path) -> None:
        self.releases, self.folder = releases, folder

    def notebook(self, name="small", *, solved=True, **answers):
        """A notebook with the solutions, or the given answers, in its answer cells."""
        notebook = nbformat.read(self.releases / "student" / f"{name}.ipynb", as_version=4)
        source = nbformat.read(self.releases / "autograder" / f"{name}.ipynb", as_version=4)
        solutions = {
            cell.metadata.nbgrader.grade_id: re.sub(r" *### (BEGIN|END) SOLUTION\n?", "", cell.source)
            for cell in source.cells
            if cell.metadata.get("nbgrader", {}).get("solution")
        }
        for cell in notebook.cells:
            told = cell.metadata.get("nbgrader", {})
            if told.get("solution") and (solved or told["grade_id"] in answers):
                cell.source = answers.get(told["grade_id"], solutions[told["grade_id"]])
        return notebook

    def in_(self, student, notebook, name="small"):
        path = self.folder / student / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(notebook if isinstance(notebook, str) else nbformat.writes(notebook))
        return path


def not_activated():
    """The environment variables of somebody who calls the programs of the environment by their paths."""
    own = Path(sys.executable).parent
    places = [place for place in os.environ["PATH"].split(os.pathsep) if Path(place) != own]
    return {**os.environ, "PATH": os.pathsep.join(places)}


def grader(submissions, releases, grades, *words):
    """The command line of the grader."""
    return [
        *(sys.executable, str(ROOT / "coursework" / "grade.py"), str(submissions)),
        *("--grades", str(grades), "--autograder", str(releases / "autograder"), *words),
    ]


def grade(submissions, releases, grades, *words):
    """Run the grader to its end; what it said."""
    command = grader(submissions, releases, grades, *words)
    done = subprocess.run(command, env=not_activated(), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sandbox_is_missing() -> str:
    try:
        sandbox.require_sandbox()
    except sandbox.SandboxMissing as error:
        return str(error)
    return ""


_MISSING = sandbox_is_missing()  # once: it starts a kernel
needs_sandbox = pytest.mark.skipif(bool(_MISSING), reason=_MISSING or "it is there")
