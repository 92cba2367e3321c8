"""Fewer bytes and fewer trained parameters for the same model: low-rank updates, sharing, quantisation.

What is counted or rounded here needs no torch. The pieces that change a built model are in the modules
`lora`, `sharing` and `quantized_linear` of this package, which import torch.
"""

from scaling_transformers.efficiency.counts import lora_parameters, quantized_bytes, shared_parameters
from scaling_transformers.efficiency.quantization import QuantizedWeight, quantize

__all__ = ["QuantizedWeight", "lora_parameters", "quantize", "quantized_bytes", "shared_parameters"]
