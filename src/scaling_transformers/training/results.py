"""The results of a sweep: one Parquet file, one row a run, replaced as a whole and never half written."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

try:
    import fcntl
except ImportError:  # Windows has no flock
    fcntl = None  # type: ignore[assignment]


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Hold the lock of a results file, ``<path>.lock``, for as long as the block runs.

    The kernel frees the lock when the process ends, however it ends; the empty file stays. Where the system
    has no ``flock`` (Windows) there is no lock, and a warning says so.

    Raises
    ------
    RuntimeError
        If another process, or this one, is writing to the file.
    """
    if fcntl is None:
        warnings.warn(f"no lock on this system: let only one sweep write to {path}", stacklevel=3)
        yield
        return
    with path.with_name(path.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"another sweep is writing to {path}; wait for its end, or stop it") from None
        yield


def read_table(path: Path) -> Any:
    """The Arrow table in ``path``, empty where there is no file.

    Raises
    ------
    ValueError
        If the file is not one that a sweep wrote.
    """
    if not path.exists():
        return pa.table({"key": pa.array([], pa.string()), "seconds": pa.array([], pa.float64())})
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"path must be a Parquet file that a sweep wrote; {path} cannot be read") from error
    names = table.column_names
    if {"key", "seconds"} - set(names) or table.schema.field("key").type != pa.string():
        raise ValueError(
            f"path must be a file that a sweep wrote, with columns 'key' and 'seconds'; {path} has {names}"
        )
    nested = [field.name for field in table.schema if not _is_scalar(field.type)]
    if nested:
        raise ValueError(f"path must hold strings, numbers and booleans only; in {path} not so: {nested}")
    keys = table["key"]
    if keys.null_count or len(keys.unique()) != len(keys):
        raise ValueError(f"path must have each key once; {path} has one twice, or a row without")
    return table


def _is_scalar(kind: Any) -> bool:
    types = pa.types
    checks = types.is_string, types.is_integer, types.is_floating, types.is_boolean, types.is_null
    return any(check(kind) for check in checks)


def extended(table: Any, rows: Sequence[Mapping[str, Any]]) -> Any:
    """The Arrow table with more rows; what a row or the table lacks is null, whole numbers may become floats.

    Raises
    ------
    ValueError
        If a column would hold two kinds of values, as numbers and strings.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {}
    for name in names:
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
            old = table.schema.field(name).type if name in table.column_names else pa.null()
            pa.unify_schemas(
                [pa.schema({name: old}), pa.schema({name: columns[name].type})],
                promote_options="permissive",
            )
        except (pa.ArrowException, TypeError, OverflowError) as error:
            raise ValueError(f"{name!r} must be of one kind in all rows of a table; {error}") from error
    try:
        merged = pa.concat_tables([table, pa.table(columns)], promote_options="permissive")
    except pa.ArrowException as error:  # a whole number that no float can hold
        raise ValueError(f"the row does not fit the columns of the table: {error}") from error
    inner = [name for name in merged.column_names if name not in ("key", "seconds")]
    return merged.select(["key", *inner, "seconds"])


def write_table(table: Any, path: Path) -> None:
    """Replace the file at one stroke: a reader, or whoever comes after a crash, finds the old or the new."""
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb") as file:
        pq.write_table(table, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def as_array(table: Any) -> NDArray[Any]:
    """An Arrow table as a structured array; see `load_results`."""
    columns = {name: _as_column(table[name]) for name in table.column_names}
    array = np.empty(len(table), dtype=[(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        array[name] = column
    return array


def _as_column(column: Any) -> NDArray[Any]:
    if pa.types.is_string(column.type):
        words = column.fill_null("").combine_chunks().dictionary_encode()  # most columns repeat few strings
        if isinstance(words, pa.ChunkedArray):
            words = words.combine_chunks()
        known = np.array(words.dictionary.to_pylist(), dtype=np.str_)
        return known[words.indices.to_numpy()] if len(words) else known
    if column.null_count or pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    numbers: NDArray[Any] = column.to_numpy()
    return numbers


def load_results(path: str | Path) -> NDArray[Any]:
    """The results of a sweep as a structured array, a row a run in the order in which they ended.

    The columns are ``key``, the settings, what was measured, and ``seconds``. A missing number is NaN (its
    column, of whole numbers or booleans, becomes one of floats), a missing string is empty.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not one that a sweep wrote.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no results in {path}")
    return as_array(read_table(path))
