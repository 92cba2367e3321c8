"""A small language whose bias is planted: what a text says of two groups is known exactly.

The groups, K and R, are invented, and so are their names and pronouns: nothing here is a statement on people.
Every sentence has `LENGTH` words and is of one of three kinds:

- work: ``the baker opened the door and ka left early .``
- name: ``kano said ka is a calm baker here today .``
- thing: ``the grey box is by the cart and fell .``
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers.attention.masks import require_count

NAMES = (
    ("kano", "kebi", "kilu", "koma", "kuri", "kyda"),
    ("rano", "rebi", "rilu", "roma", "ruri", "ryda"),
)
PRONOUNS = ("ka", "ru")
OCCUPATIONS = ("baker", "carver", "dyer", "farmer", "glazier", "mason", "potter", "weaver")
ATTRIBUTES = (("calm", "gentle", "patient", "warm"), ("bold", "brisk", "firm", "proud"))
VERBS = ("opened", "closed", "moved", "washed", "lifted", "painted")
THINGS = ("door", "box", "table", "window", "cart", "chest")
COLOURS = ("blue", "green", "grey", "red")
LENGTH = 11
WORDS = (
    *("<s>", "the", "and", "said", "is", "a", "here", "today", "left", "early", "by", "fell", "."),
    *OCCUPATIONS,
    *NAMES[0],
    *NAMES[1],
    *PRONOUNS,
    *ATTRIBUTES[0],
    *ATTRIBUTES[1],
    *VERBS,
    *THINGS,
    *COLOURS,
)
"""The vocabulary; a word's token is its place."""

KINDS = ("work", "name", "thing")
OCCUPATION_SHARES = (0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1)
ATTRIBUTE_SHARES = (0.8, 0.2)
KIND_SHARES = (0.4, 0.35, 0.25)
_TOKEN = {word: token for token, word in enumerate(WORDS)}


def tokens_of(words: Sequence[str]) -> NDArray[np.uint8]:
    """Tokens of words.

    Raises
    ------
    ValueError
        If a word is not one of `WORDS`.
    """
    if unknown := [word for word in words if word not in _TOKEN]:
        raise ValueError(f"words must be of the planted language; got {unknown[0]!r}")
    return np.array([_TOKEN[word] for word in words], dtype=np.uint8)


def encode(text: str) -> NDArray[np.uint8]:
    """Tokens of a text, its words set apart by spaces; errors as of `tokens_of`.

    Examples
    --------
    >>> decode(encode("<s> kano said ka is a calm baker"))
    '<s> kano said ka is a calm baker'
    """
    return tokens_of(text.split())


def decode(tokens: ArrayLike) -> str:
    """The words of tokens, with spaces between them."""
    return " ".join(WORDS[token] for token in np.asarray(tokens).ravel())


def _swapped() -> NDArray[np.uint8]:
    table = np.arange(len(WORDS), dtype=np.uint8)
    first, second = (tokens_of([*names, pronoun]) for names, pronoun in zip(NAMES, PRONOUNS, strict=True))
    table[first], table[second] = second, first
    return table


SWAP = _swapped()
"""Each token's counterpart: ``SWAP[tokens]`` has the names and pronouns of the other group."""


