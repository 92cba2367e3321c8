"""Speed and memory of attention, each figure beside its peer in the same run.

Run by ``make bench``. Repeats of the two sides alternate, so that a busy moment of the machine falls on both;
a ratio is the median over the pairs, with its interquartile range. One thread, unless OMP_NUM_THREADS says
otherwise: with more, a neighbour on the same cores would be measured too.
"""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when NumPy and torch load

import numpy as np
import torch

from scaling_transformers.attention import flash_attention, scaled_dot_product_attention

N_HEAD, D_HEAD = 8, 64
SECONDS = 8.0  # spent on each pair


def textbook_attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The plainest attention in NumPy that keeps float32 and does not overflow."""
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    scores = scores - scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores)
    weights = weights / weights.sum(axis=-1, keepdims=True)
    return weights @ v


def seconds(function: Callable[[], object]) -> float:
    start = perf_counter()
    function()
    return perf_counter() - start


def interleaved(
    ours: Callable[[], object],
    peer: Callable[[], object],
    *,
    measure: Callable[[Callable[[], object]], float],
) -> np.ndarray:
    """Measurements of both sides by turns, shape (repeats, 2), after a first turn that is thrown away."""
    for side in (peer, ours):
        measure(side)
    pairs: list[tuple[float, float]] = []
    start = perf_counter()
    while len(pairs) < 5 or (perf_counter() - start < SECONDS and len(pairs) < 200):
        if len(pairs) % 2:  # whoever runs second finds warmer caches
            pairs.append((measure(ours), measure(peer)))
        else:
            peers = measure(peer)
            pairs.append((measure(ours), peers))
    return np.array(pairs)


def peak_bytes(function: Callable[[], object]) -> int:
    """Most memory that Python and NumPy held at once beyond what they held before."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def row(name: str, ours: str, peer: str, values: np.ndarray, target: float, unit: str = "") -> None:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    verdict = "met" if middle <= target else "MISSED"
    spread = f"{middle:.3f} [{low:.3f}, {high:.3f}]{unit}"
    print(
        f"{name:<42} {ours:>10} {peer:>10}  {spread:<25} {len(values):>4}  <= {target:g}{unit:<3} {verdict}"
    )


def time_row(name: str, ours: Callable[[], object], peer: Callable[[], object], *, target: float) -> None:
    pairs = interleaved(ours, peer, measure=seconds)
    medians = np.median(pairs, axis=0) * 1e3
    row(name, f"{medians[0]:.1f} ms", f"{medians[1]:.1f} ms", pairs[:, 0] / pairs[:, 1], target)


def processor() -> str:
    """The processor's name, which only Linux's own list gives in full."""
    listed = Path("/proc/cpuinfo")
    names = (
        [line for line in listed.read_text().splitlines() if line.startswith("model name")]
        if listed.exists()
        else []
    )
    return names[0].split(":", 1)[1].strip() if names else platform.processor() or platform.machine()


def main() -> None:
    print(f"{processor()}, {os.cpu_count()} cores, {platform.platform()}")
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, torch {torch.__version__}; "
        f"threads: torch {torch.get_num_threads()}, OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}"
    )
    print(f"{N_HEAD} heads of width {D_HEAD}, float32, no mask; ratio = ours / peer, median [quartiles]\n")
    print(f"{'':<42} {'ours':>10} {'peer':>10}  {'ratio':<25} {'runs':>4}  target")
    generator = np.random.default_rng(0)
    for n in (512, 2048):
        arrays = generator.normal(size=(3, 1, N_HEAD, n, D_HEAD)).astype(np.float32)
        tensors = torch.from_numpy(arrays)
        time_row(
            f"time, torch input, n = {n}, peer: torch",
            partial(scaled_dot_product_attention, *tensors),
            partial(torch.nn.functional.scaled_dot_product_attention, *tensors),
            target=1.05,
        )
        time_row(
            f"time, NumPy input, n = {n}, peer: textbook",
            partial(scaled_dot_product_attention, *arrays),
            partial(textbook_attention, *arrays),
            target=1.0,
        )

    q, k, v = generator.normal(size=(3, 8192, D_HEAD)).astype(np.float32)
    for is_causal in (False, True):
        time_row(
            f"time, flash{', causal' * is_causal}, n = 8192, peer: plain",
            partial(flash_attention, q, k, v, is_causal=is_causal),
            partial(scaled_dot_product_attention, q, k, v, is_causal=is_causal),
            target=1.0,
        )
    tiled = peak_bytes(partial(flash_attention, q, k, v))
    plain = peak_bytes(partial(scaled_dot_product_attention, q, k, v))
    row(
        "memory, flash, n = 8192, 1 head, peer: plain",
        f"{tiled / 2**20:.1f} MiB",
        f"{plain / 2**20:.1f} MiB",
        np.array([tiled / plain]),
        0.05,
    )

    importing, bare = (
        partial(subprocess.run, [sys.executable, "-c", code], check=True)
        for code in ("import scaling_transformers", "pass")
    )
    pairs = interleaved(importing, bare, measure=seconds)
    medians = np.median(pairs, axis=0) * 1e3
    row(
        "time, import less the bare interpreter",
        f"{medians[0]:.1f} ms",
        f"{medians[1]:.1f} ms",
        pairs[:, 0] - pairs[:, 1],
        0.3,
        " s",
    )
    for name in ("scaling_transformers", "scaling_transformers.attention"):
        code = f"import {name}, sys; print('torch' in sys.modules)"
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        print(f"import {name} loads torch: {'yes' if loaded.stdout.strip() == 'True' else 'no'}")


if __name__ == "__main__":
    main()
