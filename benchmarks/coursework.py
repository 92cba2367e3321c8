"""What it takes to grade a class, as many notebooks at a time as there are cores. Run by ``make bench``.

The peer grades one after the other: a tenth of the same notebooks, and its time is scaled to all. Both sides
are the whole command, from the folder of submissions to tables and feedback; each starts without a gradebook.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import numpy as np
from harness import header, row, seconds

sys.path.insert(0, str(Path(__file__).parents[1] / "coursework"))
import grade
import release
import sandbox

N_STUDENT, TENTH = 200, 10
SET = "sustainability"


def solved(releases: Path) -> str:
    """The students' notebook of the problem set with every answer in it."""
    source = nbformat.read(releases / "autograder" / f"{SET}.ipynb", as_version=4)
    for cell in source.cells:
        cell.source = re.sub(r" *### (BEGIN|END) SOLUTION\n?", "", cell.source)
    return str(nbformat.writes(source))


def main() -> None:
    sandbox.require_sandbox()
    header(f"{N_STUDENT} notebooks of the problem set on {SET}, each in its own sandbox")
    with TemporaryDirectory() as name:
        folder = Path(name)
        master = Path(release.__file__).parent / f"{SET}.md"
        release.write(master, variant="2026", output=folder, scratch=folder / "scratch")
        text = solved(folder)
        for side, count in (("all", N_STUDENT), ("some", N_STUDENT // TENTH)):
            for student in range(count):
                path = folder / side / f"s{student}" / f"{SET}.ipynb"
                path.parent.mkdir(parents=True)
                path.write_text(text)
        words = ["--autograder", str(folder / "autograder")]
        one = TENTH * seconds(
            lambda: grade.main(
                [str(folder / "some"), *words, "--grades", str(folder / "1"), "--workers", "1"]
            )
        )
        ours = seconds(lambda: grade.main([str(folder / "all"), *words, "--grades", str(folder / "2")]))
    row(
        f"grade {N_STUDENT}, one after the other as peer",
        f"{ours:.0f} s",
        f"{one:.0f} s",
        np.array([ours / one]),
        "",
    )


if __name__ == "__main__":
    main()