@dataclass(frozen=True)
class PlantedLanguage:
    """A mixture of kinds of sentences: given the component, each place has its own distribution of words.

    Attributes
    ----------
    weights : probabilities of the components, shape (n_component,)
    tables : probabilities of the words, shape (n_component, `LENGTH`, number of `WORDS`)

    All dependence between words passes through the component, so that every probability of a sentence, or of
    what follows its beginning, is a sum over a handful of components.
    """

    weights: NDArray[np.float64]
    tables: NDArray[np.float64]

    def sentences(self, n: int, *, seed: int) -> NDArray[np.uint8]:
        """``n`` sentences drawn from the language, tokens of shape (n, `LENGTH`)."""
        require_count(n=n)
        generator = np.random.default_rng(seed)
        component = generator.choice(len(self.weights), size=n, p=self.weights)
        edges = self.tables.cumsum(axis=-1)
        edges /= edges[..., -1:]  # so that rounding leaves no gap at the top
        draws = generator.random((n, LENGTH))
        places = [(edges[component, place] <= draws[:, place, None]).sum(axis=1) for place in range(LENGTH)]
        return np.stack(places, axis=1).astype(np.uint8)

    def log_probability(self, sentences: ArrayLike) -> NDArray[np.float64]:
        """Exact log-probability of each word but the first given those before it, in nats.

        Parameters
        ----------
        sentences : integers, shape (n, `LENGTH`) or less long

        Returns
        -------
        array, shape (n, length - 1)

        Raises
        ------
        ValueError
            If a sentence cannot occur.
        """
        prefixes = self._joint(sentences).sum(axis=0)
        if not (prefixes[:, -1] > 0).all():
            impossible = np.asarray(sentences)[np.flatnonzero(prefixes[:, -1] <= 0)[0]]
            raise ValueError(f"sentences must be possible; got {decode(impossible)!r}")
        logs = np.log(prefixes)
        return np.asarray(logs[:, 1:] - logs[:, :-1])

    def next_probabilities(self, prefixes: ArrayLike) -> NDArray[np.float64]:
        """Exact distribution of the word that follows each beginning of a sentence.

        Parameters
        ----------
        prefixes : integers, shape (n, k), with ``1 <= k < LENGTH``

        Returns
        -------
        array, shape (n, number of `WORDS`)

        Raises
        ------
        ValueError
            If a beginning cannot occur, or is a whole sentence.
        """
        prefixes = np.asarray(prefixes)
        if prefixes.ndim != 2 or not 1 <= prefixes.shape[1] < LENGTH:
            raise ValueError(f"prefixes must have 1 to {LENGTH - 1} words; got shape {prefixes.shape}")
        joint = self._joint(prefixes)[:, :, -1]
        if not (joint.sum(axis=0) > 0).all():
            impossible = prefixes[np.flatnonzero(joint.sum(axis=0) <= 0)[0]]
            raise ValueError(f"prefixes must be possible; got {decode(impossible)!r}")
        posterior = joint / joint.sum(axis=0)
        return np.asarray(posterior.T @ self.tables[:, prefixes.shape[1]])

    def augmented(self) -> PlantedLanguage:
        """The language of a text to which each sentence was added again with its groups swapped."""
        swapped = self.tables[..., SWAP]
        return PlantedLanguage(np.tile(self.weights / 2, 2), np.concatenate([self.tables, swapped]))

    def _joint(self, prefixes: ArrayLike) -> NDArray[np.float64]:
        """Probability of component and first words, shape (n_component, n, length)."""
        tokens = np.asarray(prefixes)
        if tokens.ndim != 2 or not 1 <= tokens.shape[1] <= LENGTH:
            raise ValueError(f"sentences must have 1 to {LENGTH} words each; got shape {tokens.shape}")
        at_place = self.tables[:, np.arange(tokens.shape[1]), tokens]
        return np.asarray(self.weights[:, None, None] * at_place.cumprod(axis=-1))


