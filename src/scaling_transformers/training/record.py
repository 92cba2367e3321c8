"""Measured runs as they are shipped: a table, and a record of how, when and on what it was made."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scaling_transformers.training.corpora import Corpus


def shipped(name: str) -> Traversable:
    """The folder ``data/<name>`` of the package."""
    return files("scaling_transformers") / "data" / name


def as_table(rows: Sequence[Mapping[str, Any]]) -> NDArray[Any]:
    """Rows with the same names as a structured array."""
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    table = np.empty(len(rows), dtype=[(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        table[name] = column
    return table


def write_table(path: Path, table: NDArray[Any], *, digits: int = 6) -> None:
    """Write a structured array as CSV, a row a line, what was measured with so many significant digits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.dtype.names or ())
        writer.writerows(
            [f"{value:.{digits}g}" if isinstance(value, float) else value for value in row]
            for row in table.tolist()
        )


def read_table(path: Traversable) -> NDArray[Any]:
    """The table that `write_table` wrote, as a structured array."""
    lines = path.read_text("utf-8").splitlines()
    table: NDArray[Any] = np.genfromtxt(lines, delimiter=",", names=True, dtype=None, encoding="utf-8")
    return table


def write_record(folder: Path, *, command: str, corpus: Corpus, **facts: Any) -> None:
    """Write ``record.json``: the command, when and on what it was run, and what else is to be known."""
    record = {
        "command": command,
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()} CPU, one core a run",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "corpus": corpus.name,
        "corpus_sha256": corpus.sha256,
        **facts,
    }
    (folder / "record.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def read_record(folder: Traversable) -> dict[str, Any]:
    """The record that `write_record` wrote."""
    return dict(json.loads((folder / "record.json").read_text("utf-8")))


def write_runs(folder: Path, table: NDArray[Any], *, command: str, corpus: Corpus, **facts: Any) -> None:
    """Write ``runs.csv`` and ``record.json`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "runs.csv", table)
    write_record(folder, command=command, corpus=corpus, **facts)


def read_runs(folder: Traversable) -> NDArray[Any]:
    """The table that `write_runs` wrote, as a structured array."""
    return read_table(folder / "runs.csv")
