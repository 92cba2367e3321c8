"""Whether the folder through which notebooks go is open to those whom nbgrader means, and to nobody else.

nbgrader sets these modes when it makes a folder, and does not look at them again: with a wrong one a student
reads the work of others, or sees no more than an empty list of assignments.
"""

from __future__ import annotations

import stat
from pathlib import Path

MODES = {
    "outbound": (0o755, "all may read what is given out, the instructor alone may write it"),
    "inbound": (0o733, "students hand in there, and must not see who else did"),
    "feedback": (0o711, "students open the page whose secret name they know, and must not list the others"),
}


class BadExchange(RuntimeError):
    """The exchange is missing, or open to the wrong people; the words say what to run."""


def require(root: Path, course: str) -> None:
    """Raise BadExchange unless the exchange, and what a course has in it, have the modes that they should."""
    _check(root, 0o1777, "every user may add to it, and remove only what is their own")
    _check(root / course, 0o755, "it is the instructor's, and all others may read it")
    for name, (mode, why) in MODES.items():
        if (root / course / name).exists():  # nbgrader makes them
            _check(root / course / name, mode, why)


def _check(path: Path, mode: int, why: str) -> None:
    if not path.is_dir():
        raise BadExchange(f"{path} is missing: {why}. Make it: install -d -m {mode:o} {path}")
    found = stat.S_IMODE(path.stat().st_mode) & ~stat.S_ISGID
    if found != mode:
        raise BadExchange(f"{path} has mode {found:o}, not {mode:o}: {why}. Change it: chmod {mode:o} {path}")
