"""Text to train on, as bytes: one token a byte, 256 in all. `byte_pairs` makes larger tokens of them."""

from __future__ import annotations

import hashlib
import os
import platform
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEFT_OUT = {"site-packages", "test", "tests", "idle_test", "__pycache__", "lib2to3", "turtledemo"}
"""Folders of sources that no corpus enters."""


@dataclass(frozen=True)
class Corpus:
    """A text split by document into two parts, each an array of tokens, with what identifies it.

    Attributes
    ----------
    train, validation : tokens, shape (n,): ``uint8`` if they are bytes, else ``uint16`` or ``uint32``
    name : what the text is, with the version of Python where the text comes with it
    sha256 : of the two parts, one after the other
    n_documents : documents in the two parts
    n_dropped, bytes_dropped : documents in neither, as copies of others or without text, and their size
    vocab_size : tokens are below it
    bytes_per_token : of the validation part: a loss in nats per token over it is one in nats per byte
    tokenizer : JSON of what turns bytes into tokens; None where tokens are bytes
    """

    train: NDArray[Any]
    validation: NDArray[Any]
    name: str
    sha256: str
    n_documents: int = 1
    n_dropped: int = 0
    bytes_dropped: int = 0
    vocab_size: int = 256
    bytes_per_token: float = 1.0
    tokenizer: str | None = None

    @property
    def n_tokens(self) -> int:
        """Tokens in the two parts."""
        return len(self.train) + len(self.validation)

    @property
    def tokenizer_sha256(self) -> str | None:
        """Hash of the tokenizer's JSON; None where tokens are bytes."""
        return None if self.tokenizer is None else hashlib.sha256(self.tokenizer.encode()).hexdigest()


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
    texts = {name: text + b"\n" for name, text in library_files().items()}
    name = f"source of the standard library of Python {platform.python_version()}"
    size = sum(map(len, texts.values()))
    return _split(texts, validation_share=validation_share, name=name, n_all=len(texts), bytes_all=size)


