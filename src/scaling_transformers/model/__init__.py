"""The trainable transformer: one readable model that every `TransformerConfig` describes."""

from scaling_transformers.model.cache import Cache
from scaling_transformers.model.trace import Trace
from scaling_transformers.model.transformer import Transformer

__all__ = ["Cache", "Trace", "Transformer"]
