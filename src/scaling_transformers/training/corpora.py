"""Text to train on, as bytes: one token a byte, 256 tokens in all."""

from __future__ import annotations

import hashlib
import platform
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Corpus:
    """A text split by file into two parts, each an array of bytes, with what identifies it."""

    train: NDArray[np.uint8]
    validation: NDArray[np.uint8]
    name: str
    sha256: str


def python_library(*, validation_share: float = 0.05) -> Corpus:
    """The source of this Python's own standard library, without its tests.

    A file goes to validation when the hash of its name falls below ``validation_share``, so that no file is
    in both parts and the split is the same on every machine.

    Raises
    ------
    ValueError
        If ``validation_share`` is not between 0 and 1, or if no source is found.
    """
    _require_share(validation_share)
    root = Path(sysconfig.get_paths()["stdlib"])
    left_out = {"site-packages", "test", "tests", "idle_test", "__pycache__", "lib2to3", "turtledemo"}
    files = sorted(path for path in root.rglob("*.py") if not left_out & set(path.relative_to(root).parts))
    if not files:
        raise ValueError(f"the standard library at {root} holds no source files")
    parts: dict[bool, list[bytes]] = {False: [], True: []}
    for path in files:
        name = path.relative_to(root).as_posix()
        parts[_draw(name) < validation_share].append(path.read_bytes() + b"\n")
    name = f"source of the standard library of Python {platform.python_version()}"
    return _corpus(parts, name=name)


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


def _require_share(validation_share: float) -> None:
    if not 0 < validation_share < 1:
        raise ValueError(f"validation_share must lie between 0 and 1; got {validation_share!r}")


def _draw(name: str) -> float:
    """A number from 0 to 1 that a name always gets."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32


def _corpus(parts: dict[bool, list[bytes]], *, name: str) -> Corpus:
    """The pieces for training (False) and for validation (True), joined."""
    train, validation = (b"".join(parts[kind]) for kind in (False, True))
    return Corpus(
        train=np.frombuffer(train, dtype=np.uint8),
        validation=np.frombuffer(validation, dtype=np.uint8),
        name=name,
        sha256=hashlib.sha256(train + validation).hexdigest(),
    )
