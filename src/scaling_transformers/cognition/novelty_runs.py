"""Texts that the models of the book write at each temperature: how new they are, and how likely to another.

``python -m scaling_transformers.cognition.novelty_runs`` writes and measures them again and replaces the
files in ``data/creativity``: a row for each text, and a record of when and on what they were made.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scaling_transformers.cognition.language_model import SEEDS, START, LanguageModel, load_language_model
from scaling_transformers.cognition.novelty import (
    copied_lengths,
    longest_copied,
    new_share,
    number_words,
    repeated_share,
    words_of,
)
from scaling_transformers.training.corpora import Corpus
from scaling_transformers.training.loop import token_losses
from scaling_transformers.training.prose import library_prose
from scaling_transformers.training.record import as_table, read_record, read_runs, shipped, write_runs

TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5)
N_TEXT, N_WORDS, N_NEW = 32, 80, 240
ORDERS = tuple(range(1, 11))
PEOPLE = "people"

_DATA = shipped("creativity")


def write_texts(
    reader: LanguageModel, *, temperature: float, n_text: int, n_new: int | None = None, seed: int = 0
) -> list[str]:
    """Texts that a model writes after the start of a paragraph, of `N_NEW` tokens by default."""
    start = reader.encode(START).expand(n_text, -1)
    generator = torch.Generator().manual_seed(seed)
    tokens = reader.model.generate(
        start, max_new_tokens=n_new or N_NEW, temperature=temperature, generator=generator
    )
    return [reader.decode(row[start.shape[1] :]) for row in tokens]


def first_words(text: str, *, n: int = N_WORDS) -> list[str]:
    """The first ``n`` words of a text, by `words_of`; fewer if it is shorter."""
    return words_of(text)[:n]


def held_out_texts(corpus: Corpus, *, n_text: int = N_TEXT, n_words: int = N_WORDS) -> list[str]:
    """Texts of people that no model was trained on: paragraphs in a row, evenly spread over them all."""
    paragraphs = [part for part in corpus.validation.tobytes().decode().split("\n\n") if part.strip()]
    texts: list[str] = []
    for first in np.linspace(0, len(paragraphs), n_text, endpoint=False).astype(int):
        text = ""
        for paragraph in paragraphs[first:]:
            if len(words_of(text)) >= n_words:
                break
            text += paragraph + "\n\n"
        texts.append(text)
    return texts


def loss_per_byte(reader: LanguageModel, text: str) -> float:
    """Loss of a model on a text after the start of a paragraph, in nats per byte of the text."""
    tokens = reader.encode(START + text)[:, : reader.n_ctx]
    before = reader.encode(START).shape[1]
    losses = token_losses(reader.model, tokens)[0, before - 1 :]
    return float(losses.sum()) / len(reader.decode(tokens[0, before:]).encode())


def measure(words: NDArray[np.int64], lengths: NDArray[np.int64]) -> dict[str, float]:
    """What is new, copied and repeated in a text, from its words as numbers and their `copied_lengths`.

    In a text that is shorter than a sequence, the whole of it counts as the sequence.
    """
    return {
        "n_words": float(words.size),
        "longest": float(longest_copied(lengths)),
        **{f"new_{n}": new_share([lengths], n=min(n, words.size)) for n in ORDERS},
        "joined_4": new_share([lengths], n=min(4, words.size), known_elements=True),
        "repeated": repeated_share(words, n=min(4, words.size)),
    }


def run_all(folder: Path, *, corpus: Corpus | None = None, n_text: int = N_TEXT) -> None:
    """Write with every seed at every temperature, measure each text, and write table and record."""
    began, corpus = time.process_time(), corpus or library_prose()
    readers = {seed: load_language_model(seed) for seed in SEEDS}
    people = held_out_texts(corpus, n_text=n_text)
    rows: list[dict[str, Any]] = []
    texts: list[str] = []
    for seed in SEEDS:
        judge = readers[SEEDS[(seed + 1) % len(SEEDS)]]
        for temperature in (0.0, *TEMPERATURES):
            written = people
            if temperature:
                written = write_texts(readers[seed], temperature=temperature, n_text=n_text, seed=seed)
            rows += [
                {
                    "writer": "model" if temperature else PEOPLE,
                    "seed": seed,
                    "temperature": temperature,
                    "text": number,
                    "loss": loss_per_byte(judge, text),
                }
                for number, text in enumerate(written)
            ]
            texts += written
            print(rows[-1], written[-1][:60].encode(), flush=True)
    source, *counted = number_words(words_of(corpus.train.tobytes().decode()), *map(first_words, texts))
    for row, words, lengths in zip(rows, counted, copied_lengths(counted, source), strict=True):
        row.update(measure(words, lengths))
    write_runs(
        folder,
        as_table(rows),
        command="python -m scaling_transformers.cognition.novelty_runs",
        corpus=corpus,
        n_train_words=int(source.size),
        n_text=n_text,
        n_words=N_WORDS,
        judge="the model of the next seed",
        core_seconds=round(time.process_time() - began),
    )


def runs() -> NDArray[Any]:
    """The texts that are shipped, a structured array with a row for each.

    ``writer``: ``"model"`` or `PEOPLE`; ``seed``: of the model that wrote, or before that of the judge for
    people's texts; ``temperature``: 0 for people; ``longest``: longest copied sequence, of ``n_words`` words;
    ``new_1`` to ``new_10``: share of the sequences of so many words that the training text does not hold;
    ``joined_4``: share of the sequences of four that are new and have only words that it holds;
    ``repeated``: share of sequences of four words that stood before in the same text; ``loss``: of the model
    of the next seed, in nats per byte.
    """
    return read_runs(_DATA)


def record() -> dict[str, Any]:
    """How, when and on what the texts were made."""
    return read_record(_DATA)


if __name__ == "__main__":
    run_all(Path(sys.argv[1] if len(sys.argv) > 1 else str(_DATA)))
