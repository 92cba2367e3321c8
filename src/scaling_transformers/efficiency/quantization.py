"""Weights as small whole numbers and a scale: the maths, in NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_transformers.attention._inputs import namespace
from scaling_transformers.efficiency._inputs import require_bits, require_group_size

Array = Any  # a NumPy array or a torch tensor


@dataclass(frozen=True)
class QuantizedWeight:
    """A matrix as whole numbers between ``-limit`` and ``limit = 2**(bits - 1) - 1``, times scales.

    Attributes
    ----------
    packed : uint8 array, shape (ceil(n_out * n_in * bits / 8),)
        The codes, each with ``limit`` added and in ``bits`` bits, row by row without a gap: at 4 bits two to
        a byte.
    scales : floating array, shape (n_out, n_group)
        Size of a step, for each row or for each group of columns in a row.
    bits : int
    shape : (n_out, n_in)
    """

    packed: NDArray[np.uint8]
    scales: NDArray[Any]
    bits: int
    shape: tuple[int, int]

    @property
    def codes(self) -> NDArray[np.int8]:
        """The whole numbers, shape (n_out, n_in)."""
        return np.asarray(unpack(self.packed, bits=self.bits, shape=self.shape), dtype=np.int8)

    def dequantize(self) -> NDArray[Any]:
        """The matrix that the codes stand for, shape (n_out, n_in)."""
        return np.asarray(dequantize(self.packed, self.scales, bits=self.bits, shape=self.shape))

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales."""
        return self.packed.nbytes + self.scales.nbytes


def quantize(weight: NDArray[Any], *, bits: int, group_size: int | None = None) -> QuantizedWeight:
    """Round a matrix to multiples of a step, chosen so that the largest entry of a row or group fits.

    The step is ``max |w| / (2**(bits - 1) - 1)``, so to rounding no entry is off by more than half of it.
    Zero stays zero; with 2 bits only zero and plus and minus the largest entry are left.

    Parameters
    ----------
    weight : floating array, shape (n_out, n_in)
    bits : int
        Of a code, from 2 to 8.
    group_size : int, optional
        Columns that share a scale; divides ``n_in``. Default: all columns of a row.

    Returns
    -------
    QuantizedWeight
        ``scales`` in the precision of ``weight``.

    Raises
    ------
    ValueError
        If ``weight`` is not a finite floating matrix, or a number is out of range.

    Examples
    --------
    >>> quantized = quantize(np.array([[0.7, -0.32, 0.04, 0.0]]), bits=4)
    >>> quantized.codes.tolist(), quantized.packed.nbytes
    ([[7, -3, 0, 0]], 2)

    Source: Dettmers et al. 2022 (LLM.int8()), section 2 (absmax); Frantar et al. 2022 (GPTQ) for groups.
    """
    bits = require_bits(bits)
    if not isinstance(weight, np.ndarray) or weight.ndim != 2 or not np.issubdtype(weight.dtype, np.floating):
        found = (weight.dtype, weight.shape) if isinstance(weight, np.ndarray) else type(weight)
        raise ValueError(f"weight must be a floating NumPy array with two axes; got {found}")
    if not weight.size or not np.isfinite(weight).all():
        raise ValueError(
            f"weight must be finite and not empty; got {weight.size} entries of shape {weight.shape}, "
            f"{np.count_nonzero(~np.isfinite(weight))} of them NaN or infinite"
        )
    n_out, n_in = weight.shape
    limit = 2 ** (bits - 1) - 1
    groups = weight.reshape(n_out, -1, require_group_size(group_size, n_in=n_in))
    scales = np.abs(groups).max(axis=-1) / weight.dtype.type(limit)
    scales[scales == 0] = 1.0  # a group of zeros
    codes = np.clip(np.rint(groups / scales[..., None]), -limit, limit)
    return QuantizedWeight(pack(codes.astype(np.int8), bits=bits), scales, bits, (n_out, n_in))


def pack(codes: NDArray[np.int8], *, bits: int) -> NDArray[np.uint8]:
    """Whole numbers between ``-limit`` and ``limit = 2**(bits - 1) - 1``, in ``bits`` bits each."""
    unsigned = (codes.ravel().astype(np.int16) + 2 ** (bits - 1) - 1).astype(np.uint8)
    return np.packbits(np.unpackbits(unsigned[:, None], axis=1)[:, 8 - bits :])


def unpack(packed: Array, *, bits: int, shape: tuple[int, int]) -> Array:
    """The whole numbers that `pack` was given, in the library of ``packed``; NumPy or torch."""
    xp = namespace(packed=packed)
    down = xp.arange(7, -1, -1, dtype=xp.uint8, device=packed.device)
    digits = ((packed[:, None] >> down) & 1).reshape(-1)[: math.prod(shape) * bits].reshape(-1, bits)
    limit, unsigned = 2 ** (bits - 1) - 1, digits[:, 0]
    for place in range(1, bits):
        unsigned = 2 * unsigned + digits[:, place]
    return xp.astype(unsigned, xp.int16).reshape(shape) - limit


def dequantize(packed: Array, scales: Array, *, bits: int, shape: tuple[int, int]) -> Array:
    """Codes times scales, shape (n_out, n_in), in the library and precision of ``scales``; NumPy or torch."""
    xp = namespace(packed=packed, scales=scales)
    codes = unpack(packed, bits=bits, shape=shape)
    groups = xp.astype(codes, scales.dtype).reshape(*scales.shape, -1)
    return (groups * scales[..., None]).reshape(shape)