def planted_language(
    *,
    occupation_shares: Sequence[float] = OCCUPATION_SHARES,
    attribute_shares: tuple[float, float] = ATTRIBUTE_SHARES,
    kind_shares: tuple[float, float, float] = KIND_SHARES,
) -> PlantedLanguage:
    """The language with the bias that is asked for.

    A sentence on somebody has an occupation, each as often as the others, and the group of who it is, given
    the occupation. Sentences with a name also have an attribute of one of two sets, given the group alone.
    Names and pronouns agree always.

    Parameters
    ----------
    occupation_shares : eight numbers between 0 and 1
        Of those with each of `OCCUPATIONS`, how many are of group K.
    attribute_shares : two numbers between 0 and 1
        Of group K and of group R, how many have an attribute of the first of the two sets `ATTRIBUTES`.
    kind_shares : three numbers above 0 that sum to 1
        Of sentences of each of `KINDS`.

    Raises
    ------
    ValueError
        If a number is outside what is said above, or there are too few or too many.

    Examples
    --------
    >>> language = planted_language(occupation_shares=[0.9] + 7 * [0.5])
    >>> after = language.next_probabilities([encode("<s> the baker opened the door and")])[0]
    >>> print(f"{after[tokens_of(['ka'])][0]:.2f}")
    0.90
    """
    shares, kinds = np.asarray(occupation_shares, float), np.asarray(kind_shares, float)
    attributes = np.asarray(attribute_shares, float)
    for name, values, n in (
        ("occupation_shares", shares, len(OCCUPATIONS)),
        ("attribute_shares", attributes, 2),
        ("kind_shares", kinds, len(KINDS)),
    ):
        if values.shape != (n,) or not ((values > 0) & (values < 1)).all():
            raise ValueError(f"{name} must be {n} numbers between 0 and 1; got {values.tolist()}")
    if not np.isclose(kinds.sum(), 1.0):
        raise ValueError(f"kind_shares must sum to 1; got {kinds.tolist()}")
    joint = np.stack([shares, 1 - shares]) / len(OCCUPATIONS)  # of group and occupation
    group = joint.sum(axis=1)
    weights, tables = [], []
    verb, thing, colour = _spread(VERBS), _spread(THINGS), _spread(COLOURS)
    described = (*ATTRIBUTES[0], *ATTRIBUTES[1])
    for g in range(2):
        occupation = _spread(OCCUPATIONS, joint[g] / group[g])
        attribute = _spread(described, np.repeat([attributes[g], 1 - attributes[g]], 4) / 4)
        who, pronoun = _spread(NAMES[g]), PRONOUNS[g]
        weights += [kinds[0] * group[g], kinds[1] * group[g]]
        tables += [
            _table("<s>", "the", occupation, verb, "the", thing, "and", pronoun, "left", "early", "."),
            _table("<s>", who, "said", pronoun, "is", "a", attribute, occupation, "here", "today", "."),
        ]
    weights.append(kinds[2])
    tables.append(_table("<s>", "the", colour, thing, "is", "by", "the", thing, "and", "fell", "."))
    return PlantedLanguage(np.array(weights) / np.sum(weights), np.stack(tables))


def without_bias(
    *,
    occupation_shares: Sequence[float] = OCCUPATION_SHARES,
    attribute_shares: tuple[float, float] = ATTRIBUTE_SHARES,
    kind_shares: tuple[float, float, float] = KIND_SHARES,
) -> PlantedLanguage:
    """The language of `planted_language` with the same words as often, but group, work and attribute apart.

    Parameters, errors: as for `planted_language`.
    """
    group = float(np.mean(occupation_shares))
    first = group * attribute_shares[0] + (1 - group) * attribute_shares[1]
    return planted_language(
        occupation_shares=[group] * len(OCCUPATIONS),
        attribute_shares=(first, first),
        kind_shares=kind_shares,
    )


def columns(sentences: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Group, occupation and set of the attribute of each sentence, as numbers; -1 where it has none.

    Shape of each: (n,). What a person who labels the texts would write down.
    """
    tokens = np.asarray(sentences)
    labels = []
    for names in (PRONOUNS, OCCUPATIONS, (*ATTRIBUTES[0], *ATTRIBUTES[1])):
        table = np.full(len(WORDS), -1)
        table[tokens_of(names)] = np.arange(len(names))
        labels.append(table[tokens].max(axis=1))
    group, occupation, attribute = labels
    return group, occupation, np.where(attribute < 0, -1, attribute // len(ATTRIBUTES[0]))


def _spread(words: Sequence[str], shares: ArrayLike | None = None) -> NDArray[np.float64]:
    """A distribution over the vocabulary: over some words, by default each as likely."""
    distribution = np.zeros(len(WORDS))
    distribution[tokens_of(words)] = 1 / len(words) if shares is None else shares
    return distribution


def _table(*places: str | NDArray[np.float64]) -> NDArray[np.float64]:
    """What may stand at each place of a sentence: a word, or a distribution; shape (`LENGTH`, words)."""
    return np.stack([_spread([place]) if isinstance(place, str) else place for place in places])
