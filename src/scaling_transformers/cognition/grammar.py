"""Sentence pairs that differ in one point of grammar, and which of the two surprises a model less.

The sentences were written for this book, in the manner of the technical prose that its model has read. Each
kind has a template or two, filled with the same words on both sides.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scaling_transformers.cognition.language_model import LanguageModel
from scaling_transformers.cognition.surprisal import word_surprisal


class Pair(NamedTuple):
    """A ``good`` (grammatical) sentence, and a ``bad`` one that differs from it in one point."""

    good: str
    bad: str


class GardenPath(NamedTuple):
    """A sentence that leads astray without its comma, and the word at which its reader turns back.

    ``with_comma`` does not lead astray, ``without`` does. ``word`` is the place of the turn in both, from
    0 on.
    """

    with_comma: str
    without: str
    word: int


_NOUNS = ("function", "method", "object", "parser", "server", "module", "window", "test")
_PLACES = ("file", "list", "class", "option")


def sentence_pairs() -> dict[str, tuple[Pair, ...]]:
    """All pairs by the point of grammar in which they differ, sixteen of each."""
    return {
        "a or an": tuple(
            Pair(f"This is {right} {noun} that can be used.", f"This is {wrong} {noun} that can be used.")
            for nouns, right, wrong in (
                (
                    ("object", "index", "error", "exception", "array", "option", "empty list", "integer"),
                    "an",
                    "a",
                ),
                (("function", "list", "method", "class", "number", "string", "new list", "value"), "a", "an"),
            )
            for noun in nouns
        ),
        "this or these": tuple(
            pair
            for noun in _NOUNS
            for pair in (
                Pair(f"The result of this {noun} is not used.", f"The result of these {noun} is not used."),
                Pair(f"The result of these {noun}s is not used.", f"The result of this {noun}s is not used."),
            )
        ),
        "agreement, next word": tuple(
            pair
            for noun in _NOUNS
            for pair in (
                Pair(f"The {noun} is called with a list.", f"The {noun} are called with a list."),
                Pair(f"The {noun}s are called with a list.", f"The {noun}s is called with a list."),
            )
        ),
        "agreement, past another noun": tuple(
            pair
            for noun, place in zip(_NOUNS, 2 * _PLACES, strict=True)
            for pair in (
                Pair(
                    f"The {noun} of the {place}s is not changed.",
                    f"The {noun} of the {place}s are not changed.",
                ),
                Pair(
                    f"The {noun}s of the {place} are not changed.",
                    f"The {noun}s of the {place} is not changed.",
                ),
            )
        ),
        "form of the verb": tuple(
            pair
            for noun in _NOUNS
            for pair in (
                Pair(f"The {noun} can be used here.", f"The {noun} can been used here."),
                Pair(f"The {noun} has been used here.", f"The {noun} has be used here."),
            )
        ),
        "order of words": tuple(
            pair
            for noun in _NOUNS
            for pair in (
                Pair(
                    f"If the {noun} does not exist, do nothing.", f"If the {noun} not does exist, do nothing."
                ),
                Pair(f"The name of the {noun} is given.", f"The name the of {noun} is given."),
            )
        ),
        "ever needs a no": tuple(
            pair
            for noun in _NOUNS
            for pair in (
                Pair(f"No {noun} was ever called.", f"The {noun} was ever called."),
                Pair(f"None of the {noun}s has ever changed.", f"One of the {noun}s has ever changed."),
            )
        ),
    }


def garden_paths() -> tuple[GardenPath, ...]:
    """Twelve sentences whose noun looks like the object of the verb before it, and is the next subject.

    A sentence of this shape: ``While the program reads the file is closed.``
    """
    found = []
    for subject, verb in (
        ("program", "reads"),
        ("user", "writes"),
        ("parser", "checks"),
        ("server", "calls"),
    ):
        for noun, turn in (
            ("file", "is closed."),
            ("value", "must be changed."),
            ("function", "can be used."),
        ):
            start = f"While the {subject} {verb}"
            end = f"the {noun} {turn}"
            found.append(GardenPath(f"{start}, {end}", f"{start} {end}", 6))
    return tuple(found)


def prefers_good(language_model: LanguageModel, pairs: tuple[Pair, ...]) -> NDArray[np.bool_]:
    """For each pair, whether the grammatical sentence as a whole surprises less, shape (n_pair,).

    Source: Warstadt et al. 2020 for the test.
    """
    totals = [[word_surprisal(language_model, each).nats.sum() for each in pair] for pair in pairs]
    return np.array([good < bad for good, bad in totals])


def garden_path_cost(language_model: LanguageModel, items: tuple[GardenPath, ...]) -> NDArray[np.float64]:
    """For each sentence, the bits by which its turn surprises more without the comma, shape (n_item,)."""
    return np.array(
        [
            word_surprisal(language_model, item.without).bits[item.word]
            - word_surprisal(language_model, item.with_comma).bits[item.word]
            for item in items
        ]
    )
