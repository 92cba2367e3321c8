"""Text that every reader already has, and a small training loop."""

from scaling_transformers.training.corpora import Corpus, python_library
from scaling_transformers.training.loop import sample_batch, token_losses, train, validation_loss

__all__ = ["Corpus", "python_library", "sample_batch", "token_losses", "train", "validation_loss"]
