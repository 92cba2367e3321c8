"""What every benchmark shares: both sides by turns, one ratio with its quartiles, one line a figure.

Repeats of the two sides alternate, so that a busy moment of the machine falls on both; a ratio is the median
over the pairs, with its interquartile range. ``make bench`` sets one thread, unless OMP_NUM_THREADS says
otherwise: with more, a neighbour on the same cores would be measured too.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import torch


def seconds(function: Callable[[], object]) -> float:
    start = perf_counter()
    function()
    return perf_counter() - start


def interleaved(
    ours: Callable[[], object],
    peer: Callable[[], object],
    *,
    measure: Callable[[Callable[[], object]], float] = seconds,
    budget: float = 8.0,
) -> np.ndarray:
    """Measurements of both sides by turns, shape (repeats, 2), after a first turn that is thrown away."""
    for side in (peer, ours):
        measure(side)
    pairs: list[tuple[float, float]] = []
    start = perf_counter()
    while len(pairs) < 5 or (perf_counter() - start < budget and len(pairs) < 200):
        if len(pairs) % 2:  # whoever runs second finds warmer caches
            pairs.append((measure(ours), measure(peer)))
        else:
            peers = measure(peer)
            pairs.append((measure(ours), peers))
    return np.array(pairs)


def header(what: str) -> None:
    """The machine, the versions, and the columns of `row`."""
    print(f"\n{processor()}, {os.cpu_count()} cores, {platform.platform()}")
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, torch {torch.__version__}; threads: "
        f"torch {torch.get_num_threads()}, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}"
    )
    print(f"{what}\n")
    print(f"{'':<50} {'ours':>10} {'peer':>10}  {'median [quartiles]':<25} {'runs':>4}  target")


def row(name: str, ours: str, peer: str, values: np.ndarray, target: str, unit: str = "") -> None:
    """One figure; ``target`` is "<= 1.05", ">= 1.2" or empty."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    spread = f"{middle:.3f} [{low:.3f}, {high:.3f}]{unit}"
    verdict = ""
    if target:
        sign, limit = target.split()
        met = middle <= float(limit) if sign == "<=" else middle >= float(limit)
        verdict = f"{target}{unit}  {'met' if met else 'MISSED'}"
    print(f"{name:<50} {ours:>10} {peer:>10}  {spread:<25} {len(values):>4}  {verdict}", flush=True)


def time_row(name: str, ours: Callable[[], object], peer: Callable[[], object], *, target: str) -> None:
    """The ratio of times: ours to the peer's for a target "<=", the peer's to ours (our speed) for ">="."""
    pairs = interleaved(ours, peer)
    ratio = pairs[:, 0] / pairs[:, 1]
    medians = np.median(pairs, axis=0) * 1e3
    row(
        name,
        f"{medians[0]:.1f} ms",
        f"{medians[1]:.1f} ms",
        1 / ratio if target.startswith(">=") else ratio,
        target,
    )


def processor() -> str:
    """The processor's name, which only Linux's own list gives in full."""
    listed = Path("/proc/cpuinfo")
    names = (
        [line for line in listed.read_text().splitlines() if line.startswith("model name")]
        if listed.exists()
        else []
    )
    return names[0].split(":", 1)[1].strip() if names else platform.processor() or platform.machine()
