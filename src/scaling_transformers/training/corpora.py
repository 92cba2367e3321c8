"""Text to train on, as bytes: one token a byte, 256 tokens in all."""

from __future__ import annotations

import hashlib
import os
import platform
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Corpus:
    """A text split by document into two parts, each an array of bytes, with what identifies it.

    ``sha256`` is that of the training part and the validation part, one after the other. ``n_documents`` are
    in the two parts; ``n_dropped`` of ``bytes_dropped`` bytes were near copies of others and are in neither.
    """

    train: NDArray[np.uint8]
    validation: NDArray[np.uint8]
    name: str
    sha256: str
    n_documents: int = 1
    n_dropped: int = 0
    bytes_dropped: int = 0


def python_library(*, validation_share: float = 0.05) -> Corpus:
    """The source of this Python's own standard library, without its tests and near copies.

    Of files that are `near_copies` (the tables of encodings, mostly) the largest is kept. A file goes to
    validation when the hash of its name falls below ``validation_share``, so that no file is in both parts
    and the split is the same on every machine.

    Raises
    ------
    ValueError
        If ``validation_share`` is not between 0 and 1, or if no source is found.
    """
    _require_share(validation_share)
    root = Path(sysconfig.get_paths()["stdlib"])
    left_out = {"site-packages", "test", "tests", "idle_test", "__pycache__", "lib2to3", "turtledemo"}
    files = []
    for folder, below, names in os.walk(root):
        below[:] = set(below) - left_out  # not entered: site-packages may hold far more than the library
        files += [Path(folder, name) for name in names if name.endswith(".py")]
    if not files:
        raise ValueError(f"the standard library at {root} holds no source files")
    texts = {path.relative_to(root).as_posix(): path.read_bytes() + b"\n" for path in sorted(files)}
    name = f"source of the standard library of Python {platform.python_version()}"
    return _split(texts, validation_share=validation_share, name=name)


def language_reference(*, validation_share: float = 0.2) -> Corpus:
    """The prose of Python's language reference, as this Python's own ``help()`` shows it.

    A paragraph goes to validation when the hash of its words falls below ``validation_share``. One that
    stands in several places is kept once, so that none is in both parts. The file that holds the text is in
    the validation part of `python_library`: models trained on the training part of that have not seen it.

    Raises
    ------
    ValueError
        If ``validation_share`` is not between 0 and 1.
    """
    _require_share(validation_share)
    paragraphs: dict[str, str] = {}  # by their words: a copy may be indented otherwise
    for topic in sorted(topics):
        for paragraph in topics[topic].split("\n\n"):
            paragraphs.setdefault(" ".join(paragraph.split()), paragraph.strip("\n"))
    paragraphs.pop("", None)
    parts: dict[bool, list[bytes]] = {False: [], True: []}
    for words, paragraph in paragraphs.items():
        parts[_draw(words) < validation_share].append(paragraph.encode() + b"\n\n")
    return _corpus(parts, name=f"language reference of Python {platform.python_version()}")


def near_copies(texts: Mapping[str, bytes]) -> set[str]:
    """Names of the texts that say again what larger ones say.

    A line counts if it has at least 20 characters without the space around it: shorter ones, such as
    ``import sys``, are in every file. From the text with most such lines to the one with least (by name where
    they tie), a text is a near copy if at least half of its lines are in those kept before it. Texts without
    a line that counts are kept. The order in which the texts are given does not matter.

    >>> table = b"a line that all tables have\\nand another one they all have\\n"
    >>> sorted(near_copies({"a": table, "b": table + b"and one that is in b alone", "c": b"another text"}))
    ['a']
    """
    lines = {
        name: {line for line in map(bytes.strip, text.splitlines()) if len(line) >= 20}
        for name, text in texts.items()
    }
    seen: set[bytes] = set()
    copies = set()
    for name in sorted(lines, key=lambda name: (-len(lines[name]), name)):
        if lines[name] and 2 * len(lines[name] & seen) >= len(lines[name]):
            copies.add(name)
        else:
            seen |= lines[name]
    return copies


def _require_share(validation_share: float) -> None:
    if not 0 < validation_share < 1:
        raise ValueError(f"validation_share must lie between 0 and 1; got {validation_share!r}")


def _draw(name: str) -> float:
    """A number from 0 to 1 that a name always gets."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32


def _split(texts: Mapping[str, bytes], *, validation_share: float, name: str) -> Corpus:
    """Texts without near copies, each in the part that its name draws."""
    dropped = near_copies(texts)
    parts: dict[bool, list[bytes]] = {False: [], True: []}
    for key, text in texts.items():
        if key not in dropped:
            parts[_draw(key) < validation_share].append(text)
    size = sum(len(texts[key]) for key in dropped)
    return _corpus(parts, name=name, n_dropped=len(dropped), bytes_dropped=size)


def _corpus(
    parts: dict[bool, list[bytes]], *, name: str, n_dropped: int = 0, bytes_dropped: int = 0
) -> Corpus:
    """The pieces for training (False) and for validation (True), joined."""
    train, validation = (b"".join(parts[kind]) for kind in (False, True))
    return Corpus(
        train=np.frombuffer(train, dtype=np.uint8),
        validation=np.frombuffer(validation, dtype=np.uint8),
        name=name,
        sha256=hashlib.sha256(train + validation).hexdigest(),
        n_documents=len(parts[False]) + len(parts[True]),
        n_dropped=n_dropped,
        bytes_dropped=bytes_dropped,
    )
