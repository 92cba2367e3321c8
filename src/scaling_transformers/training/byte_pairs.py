"""A text in tokens of several bytes: byte-pair encoding, and losses that compare across encodings.

Each byte is read as the Latin-1 character of the same number. So any bytes at all, UTF-8 or not, come back
from their tokens as they were, and the first 256 tokens are the bytes themselves.

Source: Sennrich, Haddow and Birch 2016, section 3.2, for the merges; Radford et al. 2019, section 2.2, for
merging bytes, and for not merging across kinds of character.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers.attention.masks import require_count
from scaling_transformers.training.corpora import Corpus

# A word, a number, or signs, each with the one space before it; or white space. All bytes beyond ASCII count
# as letters, so that a word in another script is one piece. No token reaches across two pieces.
PIECE = " ?[A-Za-z\x80-\xff]+| ?[0-9]+| ?[^ \t\n\r\f\vA-Za-z0-9\x80-\xff]+|[ \t\n\r\f\v]+"


def with_byte_pairs(corpus: Corpus, *, vocab_size: int) -> Corpus:
    """The same text in tokens of one byte and more, learned from its training part alone.

    Starting from the 256 bytes, the pair of tokens that stands side by side most often becomes a token of its
    own, again and again, until there are ``vocab_size``. The same text gives the same tokens.

    Parameters
    ----------
    vocab_size : more than 256; whether there are enough pairs depends on the text

    Returns
    -------
    Corpus
        Token numbers as ``uint16``, or ``uint32`` beyond 65,536; ``tokenizer`` is the JSON that the package
        ``tokenizers`` reads; ``bytes_per_token`` is measured on the validation part.

    Raises
    ------
    ValueError
        If ``corpus`` is not in bytes, one part is empty, ``vocab_size`` is no whole number above 256, or the
        text has too few pairs to merge.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    require_count(vocab_size=vocab_size)
    if vocab_size <= 256:
        raise ValueError(f"vocab_size must be above 256, the number of bytes; got {vocab_size!r}")
    if corpus.tokenizer is not None or not len(corpus.train) or not len(corpus.validation):
        raise ValueError(f"corpus must hold two parts in bytes; got {corpus.name!r}")
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.Split(Regex(PIECE), "isolated")
    model.decoder = decoders.Fuse()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=[chr(byte) for byte in range(256)], show_progress=False
    )
    model.train_from_iterator([corpus.train.tobytes().decode("latin-1")], trainer)
    if model.get_vocab_size() < vocab_size:
        found = model.get_vocab_size()
        raise ValueError(f"vocab_size must be at most {found} for {corpus.name!r}; got {vocab_size!r}")
    tokenizer = model.to_str()
    train, validation = (
        encode(part.tobytes(), tokenizer=tokenizer) for part in (corpus.train, corpus.validation)
    )
    return replace(
        corpus,
        train=train,
        validation=validation,
        name=f"{corpus.name}, in {vocab_size:,} byte pairs",
        sha256=hashlib.sha256(train.tobytes() + validation.tobytes()).hexdigest(),
        vocab_size=vocab_size,
        bytes_per_token=len(corpus.validation) / len(validation),
        tokenizer=tokenizer,
    )


def encode(text: bytes, *, tokenizer: str) -> NDArray[Any]:
    """Token numbers of any bytes, with the ``tokenizer`` of a corpus.

    Each distinct piece of the text is encoded once, which is many times faster than piece by piece.
    """
    from tokenizers import Tokenizer

    model = Tokenizer.from_str(tokenizer)
    number: dict[bytes, int] = {}
    pieces = re.findall(PIECE.encode("latin-1"), text)
    order = np.array([number.setdefault(piece, len(number)) for piece in pieces], dtype=np.int64)
    found = [item.ids for item in model.encode_batch_fast([piece.decode("latin-1") for piece in number])]
    dtype = np.uint16 if model.get_vocab_size() <= 2**16 else np.uint32
    tokens = np.array([token for ids in found for token in ids], dtype=dtype)
    size = np.array([len(ids) for ids in found], dtype=np.int64)
    begin, sizes = (np.cumsum(size) - size)[order], size[order]  # of each piece of the text, within tokens
    written = np.cumsum(sizes) - sizes  # before each piece
    return np.asarray(tokens[np.arange(sizes.sum()) + np.repeat(begin - written, sizes)])


def decode(tokens: Iterable[int], *, tokenizer: str) -> bytes:
    """The bytes that the tokens stand for; ``decode(encode(text)) == text`` for any bytes."""
    from tokenizers import Tokenizer

    text: str = Tokenizer.from_str(tokenizer).decode([int(token) for token in tokens])
    return text.encode("latin-1")


@lru_cache(maxsize=8)
def vocabulary(tokenizer: str) -> tuple[bytes, ...]:
    """The bytes that each token stands for, in the order of their numbers."""
    numbers = json.loads(tokenizer)["model"]["vocab"]
    return tuple(text.encode("latin-1") for text in sorted(numbers, key=numbers.__getitem__))


def nats_per_byte(loss: ArrayLike, *, bytes_per_token: float) -> NDArray[np.float64]:
    """A loss in nats per token as nats per byte, which compares across vocabularies.

    A model that is better by this measure gives the same text a higher probability, whatever its tokens.

    >>> float(nats_per_byte(3.0, bytes_per_token=2.5))
    1.2

    Raises
    ------
    ValueError
        If ``bytes_per_token`` is not at least 1.
    """
    if not 1 <= bytes_per_token < np.inf:
        raise ValueError(f"bytes_per_token must be at least 1 and finite; got {bytes_per_token!r}")
    return np.asarray(loss, dtype=np.float64) / bytes_per_token
