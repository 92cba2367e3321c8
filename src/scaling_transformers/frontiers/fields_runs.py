"""Students of known dimension, many parities, and what a test of tails can tell: the runs that are shipped.

``python -m scaling_transformers.frontiers.fields_runs`` makes them all again and replaces the files in
``data/fields``: three tables, and a record of when and where they were made.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scaling_transformers.frontiers.heavy_tails import compare, fit_tail, line_exponent, sample
from scaling_transformers.frontiers.parity import parity_tasks, train_parities
from scaling_transformers.frontiers.teacher_student import (
    held_out_losses,
    lessons,
    n_parameters,
    train_students,
)
from scaling_transformers.training.corpora import Corpus
from scaling_transformers.training.record import (
    as_table,
    read_record,
    read_table,
    shipped,
    write_record,
    write_table,
)

DIMENSIONS, SEEDS = (2, 3, 4, 6, 8), (0, 1, 2)
WIDTHS, AMPLE_SAMPLES = (6, 10, 17, 29, 50), 2**16
SAMPLES, AMPLE_WIDTH = (64, 128, 256, 512, 1024, 2048), 48
N_TEST, STUDENT_BATCH, STUDENT_RATE = 4096, 128, 0.01
STUDENT_STEPS = {"parameters": 8000, "samples": 2000}

N_TASK, N_BIT, N_COUNTED, ALPHA = 64, 12, 3, 0.4
PARITY_WIDTHS, PARITY_STEPS, PARITY_BATCH, PARITY_RATE = (4, 8, 16, 32, 64, 128), 8000, 512, 0.01

KINDS, TAIL_SIZES, REPEATS = ("power law", "log-normal", "cut-off"), (30, 100, 300, 1000), 30
EXPONENT, CUT_OFF = 2.5, 30.0

_DATA = shipped("fields")
Rows = list[dict[str, Any]]


def run_students(
    size: int,
    *,
    grown: str,
    n_step: int | None = None,
    dimensions: tuple[int, ...] = DIMENSIONS,
    seeds: tuple[int, ...] = SEEDS,
) -> Rows:
    """Train students of one width on ample samples, or of ample width on so many; one row a student.

    Parameters
    ----------
    size : the width if ``grown`` is ``"parameters"``, the number of samples if it is ``"samples"``
    """
    width, n_sample = (size, AMPLE_SAMPLES) if grown == "parameters" else (AMPLE_WIDTH, size)
    weights = train_students(
        *lessons(dimensions, seeds, n_sample=n_sample),
        width=width,
        n_step=STUDENT_STEPS[grown] if n_step is None else n_step,
        batch=STUDENT_BATCH,
        learning_rate=STUDENT_RATE,
        seed=size,
    )
    losses = held_out_losses(weights, *lessons(dimensions, seeds, n_sample=N_TEST, test=True))
    who = [(dimension, seed) for dimension in dimensions for seed in seeds]
    return [
        {
            "grown": grown,
            "dimension": dimension,
            "seed": seed,
            "width": width,
            "n_params": n_parameters(width),
            "n_sample": n_sample,
            "loss": loss,
        }
        for (dimension, seed), loss in zip(who, losses.tolist(), strict=True)
    ]


def run_parities(width: int, *, n_step: int = PARITY_STEPS, n_task: int = N_TASK) -> Rows:
    """Train networks of one width, one a seed; a row for each seed and step measured.

    The widest are measured on the way, the others at the end. ``task_1`` is the loss on the most frequent
    task, in nats, and so on.
    """
    steps = [n_step]
    if width == max(PARITY_WIDTHS):
        steps = np.unique(np.geomspace(min(100, n_step), n_step, 24).round().astype(int)).tolist()
    tasks = parity_tasks(n_task=n_task, n_bit=N_BIT, n_counted=N_COUNTED, alpha=ALPHA, seeds=SEEDS)
    runs = train_parities(
        tasks, width=width, steps=steps, batch=PARITY_BATCH, learning_rate=PARITY_RATE, seed=width
    )
    return [
        {
            "width": width,
            "seed": seed,
            "step": step,
            **{f"task_{i + 1}": loss for i, loss in enumerate(of_seed.tolist())},
        }
        for step, losses in runs
        for seed, of_seed in zip(SEEDS, losses, strict=True)
    ]


def run_tails(kind: str, *, sizes: tuple[int, ...] = TAIL_SIZES, repeats: int = REPEATS) -> Rows:
    """Draw samples of a known kind and test each; a row for each size and repeat.

    ``exponent`` by likelihood and ``line`` by a straight line; ``ratio_...`` and ``p_...`` as of `compare`.
    """
    rows = []
    for n in sizes:
        for repeat in range(repeats):
            rng = np.random.default_rng([repeat, n])
            values = sample(kind, n, rng=rng, exponent=EXPONENT, cut_off=CUT_OFF)
            tests = compare(values, discrete=False, x_min=1.0)
            rows.append(
                {
                    "kind": kind,
                    "n": n,
                    "repeat": repeat,
                    "exponent": fit_tail(values, discrete=False, x_min=1.0).exponent,
                    "line": line_exponent(values, x_min=1.0),
                    "ratio_lognormal": tests["log-normal"].ratio,
                    "p_lognormal": tests["log-normal"].p,
                    "ratio_cutoff": tests["cut-off"].ratio,
                    "p_cutoff": tests["cut-off"].p,
                }
            )
    return rows


def recorded(table: str) -> NDArray[Any]:
    """A shipped table: ``"students"``, ``"parities"`` or ``"tails"``, as the functions of this module say."""
    return read_table(_DATA / f"{table}.csv")


def record() -> dict[str, Any]:
    """How, when and where the shipped runs were made."""
    return read_record(_DATA)


def make_all(folder: Path, *, workers: int = 2) -> None:
    """Make every run, each in a process with one thread; write the tables and the record into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs: dict[str, list[Callable[[], Rows]]] = {
        "tails": [partial(run_tails, kind) for kind in KINDS],
        "parities": [partial(run_parities, width) for width in reversed(PARITY_WIDTHS)],
        "students": [
            *(partial(run_students, width, grown="parameters") for width in WIDTHS),
            *(partial(run_students, n_sample, grown="samples") for n_sample in SAMPLES),
        ],
    }
    seconds = {}
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {name: [pool.submit(_alone, job) for job in of] for name, of in jobs.items()}
        for name, running in futures.items():
            results = [future.result() for future in running]
            print(name, [round(spent) for _, spent in results], flush=True)
            seconds[f"cpu_seconds_{name}"] = round(sum(spent for _, spent in results))
            digits = 3 if name == "parities" else 6
            write_table(
                folder / f"{name}.csv", as_table([row for rows, _ in results for row in rows]), digits=digits
            )
    first = lessons(DIMENSIONS[:1], SEEDS[:1], n_sample=N_TEST, test=True)[0].numpy().tobytes()
    nothing = np.empty(0, dtype=np.uint8)
    write_record(
        folder,
        command="python -m scaling_transformers.frontiers.fields_runs",
        corpus=Corpus(
            nothing,
            nothing,
            name="none: all data are drawn; the hash is of the test points of the first student",
            sha256=hashlib.sha256(first).hexdigest(),
        ),
        student_steps=STUDENT_STEPS,
        student_batch=STUDENT_BATCH,
        student_learning_rate=STUDENT_RATE,
        parity_steps=PARITY_STEPS,
        parity_batch=PARITY_BATCH,
        parity_learning_rate=PARITY_RATE,
        **seconds,
    )


def _alone(job: Callable[[], Rows]) -> tuple[Rows, float]:
    torch.set_num_threads(1)
    start = time.process_time()
    return job(), time.process_time() - start


if __name__ == "__main__":
    make_all(Path(str(_DATA)))
