"""Where runs are executed: in processes of this machine, or on the workers of a cluster.

Not in the package `training`, so that a process whose runs need no torch need not wait for it.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from time import perf_counter, sleep
from typing import Any, NamedTuple

from scaling_transformers._scalars import require_scalars

Settings = Mapping[str, Any]
Execute = Callable[[Settings], Mapping[str, Any]]


class Outcome(NamedTuple):
    """How one run ended: what it returned, or the exception and its traceback as text."""

    key: str
    row: Mapping[str, Any] | None
    seconds: float
    error: str = ""
    trace: str = ""


_watching = threading.Event()


def _end_with(parent: int) -> None:
    """End this process when its parent is gone: what it computes would reach nobody."""

    def watch() -> None:
        while os.getppid() == parent:
            sleep(0.5)
        os._exit(1)

    if not _watching.is_set():
        _watching.set()
        threading.Thread(target=watch, daemon=True).start()


def run_one(execute: Execute, key: str, settings: Settings, parent: int | None = None) -> Outcome:
    """Execute one run on one thread, in a process that may be the child of ``parent``."""
    if parent is not None:
        _end_with(parent)
    if "torch" in sys.modules:  # where it is not, OMP_NUM_THREADS = 1 will tell it
        sys.modules["torch"].set_num_threads(1)
    start = perf_counter()
    try:
        row = require_scalars(execute(dict(settings)), what="what execute returns")
    except (Exception, SystemExit) as error:
        return Outcome(key, None, perf_counter() - start, repr(error), traceback.format_exc())
    return Outcome(key, row, perf_counter() - start)


def in_processes(
    execute: Execute, runs: Mapping[str, Settings], *, workers: int
) -> Generator[Outcome, None, None]:
    """The outcomes of runs, each as it ends, executed in so many processes of this machine.

    A process that dies (killed, or out of memory) takes the others of its pool with it. The runs that
    were in flight or next in line are then done again, each alone in its pool; one whose process dies again
    has failed.
    """
    from joblib import Parallel, delayed

    def pool(keys: Sequence[str], begun: list[str]) -> Generator[Outcome, None, None]:
        def calls() -> Iterator[Any]:
            for key in keys:
                begun.append(key)
                yield delayed(run_one)(execute, key, runs[key], os.getpid())

        outcomes = Parallel(
            n_jobs=max(2, workers),  # with one, joblib would run in this process, and die with the run
            batch_size=1,
            return_as="generator_unordered",
            backend="loky",
            inner_max_num_threads=1,
        )(calls())
        try:
            for outcome in outcomes:  # noqa: UP028 - `yield from` would close joblib's generator itself
                yield outcome
        finally:  # who stops listening early, as on Ctrl-C, knows that runs are cut off; joblib need not warn
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", r"\d+ tasks ", UserWarning)
                outcomes.close()

    left = list(runs)
    while left:
        begun: list[str] = []
        ended = set()
        try:
            # a single worker gets one run a call, as the pool has two processes
            with closing(pool(left if workers > 1 else left[:1], begun)) as outcomes:
                for outcome in outcomes:
                    ended.add(outcome.key)
                    yield outcome
        except BrokenProcessPool:
            pass
        for key in [key for key in begun if key not in ended]:
            for last in (False, True):  # twice, as the first may meet what is left of the broken pool
                try:
                    yield from pool([key], [])
                    break
                except BrokenProcessPool as error:
                    if last:
                        yield Outcome(key, None, 0.0, f"its process died twice, alone in its pool: {error}")
        left = [key for key in left if key not in begun]


def on_cluster(
    execute: Execute, runs: Mapping[str, Settings], *, scheduler: str
) -> Generator[Outcome, None, None]:
    """The outcomes of runs, each as it ends, executed by the workers of a Dask scheduler.

    The scheduler gives the runs of a worker that dies to another, or waits for one. A run that has seen four
    workers die (Dask's setting ``distributed.scheduler.allowed-failures``, and one) has failed.
    """
    from distributed import Client, as_completed

    with Client(scheduler, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        # joblib's own backend for Dask ends the whole call at the first run that the scheduler gives up
        keys = {
            client.submit(run_one, execute, key, settings, pure=False): key for key, settings in runs.items()
        }
        for future in as_completed(list(keys), loop=client.loop):  # type: ignore[no-untyped-call]
            key = keys.pop(future)
            try:
                outcome = future.result()
            except Exception as error:
                outcome = Outcome(key, None, 0.0, f"the cluster gave it up: {error!r}")
            future.release()
            yield outcome