def library_files() -> dict[str, bytes]:
    """The source files of this Python's own standard library, without its tests, by their paths within it.

    Raises
    ------
    ValueError
        If no source is found.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    files = []
    for folder, below, names in os.walk(root):
        below[:] = set(below) - LEFT_OUT  # not entered: site-packages may hold far more than the library
        files += [Path(folder, name) for name in names if name.endswith(".py")]
    if not files:
        raise ValueError(f"the standard library at {root} holds no source files")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(files)}


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
    pieces = [piece for topic in sorted(topics) for piece in topics[topic].split("\n\n") if piece.strip()]
    for piece in pieces:
        paragraphs.setdefault(" ".join(piece.split()), piece.strip("\n"))
    parts: dict[bool, list[bytes]] = {False: [], True: []}
    for words, paragraph in paragraphs.items():
        parts[_draw(words) < validation_share].append(paragraph.encode() + b"\n\n")
    return _corpus(
        parts,
        name=f"language reference of Python {platform.python_version()}",
        n_all=len(pieces),
        bytes_all=sum(len(piece.strip("\n").encode()) + 2 for piece in pieces),
    )


def folder(path: str | Path, *, pattern: str = "**/*.txt", validation_share: float = 0.05) -> Corpus:
    """The files of a folder that match a pattern, without those that are `near_copies` or blank.

    A file goes to validation when the hash of its name within the folder falls below ``validation_share``.

    Parameters
    ----------
    pattern : as for `pathlib.Path.glob`

    Raises
    ------
    ValueError
        If there is no such folder, no file that matches, no text in any, or one part is left empty.
    """
    _require_share(validation_share)
    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"path must be a folder; got {str(path)!r}")
    files = [file for file in sorted(root.glob(pattern)) if file.is_file()]
    if not files:
        raise ValueError(f"pattern must match a file in {str(path)!r}; got {pattern!r}")
    return _of_documents(
        [(file.relative_to(root).as_posix(), file.read_bytes() + b"\n") for file in files],
        validation_share=validation_share,
        name=f"{pattern} in {root.resolve().name}",
    )


def hugging_face(
    name: str,
    *,
    config: str | None = None,
    split: str = "train",
    column: str = "text",
    validation_share: float = 0.05,
    cache: str | Path | None = None,
) -> Corpus:
    """A column of text of a data set on the Hugging Face hub, or in a folder, without near copies.

    A row is a document. It goes to validation when the hash of its text falls below ``validation_share``, so
    that it keeps its side wherever it stands. Equal rows are kept once; rows without text are left out.

    Parameters
    ----------
    name, config, split : as for `datasets.load_dataset`
    column : the column that holds the text
    cache : folder for what is downloaded; the one that `datasets` uses if None

    Raises
    ------
    ImportError
        If the package `datasets` is not installed.
    ValueError
        If the split or the column is not there, the column is no text, no row has any, or one part is empty.
    """
    _require_share(validation_share)
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            "hugging_face needs the package datasets: pip install 'scaling-transformers[cluster]'"
        ) from error
    rows = datasets.load_dataset(name, config, split=split, cache_dir=None if cache is None else str(cache))
    texts_in = [key for key, kind in rows.features.items() if getattr(kind, "dtype", "").endswith("string")]
    if column not in texts_in:
        raise ValueError(f"column must be one that holds text, one of {texts_in}; got {column!r}")
    return _of_documents(
        [(text or "", (text or "").encode() + b"\n") for text in rows[column]],
        validation_share=validation_share,
        name=f"{column} of {name}, {f'{config}, ' if config else ''}{split}",
    )


def near_copies(texts: Mapping[str, bytes]) -> set[str]:
    """Names of the texts that say again what larger ones say.

    A line counts if it has at least 20 characters without the space around it: shorter ones, such as
    ``import sys``, are in every file. From the text with most such lines to the one with least (by name where
    they tie), a text is a near copy if at least half of its lines are in those kept before it. Texts without
    a line that counts are kept. The order in which the texts are given does not matter.

    Source: the containment of Broder 1997, with lines for shingles, in all that is kept.

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


def _of_documents(documents: list[tuple[str, bytes]], *, validation_share: float, name: str) -> Corpus:
    """Documents with the name that draws their part: one of each name, none that is blank."""
    texts = {key: text for key, text in documents if text.strip()}
    if not texts:
        raise ValueError(f"{name} must hold text; got {len(documents)} documents, all of them blank")
    size = sum(len(text) for _, text in documents)
    return _split(texts, validation_share=validation_share, name=name, n_all=len(documents), bytes_all=size)


def _split(
    texts: Mapping[str, bytes], *, validation_share: float, name: str, n_all: int, bytes_all: int
) -> Corpus:
    """Texts without near copies, each in the part that its name draws."""
    dropped = near_copies(texts)
    parts: dict[bool, list[bytes]] = {False: [], True: []}
    for key, text in texts.items():
        if key not in dropped:
            parts[_draw(key) < validation_share].append(text)
    for kind, part in parts.items():
        if not part:
            others = (
                f"validation_share {validation_share} puts all {len(parts[not kind])} documents of {name}"
            )
            raise ValueError(f"{others} into {'training' if kind else 'validation'}; each part needs one")
    return _corpus(parts, name=name, n_all=n_all, bytes_all=bytes_all)


def _corpus(parts: dict[bool, list[bytes]], *, name: str, n_all: int, bytes_all: int) -> Corpus:
    """The pieces for training (False) and for validation (True), joined. The rest of all was dropped."""
    train, validation = (b"".join(parts[kind]) for kind in (False, True))
    kept = len(parts[False]) + len(parts[True])
    return Corpus(
        train=np.frombuffer(train, dtype=np.uint8),
        validation=np.frombuffer(validation, dtype=np.uint8),
        name=name,
        sha256=hashlib.sha256(train + validation).hexdigest(),
        n_documents=kept,
        n_dropped=n_all - kept,
        bytes_dropped=bytes_all - len(train) - len(validation),
    )
