"""What problem sets call: numbers that differ by student, and a check that keeps the answer.

A problem set is graded in a place where the environment variable ``COURSEWORK_STUDENT`` names the student
whose notebook it is. That name goes before the one typed into the notebook, so numbers copied from another
student's notebook are compared with what this student's own numbers give.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any, TypeVar

from scaling_transformers._numpy import np

__all__ = ["Personal", "check_close"]

T = TypeVar("T")


class Personal:
    """Picks a student's own numbers: the same for the same student, problem set and variant, on any machine.

    ``student`` is the identifier by which the course site knows the student; capitals and outer spaces do not
    count. ``variant`` is a name for the year: another one gives everybody other numbers.

    Raises ValueError where no student is named.

    >>> pick = Personal("attention", student="ada", variant="2026")
    >>> pick("d_head", [48, 64, 80, 96]) in (48, 64, 80, 96)
    True
    """

    def __init__(self, problem_set: str, *, student: str, variant: str) -> None:
        student = (os.environ.get("COURSEWORK_STUDENT") or str(student)).strip().casefold()
        if not student:
            raise ValueError("student is empty: write your student identifier between the quotation marks")
        self._key = f"{variant}\n{problem_set}\n{student}"

    def __call__(self, name: str, options: Sequence[T]) -> T:
        """The option that is this student's, of at least two; ``name`` says for what."""
        if len(options) < 2:
            raise ValueError(
                f"options must be two or more, not {list(options)!r}: all students would get the same"
            )
        digest = hashlib.sha256(f"{self._key}\n{name}".encode()).digest()
        return options[int.from_bytes(digest[:8], "big") % len(options)]


def check_close(actual: Any, expected: Any, message: str, *, rtol: float = 1e-6, atol: float = 0.0) -> None:
    """Raise AssertionError with ``message`` unless numbers agree; what was expected is not shown.

    ``actual`` and ``expected`` are numbers or arrays (NumPy or torch) of one shape, which agree where
    ``|actual - expected| <= atol + rtol |expected|``. A missing answer, a wrong shape and values that are not
    finite where they should be are named in front of the message.
    """
    if actual is None or actual is ...:
        raise AssertionError(f"There is no answer yet (it is {actual!r}). {message}")
    try:
        given = np.asarray(actual.detach() if hasattr(actual, "detach") else actual, dtype=float)
    except (TypeError, ValueError):
        raise AssertionError(f"Expected numbers, got {type(actual).__name__}. {message}") from None
    wanted = np.asarray(expected.detach() if hasattr(expected, "detach") else expected, dtype=float)
    if given.shape != wanted.shape:
        raise AssertionError(f"Expected shape {wanted.shape}, got {given.shape}. {message}")
    if not np.isfinite(given[np.isfinite(wanted)]).all():
        raise AssertionError(f"There are values that are not finite. {message}")
    if not np.allclose(given, wanted, rtol=rtol, atol=atol, equal_nan=True):
        raise AssertionError(message)
