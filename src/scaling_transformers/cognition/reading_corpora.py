"""Reading times of people, from files of public corpora that you have downloaded. None is in the book.

`natural_stories` reads self-paced reading, `dundee` eye movements. Both give the same `ReadingCorpus`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_FIXATION = ("WORD", "WNUM", "FDUR")


@dataclass(frozen=True)
class ReadingCorpus:
    """Texts, and how long each reader took over each word.

    Attributes
    ----------
    texts : the words of each text
    times : milliseconds, shape (n_reader, n_word), the texts one after the other; NaN where there is none
    readers : the names of the readers
    """

    texts: tuple[tuple[str, ...], ...]
    times: Floats
    readers: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The words of all texts, one after the other, as the columns of ``times``."""
        return tuple(word for text in self.texts for word in text)


def natural_stories(folder: str | Path) -> ReadingCorpus:
    """Self-paced reading of ten stories, from ``all_stories.tok`` and ``processed_RTs.tsv`` in a folder.

    Both are in the folder ``naturalstories_RTS`` of github.com/languageMIT/naturalstories. Tables are
    separated by tabs and begin with the names of their columns. Used are ``word``, ``zone`` (the word's place
    in the story) and ``item`` (the story) of the first, and ``WorkerId``, ``zone``, ``item`` and ``RT`` (in
    milliseconds) of the second.

    Raises
    ------
    ValueError
        If a file or a column is missing, or a time is of a word that the stories do not have.

    Source: Futrell et al. 2021; the columns as its process_RTs.R reads and writes them.
    """
    root = Path(folder)
    words = {
        (int(row["item"]), int(row["zone"])): row["word"]
        for row in _rows(root / "all_stories.tok", ("word", "zone", "item"))
    }
    keys = sorted(words)
    texts = tuple(
        tuple(words[key] for key in keys if key[0] == item) for item in sorted({key[0] for key in keys})
    )
    found = (
        (row["WorkerId"], (int(row["item"]), int(row["zone"])), float(row["RT"]))
        for row in _rows(root / "processed_RTs.tsv", ("WorkerId", "zone", "item", "RT"))
    )
    return _corpus(texts, keys, found, path=root / "processed_RTs.tsv")


def dundee(folder: str | Path) -> ReadingCorpus:
    """Gaze durations of ten people over newspaper texts, from the files of the Dundee corpus in a folder.

    ``txNNwrdp.dat`` has text NN, a word a line, the word first. ``SSNNma1p.dat`` has the fixations of reader
    SS in their order, after a line of names; used are ``WORD``, ``WNUM`` (the word's number in the text, from
    1) and ``FDUR`` (in milliseconds). Lines whose word begins with a star (blinks, looks off the screen) and
    words of number 0 or less are passed by. A word's time is the sum of the fixations from the eye's first
    arrival until it leaves, if no later word was fixated before; else there is none.

    Raises
    ------
    ValueError
        If files or columns are missing, or a fixation is on a word that the text does not have.

    Source: Kennedy, Hill and Pynte 2003 for the corpus; the columns as public code reads them.
    """
    root = Path(folder)
    files = sorted(root.glob("tx[0-9][0-9]wrdp.dat"))
    fixations = [path for path in sorted(root.glob("*ma1p.dat")) if path.name[2:4].isdigit()]
    if not files or not fixations:
        raise ValueError(f"folder must have txNNwrdp.dat and SSNNma1p.dat files; got {str(folder)!r}")
    keys, texts = [], []
    for path in files:
        lines = path.read_text("latin-1").splitlines()
        text = tuple(line.split()[0] for line in lines if line.strip())
        texts.append(text)
        keys += [(int(path.name[2:4]), number) for number in range(1, len(text) + 1)]
    found = (
        (path.name[:2], (int(path.name[2:4]), number), time)
        for path in fixations
        for number, time in _gaze_durations(path).items()
    )
    return _corpus(tuple(texts), keys, found, path=root)


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a table separated by tabs that has these columns."""
    if not path.is_file():
        raise ValueError(f"folder must have the file {path.name}; got {str(path.parent)!r}")
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = [name for name in columns if name not in (table.fieldnames or ())]
        if missing:
            raise ValueError(f"{path.name} must have the columns {columns}; it lacks {missing}")
        return list(table)


def _gaze_durations(path: Path) -> dict[int, float]:
    """First-pass gaze duration of each word of one reader and text, by the word's number."""
    lines = path.read_text("latin-1").splitlines()
    names = lines[0].split() if lines else []
    missing = [name for name in _FIXATION if name not in names]
    if missing:
        raise ValueError(f"{path.name} must have the columns {_FIXATION}; it lacks {missing}")
    at_word, at_number, at_time = (names.index(name) for name in _FIXATION)
    times: dict[int, float] = {}
    furthest, last = 0, 0
    for line in lines[1:]:
        fields = line.split()
        if not fields or fields[at_word].startswith("*") or int(fields[at_number]) < 1:
            continue
        number, time = int(fields[at_number]), float(fields[at_time])
        if number > furthest:
            times[number] = time
        elif number == furthest == last:
            times[number] += time
        furthest, last = max(furthest, number), number
    return times


def _corpus(
    texts: tuple[tuple[str, ...], ...],
    keys: list[tuple[int, int]],
    found: Iterable[tuple[str, tuple[int, int], float]],
    *,
    path: Path,
) -> ReadingCorpus:
    """Times by reader and word, put where they belong."""
    column = {key: place for place, key in enumerate(keys)}
    rows: dict[str, Floats] = {}
    for reader, key, time in found:
        if key not in column:
            raise ValueError(f"{path.name} has a time for word {key[1]} of text {key[0]}, which is not there")
        row = rows.setdefault(reader, np.full(len(keys), np.nan))
        row[column[key]] = time
    readers = tuple(sorted(rows))
    times = np.array([rows[reader] for reader in readers]).reshape(len(readers), len(keys))
    return ReadingCorpus(texts, times, readers)
