"""Speed and memory of attention, each figure beside its peer in the same run. Run by ``make bench``."""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from harness import header, interleaved, row, time_row

from scaling_transformers.attention import flash_attention, scaled_dot_product_attention

N_HEAD, D_HEAD = 8, 64


def textbook_attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The plainest attention in NumPy that keeps float32 and does not overflow."""
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    scores = scores - scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores)
    weights = weights / weights.sum(axis=-1, keepdims=True)
    return weights @ v


def peak_bytes(function: Callable[[], object]) -> int:
    """Most memory that Python and NumPy held at once beyond what they held before."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main() -> None:
    header(f"Attention: {N_HEAD} heads of width {D_HEAD}, float32, no mask; ratio = time, ours / peer")
    generator = np.random.default_rng(0)
    for n in (512, 2048):
        arrays = generator.normal(size=(3, 1, N_HEAD, n, D_HEAD)).astype(np.float32)
        tensors = torch.from_numpy(arrays)
        time_row(
            f"time, torch input, n = {n}, peer: torch",
            partial(scaled_dot_product_attention, *tensors),
            partial(torch.nn.functional.scaled_dot_product_attention, *tensors),
            target="<= 1.05",
        )
        time_row(
            f"time, NumPy input, n = {n}, peer: textbook",
            partial(scaled_dot_product_attention, *arrays),
            partial(textbook_attention, *arrays),
            target="<= 1",
        )

    q, k, v = generator.normal(size=(3, 8192, D_HEAD)).astype(np.float32)
    for is_causal in (False, True):
        time_row(
            f"time, flash{', causal' * is_causal}, n = 8192, peer: plain",
            partial(flash_attention, q, k, v, is_causal=is_causal),
            partial(scaled_dot_product_attention, q, k, v, is_causal=is_causal),
            target="<= 1",
        )
    tiled = peak_bytes(partial(flash_attention, q, k, v))
    plain = peak_bytes(partial(scaled_dot_product_attention, q, k, v))
    row(
        "memory, flash, n = 8192, 1 head, peer: plain",
        f"{tiled / 2**20:.1f} MiB",
        f"{plain / 2**20:.1f} MiB",
        np.array([tiled / plain]),
        "<= 0.05",
    )

    importing, bare = (
        partial(subprocess.run, [sys.executable, "-c", code], check=True)
        for code in ("import scaling_transformers", "pass")
    )
    pairs = interleaved(importing, bare)
    medians = np.median(pairs, axis=0) * 1e3
    row(
        "time, import less the bare interpreter",
        f"{medians[0]:.1f} ms",
        f"{medians[1]:.1f} ms",
        pairs[:, 0] - pairs[:, 1],
        "<= 0.3",
        " s",
    )
    for name in ("scaling_transformers", "scaling_transformers.attention"):
        code = f"import {name}, sys; print('torch' in sys.modules)"
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        print(f"import {name} loads torch: {'yes' if loaded.stdout.strip() == 'True' else 'no'}")


if __name__ == "__main__":
    main()
