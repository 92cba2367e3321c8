"""Numbers with heavy tails that every reader's machine holds: words, and imports among Python's own files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
_WORD = re.compile(rb"[a-z]+")
_IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import|import[ \t]+([\w., \t]+))", re.MULTILINE)


def word_counts(text: bytes) -> Counts:
    """How often each different word comes in a text, most frequent first; a word is a run of letters a to z.

    Examples
    --------
    >>> word_counts(b"To be, or not to be").tolist()
    [2, 2, 1, 1]
    """
    return _falling(Counter(_WORD.findall(text.lower())))


def import_counts(files: Mapping[str, bytes]) -> Counts:
    """Of Python source files: how many of them import each module, most frequent first.

    Lines that begin with ``import`` or ``from`` count, wherever they stand; imports relative to a file's own
    package do not.

    Parameters
    ----------
    files : source by path, as of `library_files`

    Examples
    --------
    >>> import_counts({"a.py": b"import os, sys", "b.py": b"from os import path"}).tolist()
    [2, 1]
    """
    counts: Counter[bytes] = Counter()
    for source in files.values():
        modules = set()
        for after_from, after_import in _IMPORT.findall(source):
            names = [after_from] if after_from else after_import.split(b",")
            modules |= {name.split()[0] for name in names if name.strip() and not name.startswith(b".")}
        counts.update(modules)
    return _falling(counts)


def _falling(counts: Counter[bytes]) -> Counts:
    return np.array(sorted(counts.values(), reverse=True), dtype=np.int64)
