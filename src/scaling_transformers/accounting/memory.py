"""Bytes that a model holds while it writes."""

from __future__ import annotations

import math

from scaling_transformers.accounting._inputs import (
    require_config,
    require_count,
    require_length,
    require_positive,
)
from scaling_transformers.config import TransformerConfig


def kv_cache_bytes(
    config: TransformerConfig, *, batch: int, seq_len: int, bytes_per_element: float = 2
) -> int:
    """Bytes of the keys and values that a decoder keeps of ``batch`` texts of ``seq_len`` tokens.

    Two vectors of ``n_kv_head * d_head`` a token and layer; a window keeps its last ``window`` tokens only.

    Parameters
    ----------
    batch, seq_len : int
        Texts, and tokens read or written so far in each, at most ``n_ctx``.
    bytes_per_element : float
        2 for bfloat16, 4 for float32, 0.5 for 4 bits.

    Raises
    ------
    ValueError
        If a number is not positive, ``seq_len`` is beyond ``n_ctx``, or the model is an encoder, which keeps
        nothing.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> kv_cache_bytes(preset("llama-2-7b"), batch=1, seq_len=4096) / 2**30
    2.0

    Source: Shazeer 2019, section 2.4; Ainslie et al. 2023 for grouped heads.
    """
    require_config(config)
    if config.kind == "encoder":
        raise ValueError(
            "config must have kind='decoder'; got kind='encoder', which keeps no keys and values"
        )
    batch, length = require_count(batch, name="batch"), require_length(seq_len, config)
    kept = length if config.window is None else min(length, config.window)
    n_element = 2 * config.n_layer * batch * kept * config.n_kv_head * config.d_head
    return math.ceil(n_element * require_positive(bytes_per_element, name="bytes_per_element"))
