"""The package behind *Scaling Transformers*: attention and scaling maths, each claim computed.

``import scaling_transformers`` loads neither torch nor NumPy; the packages below it load what they need.
"""

from scaling_transformers.config import TransformerConfig
from scaling_transformers.presets import preset

__all__ = ["TransformerConfig", "preset"]
