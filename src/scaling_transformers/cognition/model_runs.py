"""Train the reader of `language_model` with every seed, and write what the package ships of it.

``python -m scaling_transformers.cognition.model_runs`` takes the better part of an hour of one core, and
replaces the weights, the tokenizer, the history and the record in ``data/cognition``.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scaling_transformers.cognition.language_model import CONFIG, SEEDS, weights_name
from scaling_transformers.model import Transformer
from scaling_transformers.training.byte_pairs import with_byte_pairs
from scaling_transformers.training.corpora import Corpus
from scaling_transformers.training.loop import token_losses, train, validation_loss
from scaling_transformers.training.prose import library_prose
from scaling_transformers.training.record import as_table, shipped, write_record, write_table
from scaling_transformers.training.small_models import (
    PRINTABLE,
    head_scores,
    repeated_strings,
    sample_text_and_copies,
)
from scaling_transformers.training.weights import save_weights

N_STEP, BATCH = 2800, 8
LEARNING_RATE = 3e-3
COPY_SHARE = 1 / 8
MEASURE_EVERY = 200


def train_all(folder: Path, *, n_step: int = N_STEP, workers: int = 3) -> None:
    """Train every seed on one core each, and write weights, tokenizer, history and record into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus = library_prose()
    in_bytes, corpus = corpus, with_byte_pairs(corpus, vocab_size=CONFIG.vocab_size)
    (folder / "tokenizer.json").write_text(str(corpus.tokenizer), "utf-8")
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(_train_one, corpus, seed, n_step, folder) for seed in SEEDS]
        found = [future.result() for future in futures]
    rows = [row for each, _ in found for row in each]
    write_table(folder / "history.csv", as_table(rows), digits=4)
    write_record(
        folder,
        command="python -m scaling_transformers.cognition.model_runs",
        corpus=in_bytes,
        n_params=sum(p.numel() for p in Transformer(CONFIG).parameters()),
        vocab_size=corpus.vocab_size,
        tokenizer_sha256=corpus.tokenizer_sha256,
        bytes_per_token=corpus.bytes_per_token,
        train_tokens=len(corpus.train),
        validation_tokens=len(corpus.validation),
        copy_share=COPY_SHARE,
        tokens_seen=n_step * BATCH * CONFIG.n_ctx,
        n_step=n_step,
        batch=BATCH,
        n_ctx=CONFIG.n_ctx,
        learning_rate=LEARNING_RATE,
        core_seconds=[round(seconds) for _, seconds in found],
        final=[row for row in rows if row["step"] == n_step],
    )


def _train_one(corpus: Corpus, seed: int, n_step: int, folder: Path) -> tuple[list[dict[str, Any]], float]:
    """Train one seed and write its weights; the rows of its history, and the seconds of its core."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model, rows, start = Transformer(CONFIG), [], time.process_time()

    def measure(step: int, _: float) -> None:
        done = step + 1
        if step and done % MEASURE_EVERY and done != n_step:
            return
        model.eval()
        strings = repeated_strings(batch=32, n=128, period=64, generator=np.random.default_rng(seed))
        losses, scores = token_losses(model, strings), head_scores(model)
        rows.append(
            {
                "seed": seed,
                "step": done,
                "loss_text": validation_loss(model, corpus.validation, n=CONFIG.n_ctx, n_text=64),
                "loss_first": float(losses[:, :63].mean()),
                "loss_repeat": float(losses[:, 64:].mean()),
                "induction": float(scores["induction"].max()),
                "previous": float(scores["previous"].max()),
            }
        )
        model.train()
        save_weights(model, folder / weights_name(seed))  # a run that is stopped leaves what it had
        print(rows[-1], round(time.process_time() - start), flush=True)

    train(
        model,
        corpus.train,
        n_step=n_step,
        batch=BATCH,
        n=CONFIG.n_ctx,
        learning_rate=LEARNING_RATE,
        seed=seed,
        sampler=partial(
            sample_text_and_copies,
            copy_share=COPY_SHARE,
            random_tokens=(PRINTABLE[0], CONFIG.vocab_size),
        ),
        each_step=measure,
    )
    return rows, time.process_time() - start


if __name__ == "__main__":
    train_all(Path(sys.argv[1] if len(sys.argv) > 1 else str(shipped("cognition"))))
