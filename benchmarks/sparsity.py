"""Speed of attention by tiles beside dense attention on the same backend. Run by ``make bench``."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from harness import header, time_row

from scaling_transformers.attention import flash_attention, scaled_dot_product_attention
from scaling_transformers.sparsity import BigBird, TilePattern, Window, block_sparse_attention

N_HEAD, D_HEAD, BLOCK, SHARE = 2, 64, 128, 16


def a_share_of_the_blocks(n: int) -> TilePattern:
    """One in ``SHARE`` blocks of a text of ``n`` tokens, before and after: one near, the others at random."""
    block = min(BLOCK, n // SHARE)
    return BigBird(
        block, n_window=1, n_global=0, n_random=max(1, n // block // SHARE) - 1, seed=0, causal=False
    )


def main() -> None:
    header(f"Attention by tiles: {N_HEAD} heads of width {D_HEAD}, float32; ratio = time, peer / ours")
    generator = np.random.default_rng(0)
    for n in (1024, 2048, 4096, 8192, 16384):
        arrays = generator.normal(size=(3, 1, N_HEAD, n, D_HEAD)).astype(np.float32)
        tensors = torch.from_numpy(arrays)
        # Beyond this length the matrix of scores is slower than tiles, and would take gigabytes.
        dense = scaled_dot_product_attention if n <= 1024 else flash_attention
        blocks, window = a_share_of_the_blocks(n), Window(n // SHARE, block=min(BLOCK, n // SHARE))
        for pattern, is_causal in ((blocks, False), (window, True)):
            share = pattern.n_computed(n) / n**2
            what = f"{'causal window' if is_causal else 'blocks'}, {share:.3f} of pairs, n = {n}"
            goal = ">= 5" if n == 8192 and not is_causal else ">= 1"
            time_row(
                f"NumPy, {what}",
                partial(block_sparse_attention, *arrays, pattern=pattern),
                partial(dense, *arrays, is_causal=is_causal),
                target=goal,
            )
            time_row(
                f"torch, {what}",
                partial(block_sparse_attention, *tensors, pattern=pattern),
                partial(torch.nn.functional.scaled_dot_product_attention, *tensors, is_causal=is_causal),
                target=goal,
            )


if __name__ == "__main__":
    main()
