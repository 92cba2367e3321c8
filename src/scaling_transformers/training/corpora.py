"""Text to train on, as bytes: one token a byte, 256 tokens in all."""

from __future__ import annotations

import hashlib
import platform
import sysconfig
from dataclasses import dataclass
from pathlib import Path

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
    if not 0 < validation_share < 1:
        raise ValueError(f"validation_share must lie between 0 and 1; got {validation_share!r}")
    root = Path(sysconfig.get_paths()["stdlib"])
    left_out = {"site-packages", "test", "tests", "idle_test", "__pycache__", "lib2to3", "turtledemo"}
    files = sorted(path for path in root.rglob("*.py") if not left_out & set(path.relative_to(root).parts))
    if not files:
        raise ValueError(f"the standard library at {root} holds no source files")
    parts: dict[bool, list[bytes]] = {False: [], True: []}
    for path in files:
        name = path.relative_to(root).as_posix()
        draw = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
        parts[draw < validation_share].append(path.read_bytes() + b"\n")
    train, validation = (b"".join(parts[kind]) for kind in (False, True))
    return Corpus(
        train=np.frombuffer(train, dtype=np.uint8),
        validation=np.frombuffer(validation, dtype=np.uint8),
        name=f"source of the standard library of Python {platform.python_version()}",
        sha256=hashlib.sha256(train + validation).hexdigest(),
    )
