"""How much each word of a text surprises a language model: minus the logarithm of its probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from scaling_transformers.cognition.language_model import START, LanguageModel
from scaling_transformers.model import Transformer

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WordSurprisal:
    """The words of a text, and what the model expected of each.

    Attributes
    ----------
    words : what stands between white space, in order
    nats : minus the natural logarithm of the word's probability after all words before it, shape (n_word,)
    entropy : of the model's next token just before the word, in nats, shape (n_word,)
    n_tokens : tokens that the word has, with the white space before it, shape (n_word,)
    """

    words: tuple[str, ...]
    nats: Floats
    entropy: Floats
    n_tokens: NDArray[np.int64]

    @property
    def bits(self) -> Floats:
        """Surprisal in bits: 1 where the model gave the word one chance in two."""
        return np.asarray(self.nats / np.log(2))


def word_surprisal(language_model: LanguageModel, text: str, *, before: str = START) -> WordSurprisal:
    """Surprisal of every word of a text.

    A word is what stands between white space, with its punctuation. The white space before it belongs to it.
    Its surprisal is the sum over its tokens, since the logarithm of a product is a sum. Of a text longer than
    the context the model sees, for each word, half a context at least.

    Parameters
    ----------
    before : text that the model has read before the first word; at least one token

    Raises
    ------
    ValueError
        If the text has no word, or ``before`` is empty.

    Source: Hale 2001 and Levy 2008 for surprisal as the measure of a word's difficulty.
    """
    words = tuple(text.split())
    if not words:
        raise ValueError(f"text must have a word; got {text!r}")
    if not before:
        raise ValueError("before must have at least one token: no first token has a probability; got ''")
    given = language_model.encode(before)[0]
    tokens = torch.cat([given, language_model.encode(text.strip())[0]])
    nats, entropy = token_surprisal(language_model.model, tokens)
    nats, entropy = nats[len(given) - 1 :], entropy[len(given) - 1 :]
    ends = np.cumsum([len(piece) for piece in language_model.pieces(tokens[len(given) :])])
    owner = np.searchsorted(_word_ends(text.strip()), ends)  # the first word that ends at or after the token
    first = np.searchsorted(owner, np.arange(len(words)))
    return WordSurprisal(
        words,
        np.asarray(np.bincount(owner, weights=nats, minlength=len(words)), dtype=np.float64),
        entropy[first],
        np.bincount(owner, minlength=len(words)),
    )


@torch.no_grad()
def token_surprisal(model: Transformer, tokens: Tensor) -> tuple[Floats, Floats]:
    """Surprisal of each token but the first, and the entropy of what the model expected there.

    Windows of a whole context overlap by half: of each but the first, the second half counts.

    Parameters
    ----------
    tokens : shape (n,), at least two

    Returns
    -------
    two arrays of shape (n - 1,), in nats

    Raises
    ------
    ValueError
        If there are fewer than two tokens, or more than one axis.
    """
    if tokens.ndim != 1 or len(tokens) < 2:
        raise ValueError(f"tokens must be two or more on one axis; got shape {tuple(tokens.shape)}")
    n_ctx = model.config.n_ctx
    step = max(1, n_ctx // 2)
    surprisals, entropies, done = [], [], 0
    for begin in range(0, len(tokens), step):
        window = tokens[begin : begin + n_ctx + 1]
        logs = F.log_softmax(model(window[None, :-1])[0].double(), dim=-1)
        fresh = slice(done - begin, None)
        surprisals.append(-logs.gather(1, window[1:, None])[fresh, 0])
        entropies.append(-(logs.exp() * logs).sum(dim=1)[fresh])
        done = begin + len(window) - 1
        if done == len(tokens) - 1:
            break
    return torch.cat(surprisals).numpy(), torch.cat(entropies).numpy()


def _word_ends(text: str) -> NDArray[np.int64]:
    """Bytes up to the end of each word of a text without white space at its ends."""
    ends, place = [], 0
    for word in text.split():
        place = text.index(word, place) + len(word)
        ends.append(len(text[:place].encode()) if not text.isascii() else place)
    return np.array(ends)
