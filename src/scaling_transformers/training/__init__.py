"""Text that every reader already has, and a small training loop."""

from scaling_transformers.training.byte_pairs import nats_per_byte, with_byte_pairs
from scaling_transformers.training.corpora import (
    Corpus,
    folder,
    hugging_face,
    language_reference,
    python_library,
)
from scaling_transformers.training.loop import rate_factor, sample_batch, token_losses, train, validation_loss
from scaling_transformers.training.loss import exit_loss, next_token_loss
from scaling_transformers.training.prose import library_prose
from scaling_transformers.training.stacked import train_stacked

__all__ = [
    "Corpus",
    "exit_loss",
    "folder",
    "hugging_face",
    "language_reference",
    "library_prose",
    "nats_per_byte",
    "next_token_loss",
    "python_library",
    "rate_factor",
    "sample_batch",
    "token_losses",
    "train",
    "train_stacked",
    "validation_loss",
    "with_byte_pairs",
]
