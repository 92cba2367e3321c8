"""A sentence is read word by word: how much each surprises the book's reader, and how long it would take."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_transformers.cognition.reading import published_reader, simulate_reading
from scaling_transformers.explorers._numbers import three_digits, written
from scaling_transformers.explorers.base import Control, Explorer

if TYPE_CHECKING:
    from scaling_transformers.cognition.language_model import LanguageModel

SENTENCES = {
    "as expected": "The names of the list are sorted by the last argument.",
    "an odd word": "The names of the list are sorted by the last horse.",
    "agreement broken": "The names of the list is sorted by the last argument.",
    "garden path": "When the parser calls the function must return a new list.",
    "with a comma": "When the parser calls, the function must return a new list.",
}
CONTEXTS = {"1": 1, "2": 2, "4": 4, "all": None}
SEEDS = (0, 1, 2)


@cache
def _reader(seed: int) -> LanguageModel:
    """The book's reader of a seed, in float64: the figure is then the same on every machine."""
    from scaling_transformers.cognition.language_model import LanguageModel, load_language_model

    loaded = load_language_model(seed)
    return LanguageModel(loaded.model.double(), loaded.tokenizer)


@cache
def _bits(seed: int, text: str) -> tuple[float, ...]:
    """Surprisal of each word of a text, in bits."""
    from scaling_transformers.cognition.surprisal import word_surprisal

    return tuple(word_surprisal(_reader(seed), text).bits.tolist())


def _bits_after(words: list[str], *, n_seen: int | None, seed: int) -> tuple[float, ...]:
    """Surprisal of each word after the ``n_seen`` before it, as if the text began there; None: all."""
    if n_seen is None:
        return _bits(seed, " ".join(words))
    seen = (" ".join(words[max(0, place - n_seen) : place + 1]) for place in range(len(words)))
    return tuple(_bits(seed, text)[-1] for text in seen)


def _read(sentence: str, context: str, seed: float) -> dict[str, Any]:
    """Bits of each word after the words that the reader still sees, and the milliseconds that follow."""
    words = SENTENCES[sentence].split()
    bits = np.array(_bits_after(words, n_seen=CONTEXTS[context], seed=int(seed)))
    reader = published_reader(between=0.0, slopes_between=0.0, within=0.0)  # nobody in particular
    times = simulate_reading(reader, bits, n_reader=1)[0]
    top, slowest = int(bits.argmax()), int(times.argmax())
    return {
        "words": words,
        "bits": [three_digits(bit) for bit in bits],
        "mean": three_digits(bits.mean()),
        "top": top,
        "milliseconds": [three_digits(time) for time in times],
        "summary": (
            f"{sentence.capitalize()}, seed {seed:g}, words seen before each: {context}. "
            f"“{words[top]}” surprises most, {written(bits[top])} bits; the mean is {written(bits.mean())}. "
            f"Predicted reading takes {times.sum() / 1000:.2f} s, longest at “{words[slowest]}”: "
            f"{written(times[slowest])} ms."
        ),
    }


def surprisal_explorer() -> Explorer:
    """Choose a sentence, how many words before each the reader sees, and its seed; see bits and milliseconds.

    With fewer words the text begins with them, as a paragraph does. The milliseconds are those
    of `scaling_transformers.cognition.reading.published_reader` without any scatter.
    """
    return Explorer(
        title="What surprises depends on what was seen before",
        controls=[
            Control("sentence", "Sentence", tuple(SENTENCES), initial="an odd word"),
            Control("context", "Words seen before each", tuple(CONTEXTS), initial="all"),
            Control("seed", "Seed of the reader", SEEDS),
        ],
        compute=_read,
        view="surprisal",
        fixed={"base": published_reader().base},
    )
