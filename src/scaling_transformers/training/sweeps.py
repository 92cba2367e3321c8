"""Sweeps: a declared list of runs, done once each, whose results outlive whatever stops them."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from scaling_transformers._scalars import require_scalars
from scaling_transformers._workers import Execute, Settings, in_processes, on_cluster
from scaling_transformers.training.results import (
    as_array,
    extended,
    load_results,
    read_table,
    sole_writer,
    write_table,
)

__all__ = ["SweepFailed", "load_results", "read_sweep", "run_key", "run_sweep"]


class SweepFailed(RuntimeError):
    """Some runs of a sweep failed; ``failures`` holds their settings and what they raised, by key."""

    def __init__(self, failures: Mapping[str, tuple[Settings, str]], *, n_run: int, path: Path) -> None:
        self.failures = dict(failures)
        lines = [f"  {dict(settings)}: {error}" for settings, error in failures.values()]
        super().__init__(
            f"{len(failures)} of {n_run} runs failed; what the others gave is in {path}, and running "
            "the sweep again tries only these:\n" + "\n".join(lines)
        )


def read_sweep(path: str | Path) -> list[dict[str, Any]]:
    """The runs that a TOML file declares, each as a mapping of settings, in the order of the file.

    ``[defaults]`` holds settings of all runs. Each ``[[grid]]`` adds runs: every combination of its lists,
    the last of which varies fastest, with its scalars shared; what it names wins over the defaults. A later
    grid may repeat points of an earlier one, as with more seeds: what is declared twice is run once.

    Raises
    ------
    ValueError
        If the file is not TOML, has another table, an empty list, a list among the defaults, a value that is
        not a string, a finite number or a boolean, or declares no run.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> text = '''
    ... [defaults]
    ... n_layer = 2
    ... seed = 0
    ... [[grid]]
    ... d_model = [32, 64]
    ... flops = [1e11, 1e12]
    ... [[grid]]
    ... d_model = 64
    ... flops = 1e12
    ... seed = [0, 1]  # seed 0 is declared above
    ... '''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "sweep.toml"
    ...     _ = path.write_text(text)
    ...     runs = read_sweep(path)
    >>> len(runs), runs[-1]
    (5, {'n_layer': 2, 'seed': 1, 'd_model': 64, 'flops': 1000000000000.0})
    """
    with Path(path).open("rb") as file:
        try:
            declared = tomllib.load(file)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"path must be a TOML file; in {path}: {error}") from error
    unknown = sorted(set(declared) - {"defaults", "grid"})
    if unknown:
        raise ValueError(f"a sweep has [defaults] and [[grid]] only; {path} has {unknown}")
    defaults, grids = declared.get("defaults", {}), declared.get("grid", [])
    if (
        not isinstance(defaults, dict)
        or not isinstance(grids, list)
        or not all(isinstance(grid, dict) for grid in grids)
    ):
        raise ValueError(f"a sweep has one table [defaults] and a table [[grid]] for each grid; see {path}")
    require_scalars(defaults, what=f"[defaults] of {path}")
    runs: dict[str, dict[str, Any]] = {}
    for grid in [{**defaults, **grid} for grid in grids]:
        choices = {name: value if isinstance(value, list) else [value] for name, value in grid.items()}
        empty = [name for name, values in choices.items() if not values]
        if empty:
            raise ValueError(f"every list of a [[grid]] must have a value; {path} has none for {empty}")
        for values in product(*choices.values()):
            settings = require_scalars(dict(zip(choices, values, strict=True)), what=f"settings in {path}")
            runs.setdefault(run_key(settings), settings)
    if not runs:
        raise ValueError(f"a sweep must declare a run; {path} has no [[grid]]")
    return list(runs.values())


def run_key(settings: Settings) -> str:
    """The name of a run: 16 hexadecimal digits of the SHA-256 of its settings as canonical JSON.

    The order of the names does not matter. A float that is whole counts as that whole number (1.0 is 1, as
    in Python and in a column of the table); ``True`` is not 1, and ``None`` is not the same as nothing.

    Raises
    ------
    ValueError
        If a value is not a string, a finite number, a boolean or ``None``, or a name is ``key`` or
        ``seconds``.

    Examples
    --------
    >>> run_key({"seed": 1, "flops": 1e12})
    '8c4501aa6b47c5ab'
    >>> run_key({"flops": 1000000000000, "seed": 1.0})
    '8c4501aa6b47c5ab'
    """
    scalars = require_scalars(settings, what="settings")
    whole = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in scalars.items()
    }
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def missing(settings: Iterable[Settings], *, path: str | Path) -> list[dict[str, Any]]:
    """Those of the runs whose results are not in ``path`` yet, each once."""
    done = set(read_table(Path(path))["key"].to_pylist())
    runs = {run_key(one): dict(one) for one in settings}
    return [one for key, one in runs.items() if key not in done]


def run_sweep(
    settings: Sequence[Settings],
    *,
    execute: Execute,
    path: str | Path,
    workers: int = 2,
    scheduler: str | None = None,
    progress: bool = True,
) -> NDArray[Any]:
    """Do the runs whose results are not in a file yet, and return the results of all of them.

    Every run that ends is written at once: the Parquet file is replaced as a whole, so that a sweep that is
    killed loses only the runs in flight. A run whose process dies is done again once (on a cluster, see
    `on_cluster`).

    Parameters
    ----------
    settings : mappings of names to strings, finite numbers, booleans or None; equal ones are run once
    execute : picklable function from settings to a mapping of names to scalars, what was measured
    path : Parquet file, with the columns ``key``, the settings, what was measured, and ``seconds`` (of
        ``execute``); rows of other runs stay, and what they or the new ones lack is null
    workers : processes on this machine, of one thread each
    scheduler : address of a Dask scheduler, ``tcp://host:port``, whose workers are used instead
    progress : show a bar on the standard error

    Returns
    -------
    structured array, a row a run in the order of ``settings``, as `load_results` reads it

    Raises
    ------
    SweepFailed
        At the end, if runs failed. Nothing of them is stored, so that the next sweep tries them again.
    ValueError
        If settings are not as above, or ``path`` is a file that no sweep wrote; it stays as it is.
    RuntimeError
        If another sweep is writing to the file.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1; got {workers}")
    from tqdm import tqdm

    path = Path(path)
    runs = {run_key(one): require_scalars(one, what="settings") for one in settings}
    if not runs:
        raise ValueError("settings must have at least one run; got none")
    path.parent.mkdir(parents=True, exist_ok=True)
    failures: dict[str, tuple[Settings, str]] = {}
    with sole_writer(path):
        table = read_table(path)
        extended(table, list(runs.values()))  # an error now rather than after hours
        done = set(table["key"].to_pylist())
        todo = {key: one for key, one in runs.items() if key not in done}
        outcomes = (
            on_cluster(execute, todo, scheduler=scheduler)
            if scheduler is not None and todo
            else in_processes(execute, todo, workers=workers)
        )
        bar = tqdm(total=len(runs), initial=len(runs) - len(todo), disable=not progress, unit="run")
        with closing(outcomes), bar:
            for outcome in outcomes:
                one, error = todo[outcome.key], outcome.error
                if outcome.row is not None:
                    try:
                        longer = extended(table, [_row(outcome.key, one, outcome.row, outcome.seconds)])
                        write_table(longer, path)
                        table = longer
                    except ValueError as unfit:
                        error = repr(unfit)
                if error:
                    failures[outcome.key] = one, error
                    tqdm.write(f"{one} failed: {outcome.trace or error}", file=sys.stderr)
                bar.update()
    if failures:
        raise SweepFailed(failures, n_run=len(runs), path=path)
    array = as_array(table)
    position = {key: i for i, key in enumerate(array["key"].tolist())}
    return array[[position[key] for key in runs]]


def _row(key: str, settings: Settings, measured: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """One row of the table, of which no column has two meanings."""
    changed = [name for name in measured if name in settings and measured[name] != settings[name]]
    if changed:
        raise ValueError(f"execute must not return a setting with another value; it changed {changed}")
    return {"key": key, **settings, **measured, "seconds": seconds}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a sweep of training runs, or count what is missing of it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("sweep", type=Path, help="TOML file that declares the runs")
    parser.add_argument("--results", type=Path, required=True, help="Parquet file, made or continued")
    parser.add_argument("--workers", type=int, default=2, help="processes on this machine (default 2)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster to use instead")
    parser.add_argument("--count", action="store_true", help="only say how many runs are missing")
    given = parser.parse_args(arguments)
    settings = read_sweep(given.sweep)
    if given.count:
        print(f"{len(missing(settings, path=given.results))} of {len(settings)} runs are missing")
        return
    from scaling_transformers.training.runs import (  # type: ignore[import-not-found, unused-ignore]
        train_run,
    )

    run_sweep(
        settings, execute=train_run, path=given.results, workers=given.workers, scheduler=given.scheduler
    )


if __name__ == "__main__":
    main()
