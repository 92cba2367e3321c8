"""The book's own small reader of English: a decoder trained on library prose, shipped with three seeds."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scaling_transformers.config import TransformerConfig
from scaling_transformers.model import Transformer
from scaling_transformers.training import byte_pairs
from scaling_transformers.training.record import read_record, read_table, shipped
from scaling_transformers.training.weights import load_weights

SEEDS = (0, 1, 2)
CONFIG = TransformerConfig(
    4,
    128,
    4,
    vocab_size=1024,
    n_ctx=256,
    d_ff=256,
    activation="swiglu",
    norm="rmsnorm",
    position="rotary",
    bias=False,
)
START = "\n\n"
"""What stands before every paragraph of the training text: the context of a text's first word."""


@dataclass(frozen=True)
class LanguageModel:
    """A trained decoder with the tokenizer it reads through.

    Attributes
    ----------
    model : in evaluation mode
    tokenizer : JSON of the byte pairs; None where a token is a byte
    """

    model: Transformer
    tokenizer: str | None = None

    @property
    def n_ctx(self) -> int:
        """Tokens that the model sees at once."""
        return self.model.config.n_ctx

    def encode(self, text: str) -> Tensor:
        """A text as tokens, shape (1, n)."""
        content = text.encode()
        if self.tokenizer is None:
            return torch.tensor([list(content)])
        tokens = byte_pairs.encode(content, tokenizer=self.tokenizer)
        return torch.from_numpy(tokens.astype(np.int64))[None]

    def decode(self, tokens: Tensor) -> str:
        """The text of tokens of any shape, read in order; broken UTF-8 is replaced."""
        return b"".join(self.pieces(tokens)).decode(errors="replace")

    def pieces(self, tokens: Tensor) -> list[bytes]:
        """The bytes of each token, of tokens of any shape read in order."""
        numbers = tokens.flatten().tolist()
        if self.tokenizer is None:
            return [bytes([number]) for number in numbers]
        known = byte_pairs.vocabulary(self.tokenizer)
        return [known[number] for number in numbers]


def load_language_model(seed: int = 0, *, folder: Traversable | None = None) -> LanguageModel:
    """The shipped model of a seed, ready for evaluation.

    Parameters
    ----------
    folder : where `scaling_transformers.cognition.model_runs` wrote others; the shipped ones by default

    Raises
    ------
    ValueError
        If there is no model of this seed.
    """
    source = folder or shipped("cognition")
    path = source / weights_name(seed)
    if not path.is_file():
        raise ValueError(f"seed must be one of {SEEDS}; got {seed!r}")
    return LanguageModel(
        load_weights(Transformer(CONFIG), path), (source / "tokenizer.json").read_text("utf-8")
    )


def record() -> dict[str, Any]:
    """On what, when and where the models were trained, and the losses they ended with."""
    return read_record(shipped("cognition"))


def history() -> NDArray[Any]:
    """The training runs as a structured array: ``seed``, ``step`` and what was measured there.

    ``loss_text``: validation loss, in nats per token; ``loss_first``, ``loss_repeat``: loss on random strings
    the first time and when they come again; ``induction``, ``previous``: the largest score of any head.
    """
    return read_table(shipped("cognition") / "history.csv")


def weights_name(seed: int) -> str:
    """The file of a seed's weights."""
    return f"weights_{seed}.npz"
