"""The small models whose heads the chapter on attention opens: how they were trained, and how to load them.

``python -m scaling_transformers.training.small_models`` trains them all again and replaces the files in
``data/small_models``: weights, a history of every run, and a record of what they were trained on, and where.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scaling_transformers.attention import induction_score, offset_score
from scaling_transformers.config import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.training.corpora import python_library
from scaling_transformers.training.loop import sample_batch, token_losses, train, validation_loss
from scaling_transformers.training.record import (
    as_table,
    read_record,
    read_table,
    shipped,
    write_record,
    write_table,
)
from scaling_transformers.training.weights import load_weights, save_weights

SEEDS = (0, 1, 2)
PARTS = ("both", "attention", "feed-forward")
N_STEP_PARTS = 2000
N_STEP, BATCH, N_CTX = 5000, 16, 128
LEARNING_RATE = 3e-3
COPY_SHARE, SHORTEST_COPY = 0.25, 8
PRINTABLE = (33, 127)  # the bytes of visible ASCII characters
CONFIGS = {n_layer: TransformerConfig(n_layer, 128, 4, vocab_size=256, n_ctx=N_CTX) for n_layer in (1, 2)}
_DATA = shipped("small_models")


def encode(text: str) -> Tensor:
    """UTF-8 bytes of a text as tokens, shape (1, n)."""
    return torch.tensor([list(text.encode())])


def repeated_strings(*, batch: int, n: int, period: int, generator: np.random.Generator) -> Tensor:
    """Random visible characters, the same ``period`` of them again and again; tokens of shape (batch, n)."""
    strings = generator.integers(*PRINTABLE, size=(batch, period))
    return torch.from_numpy(np.tile(strings, n // period + 1)[:, :n])


def sample_text_and_copies(
    text: NDArray[Any],
    *,
    batch: int,
    n: int,
    generator: np.random.Generator,
    copy_share: float = COPY_SHARE,
    random_tokens: tuple[int, int] = PRINTABLE,
) -> tuple[Tensor, Tensor]:
    """As `sample_batch`, but a quarter of the batch are copies: something short, again and again.

    By turns it is a random string of visible characters, which nothing but copying can predict, and a piece
    of the text. Its length is random, so that position alone does not tell what comes.

    Parameters
    ----------
    copy_share : of the batch, rounded down to whole texts
    random_tokens : the first token of the random strings, and the one after the last
    """
    tokens, targets = sample_batch(text, batch=batch, n=n, generator=generator)
    for row in range(int(copy_share * batch)):
        piece = tokens[row]
        if row % 2 == 0:
            piece = torch.from_numpy(generator.integers(*random_tokens, size=n))
        period = int(generator.integers(SHORTEST_COPY, n // 2 + 1))
        copies = piece[:period].repeat(n // period + 2)
        tokens[row], targets[row] = copies[:n], copies[1 : n + 1]
    return tokens, targets


def head_scores(model: Transformer, *, period: int = 64, n_text: int = 32, seed: int = 0) -> dict[str, Any]:
    """`copying_scores` on ``n_text`` random strings of ``period`` characters, written twice."""
    generator = np.random.default_rng(seed)
    tokens = repeated_strings(batch=n_text, n=2 * period, period=period, generator=generator)
    return copying_scores(model, tokens, period=period)


@torch.no_grad()
def copying_scores(model: Transformer, tokens: Tensor, *, period: int) -> dict[str, Any]:
    """How much each head looks one token back, and how much at what followed the same token a period ago.

    Parameters
    ----------
    tokens : integer tensor, shape (n_text, n), each text the same ``period`` tokens again and again

    Returns
    -------
    dict of two NumPy arrays, each of shape (n_layer, n_head): ``"previous"``, ``"induction"``, from 0 to 1
    """
    _, patterns = model(tokens, return_attention=True)
    weights = torch.stack(patterns)  # (n_layer, n_text, n_head, n, n)
    return {
        "previous": offset_score(weights, offset=1).mean(dim=1).numpy(),
        "induction": induction_score(weights, period=period).mean(dim=1).numpy(),
    }


def load(*, n_layer: int, seed: int) -> Transformer:
    """A trained model of one or two layers, ready for evaluation.

    Raises
    ------
    ValueError
        If no such model is shipped.
    """
    path = _DATA / _weights_name(n_layer, seed)
    if n_layer not in CONFIGS or not path.is_file():
        raise ValueError(
            f"n_layer must be one of {tuple(CONFIGS)} and seed one of {SEEDS}; got {n_layer!r}, {seed!r}"
        )
    return load_weights(Transformer(CONFIGS[n_layer]), path)


def record() -> dict[str, Any]:
    """On what, when and where the models were trained, and the losses they ended with, in nats per byte."""
    return read_record(_DATA)


def history() -> NDArray[Any]:
    """The training runs as a structured array: ``n_layer``, ``seed``, ``step`` and what was measured there.

    ``loss_text``: validation loss on held-out code; ``loss_first``, ``loss_repeat``: loss on random strings
    the first time and when they come again; ``induction``, ``previous``: the largest score of any head.
    """
    return read_table(_DATA / "history.csv")


def parts() -> NDArray[Any]:
    """Two-layer models trained with both parts of a block or with one: a structured array.

    ``part``: what the blocks have; ``n_params``: parameters in all; ``loss_text``: validation loss, in nats
    per byte, after ``n_step`` steps.
    """
    return read_table(_DATA / "parts.csv")


class _Nothing(nn.Module):
    """Stands where a part of a block was: adds nothing to the residual stream."""

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        return torch.zeros_like(x)


class _NoAttention(_Nothing):
    def forward(self, x: Tensor, *_: Any) -> Any:
        return super().forward(x), None


def keep_only(model: Transformer, part: str) -> Transformer:
    """Take the other part out of every block, in place; ``part`` is one of `PARTS`.

    Raises
    ------
    ValueError
        If there is no such part.
    """
    if part not in PARTS:
        raise ValueError(f"part must be one of {PARTS}; got {part!r}")
    for block in model.blocks:
        if part == "attention":
            block.feed_forward = _Nothing()
        elif part == "feed-forward":
            block.attention = _NoAttention()
    return model


def _weights_name(n_layer: int, seed: int) -> str:
    return f"weights_{n_layer}_{seed}.npz"


def _fit(model: Transformer, text: NDArray[np.uint8], **options: Any) -> None:
    """Train as every model of this file is trained."""
    train(
        model,
        text,
        batch=BATCH,
        n=N_CTX,
        learning_rate=LEARNING_RATE,
        sampler=sample_text_and_copies,
        **options,
    )


def _train_one(n_layer: int, seed: int, n_step: int, folder: Path) -> list[dict[str, Any]]:
    """Train one model, write its weights, and answer the rows of its history."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    corpus, model, rows = python_library(), Transformer(CONFIGS[n_layer]), []

    def measure(step: int, _: float) -> None:
        if step and (step + 1) % 100:
            return
        generator = np.random.default_rng(seed)
        strings = repeated_strings(batch=32, n=128, period=64, generator=generator)
        losses, scores = token_losses(model, strings), head_scores(model)
        rows.append(
            {
                "n_layer": n_layer,
                "seed": seed,
                "step": step + 1,
                "loss_text": validation_loss(model, corpus.validation, n=N_CTX, n_text=64),
                "loss_first": float(losses[:, :63].mean()),
                "loss_repeat": float(losses[:, 64:].mean()),
                "induction": float(scores["induction"].max()),
                "previous": float(scores["previous"].max()),
            }
        )
        print(rows[-1], flush=True)

    _fit(model, corpus.train, n_step=n_step, seed=seed, each_step=measure)
    save_weights(model, folder / _weights_name(n_layer, seed))
    return rows


