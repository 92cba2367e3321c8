"""Linear layers that keep their weights as small whole numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling_transformers.efficiency._inputs import require_bits, require_group_size
from scaling_transformers.efficiency._modules import find
from scaling_transformers.efficiency.quantization import dequantize, quantize
from scaling_transformers.model import Transformer


class QuantizedLinear(nn.Module):
    """A linear layer whose weights are codes and scales; they become a matrix each time it is called.

    The bias, inputs and outputs keep their precision. Weights are rounded by
    `scaling_transformers.efficiency.quantize`; gradients reach the inputs and the bias, not the weights.
    """

    packed: Tensor  #: Codes of the weights, several in a byte.
    scales: Tensor

    def __init__(self, linear: nn.Linear, *, bits: int, group_size: int | None = None):
        super().__init__()
        weight = linear.weight.detach()
        # NumPy has no bfloat16; half precision is rounded from float32.
        exact = weight.to("cpu", torch.promote_types(weight.dtype, torch.float32)).numpy()
        quantized = quantize(exact, bits=bits, group_size=group_size)
        self.bits, self.shape, self.bias = quantized.bits, quantized.shape, linear.bias
        self.register_buffer("packed", torch.from_numpy(quantized.packed).to(weight.device))
        self.register_buffer("scales", torch.from_numpy(quantized.scales).to(weight))

    def forward(self, x: Tensor) -> Tensor:
        """The layer at ``x`` (..., d_in): (..., d_out)."""
        weight = dequantize(self.packed, self.scales, bits=self.bits, shape=self.shape)
        return F.linear(x, weight, self.bias)


def quantize_model(model: Transformer, *, bits: int, group_size: int | None = None) -> Transformer:
    """Quantise the weights of every linear layer in the blocks, in place.

    Embeddings, norms, biases and the unembedding, which is the embedding where ``tie_embeddings``, keep their
    precision. So do low-rank updates (`scaling_transformers.efficiency.lora`), which then stand beside
    quantised weights. The memory falls to `scaling_transformers.efficiency.quantized_bytes`; no time is won,
    for the products are those of full weights.

    Parameters
    ----------
    bits : int
        Of a code, from 2 to 8.
    group_size : int, optional
        Columns that share a scale; divides the columns of every matrix. Default: a scale to a row.

    Returns
    -------
    Transformer
        The model itself.

    Raises
    ------
    ValueError
        If a number is out of range, or the model has no linear layer left to quantise.

    Source: Dettmers et al. 2022 (LLM.int8()), section 2 (absmax); Frantar et al. 2022 (GPTQ) for groups.
    """
    places = find(model, nn.Linear)
    if not places:
        raise ValueError("model must have linear layers in its blocks to quantise; it has none left")
    require_bits(bits)
    for _, _, linear in places:
        require_group_size(group_size, n_in=linear.in_features)
    for parent, name, linear in places:
        setattr(parent, name, QuantizedLinear(linear, bits=bits, group_size=group_size))
    return model
