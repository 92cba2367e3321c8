"""Text that every reader already has, and a small training loop."""

from scaling_transformers.training.corpora import Corpus, language_reference, python_library
from scaling_transformers.training.loop import sample_batch, token_losses, train, validation_loss
from scaling_transformers.training.loss import next_token_loss

__all__ = [
    "Corpus",
    "language_reference",
    "next_token_loss",
    "python_library",
    "sample_batch",
    "token_losses",
    "train",
    "validation_loss",
]