def _train_part(part: str, seed: int, n_step: int) -> dict[str, Any]:
    """Train a two-layer model that has one part, or both, and measure it once."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    corpus, model = python_library(), keep_only(Transformer(CONFIGS[2]), part)
    _fit(model, corpus.train, n_step=n_step, seed=seed)
    row = {
        "part": part,
        "seed": seed,
        "n_step": n_step,
        "n_params": sum(p.numel() for p in model.parameters()),
        "loss_text": validation_loss(model, corpus.validation, n=N_CTX, n_text=1024),
    }
    print(row, flush=True)
    return row


def train_parts(folder: Path, *, n_step: int = N_STEP_PARTS, workers: int = 2) -> None:
    """Train models with one part of a block, or both, and write what they reach into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(_train_part, part, seed, n_step) for seed in SEEDS for part in PARTS]
        write_table(folder / "parts.csv", as_table([future.result() for future in futures]), digits=4)


def train_all(folder: Path, *, n_step: int = N_STEP, workers: int = 2) -> None:
    """Train every size and seed and write weights, history and record into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    start, corpus = time.time(), python_library()
    runs = [(n_layer, seed) for seed in SEEDS for n_layer in sorted(CONFIGS, reverse=True)]
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(_train_one, *run, n_step, folder) for run in runs]
        rows = sorted(
            (row for future in futures for row in future.result()),
            key=lambda row: (row["n_layer"], row["seed"], row["step"]),
        )
    write_table(folder / "history.csv", as_table(rows), digits=4)
    final = [row for row in rows if row["step"] == n_step]
    write_record(
        folder,
        command="python -m scaling_transformers.training.small_models",
        corpus=corpus,
        train_bytes=int(corpus.train.size),
        validation_bytes=int(corpus.validation.size),
        tokens_seen=n_step * BATCH * N_CTX,
        copy_share=COPY_SHARE,
        n_step=n_step,
        batch=BATCH,
        n_ctx=N_CTX,
        learning_rate=LEARNING_RATE,
        seconds_for_all=round(time.time() - start),
        final=final,
    )


if __name__ == "__main__":
    train_parts(Path(str(_DATA)))
    train_all(Path(str(_DATA)))
