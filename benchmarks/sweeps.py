"""What a sweep costs beside its runs, and how fast a large table of results is read. Run by ``make bench``.

The peer of the sweep is the least time that its runs can take: the sum of their own seconds over the workers.
Whoever shares the cores slows both. The first of the repeats pays for the start of the processes, which the
others find running; the second line has runs in the file already, as a long sweep has near its end.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import pyarrow.parquet as pq
from harness import header, row, seconds

from scaling_transformers.training.results import extended, read_table, write_table
from scaling_transformers.training.sweeps import load_results, run_key, run_sweep

LENGTH, N_RUN, REPEATS = 0.5, 60, 3
WORKERS = min(2, os.cpu_count() or 1)


def busy(settings: dict[str, float]) -> dict[str, float]:
    """Compute for LENGTH seconds and answer as many columns as a training run does."""
    end = perf_counter() + LENGTH
    total = 0.0
    while perf_counter() < end:
        total += settings["seed"] ** 0.5
    return {f"measured_{i}": total + i for i in range(12)}


def settings(n_run: int, *, first: int = 0) -> list[dict[str, float | str]]:
    return [
        {"seed": first + i, "corpus": f"corpus {i % 3}", **{f"setting_{j}": i % (j + 2) for j in range(9)}}
        for i in range(n_run)
    ]


def fill(path: Path, n_run: int) -> None:
    """A table of ``n_run`` rows of 25 columns at once."""
    measured = np.random.default_rng(0).normal(size=(n_run, 12))
    rows = [
        {
            "key": run_key(one),
            **one,
            **{f"measured_{i}": value for i, value in enumerate(values)},
            "seconds": 1.0,
        }
        for one, values in zip(settings(n_run, first=10**6), measured.tolist(), strict=True)
    ]
    write_table(extended(read_table(path), rows), path)


def overhead(path: Path) -> tuple[float, float]:
    """Seconds of a sweep, and the least that its runs could take."""
    start = perf_counter()
    table = run_sweep(settings(N_RUN), execute=busy, path=path, workers=WORKERS, progress=False)
    return perf_counter() - start, float(table["seconds"].sum()) / WORKERS


def main() -> None:
    header(
        f"Sweep of {N_RUN} runs of {LENGTH} s on {WORKERS} processes; ratio = time of the sweep / of its runs"
    )
    with TemporaryDirectory() as folder:
        for n_old in (0, 1000):
            times = []
            for repeat in range(REPEATS):
                path = Path(folder) / f"{n_old}_{repeat}.parquet"
                if n_old:
                    fill(path, n_old)
                times.append(overhead(path))
            pairs = np.array(times)
            ours, peer = np.median(pairs, axis=0)
            name = f"sweep beside its runs, {n_old} rows before"
            row(name, f"{ours:.2f} s", f"{peer:.2f} s", pairs[:, 0] / pairs[:, 1], "<= 1.05")
        path = Path(folder) / "large.parquet"
        fill(path, 100_000)
        file_seconds = np.array([seconds(lambda: load_results(path)) for _ in range(7)])
        plain = np.array([seconds(lambda: pq.read_table(path)) for _ in range(7)])
        table = load_results(path)
        name = f"load {len(table):,} rows of {len(table.dtype)} columns, peer: Arrow"
        ours, peer = np.median(file_seconds), np.median(plain)
        row(name, f"{ours:.3f} s", f"{peer:.3f} s", file_seconds, "<= 0.5", " s")


if __name__ == "__main__":
    main()
