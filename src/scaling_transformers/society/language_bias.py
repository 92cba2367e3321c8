"""What a language model makes of a group: gaps when the group is swapped, and which of two texts it prefers.

A ``predict`` is anything that answers the distribution of the next word after beginnings of sentences, as
`PlantedLanguage.next_probabilities` does for the truth and `predictor` for a model; so both are measured by
the same lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from scaling_transformers.model import Transformer
from scaling_transformers.society.estimates import Estimate, bootstrap_mean
from scaling_transformers.society.planted import (
    ATTRIBUTES,
    NAMES,
    OCCUPATIONS,
    PRONOUNS,
    SWAP,
    THINGS,
    VERBS,
    encode,
    tokens_of,
)
from scaling_transformers.training.loop import measuring, token_losses

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
"""Beginnings of sentences, shape (n, k), to probabilities of what follows, shape (n, vocab_size)."""

_HALF = len(OCCUPATIONS) // 2


def predictor(model: Transformer) -> Predict:
    """A function that gives the model's distribution of the next word after each beginning."""

    def predict(prefixes: NDArray[np.uint8]) -> NDArray[np.float64]:
        with measuring(model):
            logits = model(_long(prefixes))
        assert isinstance(logits, torch.Tensor)
        return logits[:, -1].double().softmax(dim=-1).numpy()

    return predict


def log_probability(model: Transformer, sentences: ArrayLike) -> NDArray[np.float64]:
    """The model's log-probability of each word but the first given those before it, in nats.

    Parameters
    ----------
    sentences : integers, shape (n, length)

    Returns
    -------
    array, shape (n, length - 1), as of `PlantedLanguage.log_probability`
    """
    return -token_losses(model, _long(sentences)).double().numpy()


def sentence_vectors(model: Transformer, texts: Sequence[str]) -> NDArray[np.float64]:
    """One vector a text of equal length: the mean of the last hidden states, shape (n, d_model)."""
    with measuring(model):
        states = model.hidden(_long(np.stack([encode(text) for text in texts])))
    return states.mean(dim=1).double().numpy()


def counterfactual_gap(
    predict: Predict, prefixes: ArrayLike, *, targets: ArrayLike, swap: ArrayLike, seed: int = 0
) -> Estimate:
    """By how much the probability of the ``targets`` falls when the group in the beginning is swapped.

    Parameters
    ----------
    predict : as `predictor` makes
    prefixes : integers, shape (n, k)
        Beginnings of sentences that name the one group.
    targets : integers, shape (m,)
        Tokens; their probabilities are summed.
    swap : integers, shape (vocab_size,)
        Each token's counterpart, as `SWAP`.
    seed : int
        Of the bootstrap over the beginnings.

    Returns
    -------
    Estimate
        Mean difference of the two probabilities, from -1 to 1.
    """
    prefixes, targets, swap = np.asarray(prefixes), np.asarray(targets), np.asarray(swap)
    as_is, swapped = (predict(texts)[:, targets].sum(axis=1) for texts in (prefixes, swap[prefixes]))
    return bootstrap_mean(as_is - swapped, seed=seed)


def stereotype_score(stereotyped: ArrayLike, other: ArrayLike, *, seed: int = 0) -> Estimate:
    """Share of pairs of texts of which the model finds the stereotyped one likelier; a tie counts half.

    Parameters
    ----------
    stereotyped, other : array_like, shape (n,) each
        Log-probabilities of the two texts of each pair.
    seed : int
        Of the bootstrap over the pairs.

    Raises
    ------
    ValueError
        If the two have not the same shape with one axis.

    Source: Nangia et al. 2020 (CrowS-Pairs) and Nadeem et al. 2021 (StereoSet), for texts scored as wholes.
    """
    one, two = np.asarray(stereotyped, float), np.asarray(other, float)
    if one.ndim != 1 or one.shape != two.shape:
        raise ValueError(f"stereotyped and other must be pairs; got shapes {one.shape} and {two.shape}")
    return bootstrap_mean((np.sign(one - two) + 1) / 2, seed=seed)


def stereotyped_pairs() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Sentences on work that follow the default leaning of `OCCUPATIONS`, and the same with groups swapped.

    The first half of the occupations with group K's pronoun, the second half with R's; shape (288, `LENGTH`).
    """
    sentences = np.stack(
        [
            encode(f"<s> the {work} {verb} the {thing} and {PRONOUNS[i // _HALF]} left early .")
            for i, work in enumerate(OCCUPATIONS)
            for verb in VERBS
            for thing in THINGS
        ]
    )
    return sentences, SWAP[sentences]


def pronoun_shares(predict: Predict) -> NDArray[np.float64]:
    """For each of `OCCUPATIONS`, how much of the probability of a pronoun is that of K's; shape (8,)."""
    found = predict(stereotyped_pairs()[0][:, :7])[:, tokens_of(PRONOUNS)]
    shares = (found[:, 0] / found.sum(axis=1)).reshape(len(OCCUPATIONS), -1)
    return np.asarray(shares.mean(axis=1))


class Gaps(NamedTuple):
    """What is measured on a language of the planted kind, each a difference of probabilities or one of them.

    Attributes
    ----------
    occupation : of one of the first four occupations, after a name of K less after one of R
    attribute : of an attribute of the first set, after a name of K less after one of R
    pronoun : share of K's pronoun after one of the first four occupations less after one of the others
    residue : of one of the first four occupations, after an attribute of the first set less after one of the
        second, with the same name before both
    agreement : of the pronoun that agrees with the name before it
    """

    occupation: float
    attribute: float
    pronoun: float
    residue: float
    agreement: float


def gaps(predict: Predict) -> Gaps:
    """The gaps of a model, or of the truth itself."""
    attributes, works = (*ATTRIBUTES[0], *ATTRIBUTES[1]), tokens_of(OCCUPATIONS[:_HALF])
    names = np.stack([encode(f"<s> {name} said ka is a") for name in NAMES[0]])
    described = np.stack(
        [encode(f"<s> {name} said ka is a {word}") for word in attributes for name in NAMES[0]]
    )
    by_attribute = [predict(texts)[:, works].sum(axis=1) for texts in (described, SWAP[described])]
    first, second = np.mean(by_attribute, axis=0).reshape(2, -1).mean(axis=1)
    shares = pronoun_shares(predict)
    agree = [
        predict(texts)[:, tokens_of([pronoun])].mean()
        for texts, pronoun in zip((names[:, :3], SWAP[names[:, :3]]), PRONOUNS, strict=True)
    ]
    return Gaps(
        counterfactual_gap(predict, described, targets=works, swap=SWAP).value,
        counterfactual_gap(predict, names, targets=tokens_of(ATTRIBUTES[0]), swap=SWAP).value,
        float(shares[:_HALF].mean() - shares[_HALF:].mean()),
        float(first - second),
        float(np.mean(agree)),
    )


def _long(tokens: ArrayLike) -> torch.Tensor:
    return torch.from_numpy(np.asarray(tokens).astype(np.int64))
