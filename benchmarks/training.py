"""Speed of training many small models at once, beside the same models one by one. Run by ``make bench``.

Both sides train models of one shape on the same batches, and must end with the same losses to four digits. On
a GPU the models, the stack and the batches are there.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter

import numpy as np
import torch
from harness import header, interleaved, row

from scaling_transformers import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.training import train, train_stacked
from scaling_transformers.training.language import SyntheticLanguage

N_STEP, BATCH, N = 5, 4, 64
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
LANGUAGE = SyntheticLanguage(n_rule=2**12)


def make(d_model: int, n_model: int) -> list[Transformer]:
    torch.manual_seed(0)
    config = TransformerConfig(
        2, d_model, d_model // 16, LANGUAGE.vocab_size, N, norm="rmsnorm", bias=False, tie_embeddings=False
    )
    return [Transformer(config).to(DEVICE) for _ in range(n_model)]


def at_once(models: list[Transformer]) -> np.ndarray:
    many = range(len(models))
    rates = [1e-3 * (1 + i) for i in many]
    return train_stacked(
        models, LANGUAGE, n_step=N_STEP, batch=BATCH, n=N, learning_rates=rates, seeds=list(many)
    )


def one_by_one(models: list[Transformer]) -> np.ndarray:
    return np.array(
        [
            train(model, LANGUAGE, n_step=N_STEP, batch=BATCH, n=N, learning_rate=1e-3 * (1 + i), seed=i)
            for i, model in enumerate(models)
        ]
    )


def stacked_row(*, d_model: int, n_model: int, target: str = "") -> None:
    ours, peer = make(d_model, n_model), make(d_model, n_model)
    np.testing.assert_allclose(at_once(ours), one_by_one(peer), rtol=0, atol=1e-4)
    pairs = interleaved(partial(at_once, ours), partial(one_by_one, peer), budget=4.0)
    medians = np.median(pairs, axis=0) / N_STEP * 1e3
    row(
        f"{n_model} models of 2 x {d_model}, {BATCH} x {N} tokens each",
        f"{medians[0]:.1f} ms",
        f"{medians[1]:.1f} ms",
        pairs[:, 1] / pairs[:, 0],
        target,
    )


def language_row(depth: int) -> None:
    language, n = SyntheticLanguage(depth=depth), 2**22
    language.tokens(start=0, n=1)  # makes the tables
    rates = []
    for repeat in range(7):
        start = perf_counter()
        language.tokens(start=repeat * n, n=n)
        rates.append(n / 1e6 / (perf_counter() - start))
    row(f"synthetic language of depth {depth}", "", "", np.array(rates), ">= 20", " M tokens/s")


def main() -> None:
    what = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "this processor"
    header(f"A training step of many models on {what}: stacked; peer: one by one; ratio = speed-up")
    stacked_row(d_model=32, n_model=8)
    stacked_row(d_model=32, n_model=64 if DEVICE.type == "cuda" else 16)
    stacked_row(d_model=128, n_model=8)
    header("Text of the synthetic language, NumPy on one core")
    for depth in (1, 2, 3):
        language_row(depth)


if __name__ == "__main__":
    main()
