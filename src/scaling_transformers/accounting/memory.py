"""Bytes that a model holds while it writes, and while it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scaling_transformers._counts import require_count as require_whole
from scaling_transformers.accounting._inputs import (
    Config,
    Number,
    Whole,
    ceil,
    least,
    require_all_tokens,
    require_config,
    require_count,
    require_length,
    require_positive,
    result,
    result_shape,
)
from scaling_transformers.accounting.flops import experts_a_token
from scaling_transformers.accounting.parameters import count_parameters
from scaling_transformers.accounting.variation import ConfigArray

CHECKPOINTING = ("none", "selective", "full")

# Hidden vectors that the backward pass needs: before and after the nonlinearity, of a relu only what comes
# out; of a gated layer the gate before and after, the way up, and their product.
_N_HIDDEN = {"relu": 1, "gelu": 2, "gelu_tanh": 2, "swiglu": 4, "geglu": 4}


def kv_cache_bytes(config: Config, *, batch: Whole, seq_len: Whole, bytes_per_element: float = 2) -> Whole:
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
        If a number is not positive, ``seq_len`` is beyond ``n_ctx``, the model is an encoder, which keeps
        nothing, or its blocks read fewer tokens than the text has, or not all pairs of them.

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
    require_all_tokens(config, "kv_cache_bytes")
    batch, length = require_count(batch, name="batch", config=config), require_length(seq_len, config)
    element = require_positive(bytes_per_element, name="bytes_per_element")
    shape = result_shape(config, batch=batch, seq_len=length)
    sizes = config.as_floats() if isinstance(config, ConfigArray) else config
    kept = length if sizes.window is None else least(length, sizes.window)
    n_element = 2 * sizes.n_layer * batch * kept * sizes.n_kv_head * sizes.d_head
    return result(ceil(n_element * element), shape)


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes held at the end of a forward pass: ``weights``, ``gradients``, ``optimizer``, ``activations``.

    Ints of one config, arrays (float64) of many.
    """

    weights: Whole
    gradients: Whole
    optimizer: Whole
    activations: Whole

    @property
    def total(self) -> Whole:
        """Sum of the four."""
        return self.weights + self.gradients + self.optimizer + self.activations


def training_memory(
    config: Config,
    *,
    batch: Whole,
    seq_len: Whole,
    bytes_per_element: float = 2,
    optimizer_bytes: float | None = None,
    checkpointing: str = "none",
    dropout: bool = False,
) -> TrainingMemory:
    """Bytes of a training step on one device: weights, gradients, Adam's states, activations.

    Activations are what stands at the end of the forward pass for the backward pass to use. On top come the
    buffers of kernels, what the allocator wastes, and under checkpointing the layer that is computed again. A
    norm is taken to keep its input, as fused kernels do (torch's RMSNorm on a CPU keeps that scaled, too);
    grouped keys and values are kept once a group; each expert keeps a copy of what it reads and writes.

    Parameters
    ----------
    batch, seq_len : int
        Texts in a step, and tokens in each, at most ``n_ctx``.
    bytes_per_element : float
        Of weights, gradients and activations: 2 for mixed precision in bfloat16 or float16, 4 for float32.
        Logits are held in float32 in either case.
    optimizer_bytes : float, optional
        Per parameter. Default for Adam: 8 (two moments in float32), and 4 more for a float32 copy of the
        weights where ``bytes_per_element`` is below 4. 0 for an optimizer without states.
    checkpointing : str
        ``"none"`` keeps all. ``"selective"`` keeps no attention weights, like a fused attention kernel, which
        keeps besides only one number a head and token. ``"full"`` keeps each layer's input only.
    dropout : bool
        Whether there is dropout on embeddings, attention weights and both branches: masks, a byte an element.

    Raises
    ------
    ValueError
        If a number is out of range, ``seq_len`` is beyond ``n_ctx``, ``checkpointing`` is none of the three,
        or the model's blocks read fewer tokens than the text has, or not all pairs of them.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> memory = training_memory(preset("gpt2"), batch=8, seq_len=1024)
    >>> f"{memory.optimizer / 1e9:.1f} GB for Adam, {memory.activations / 1e9:.1f} GB of activations"
    '1.5 GB for Adam, 6.5 GB of activations'

    Source: Korthikanti et al. 2022, sections 4 and 5, with gates, grouped heads, experts and models without
    dropout added; Rajbhandari et al. 2020 (ZeRO), section 3.1, for the states.
    """
    require_config(config)
    require_all_tokens(config, "training_memory")
    batch, n = require_count(batch, name="batch", config=config), require_length(seq_len, config)
    element = require_positive(bytes_per_element, name="bytes_per_element")
    if optimizer_bytes is None:
        optimizer_bytes = 12 if element < 4 else 8
    state = 0 if optimizer_bytes == 0 else require_positive(optimizer_bytes, name="optimizer_bytes")
    if checkpointing not in CHECKPOINTING:
        raise ValueError(f"checkpointing must be one of {CHECKPOINTING}; got {checkpointing!r}")
    if not isinstance(dropout, bool):
        raise ValueError(f"dropout must be True or False; got {dropout!r}")
    n_params = count_parameters(config).total
    shape = result_shape(config, batch=batch, seq_len=n)
    config = config.as_floats() if isinstance(config, ConfigArray) else config
    d = config.d_model
    layer = kept_of_a_layer(config, n, element=element, checkpointing=checkpointing, dropout=dropout)
    one_norm_more = config.norm_placement == "pre" or config.kind == "encoder"
    ends = n * (element * d * (1 + one_norm_more) + 4 * config.vocab_size + d * dropout)
    ends += 2 * element * d * config.pooler  # the first token, before and after
    return TrainingMemory(
        weights=result(ceil(element * n_params), shape),
        gradients=result(ceil(element * n_params), shape),
        optimizer=result(ceil(state * n_params), shape),
        activations=result(ceil(batch * (config.n_layer * layer + ends)), shape),
    )


def kept_of_a_layer(
    config: Config,
    n: Number,
    *,
    element: float,
    checkpointing: str,
    dropout: bool = False,
    tensor: Number = 1,
    sequence: Number = 1,
) -> Any:
    """Bytes of a layer's activations that stand for the backward pass, of one text of ``n`` tokens.

    Of a layer split among ``tensor`` devices, each of which has its heads and hidden units; vectors of the
    residual stream's width are whole on each, or split among ``sequence`` of them.
    """
    d, d_query, d_key = config.d_model, config.n_head * config.d_head, config.n_kv_head * config.d_head
    if checkpointing == "full":
        return n * element * d / sequence
    # of a token: both norms' inputs and outputs, queries and heads, keys and values, hidden layer
    whole: Number = 4 * d
    split: Number = 2 * d_query + 2 * d_key
    n_expert = experts_a_token(config)
    split += n_expert * _N_HIDDEN[config.activation] * config.d_ff
    # and what each of several experts reads and writes, and the router's probabilities
    whole += (config.n_expert > 1) * (n_expert * 2 * d + config.n_expert)
    layer = n * ((element * whole + 2 * d * dropout) / sequence + element * split / tensor)
    if checkpointing == "none":  # attention weights, and with dropout what is left of them, and the mask
        layer += n * n * config.n_head * (element + dropout * (element + 1)) / tensor
    return layer


def latent_cache_bytes(
    *, n_layer: int, d_latent: int, d_rotary: int, batch: int, seq_len: int, bytes_per_element: float = 2
) -> int:
    """Bytes that latent attention keeps of ``batch`` texts of ``seq_len`` tokens.

    One latent vector and one rotary key a token and layer, however many heads read them.

    Parameters
    ----------
    d_latent, d_rotary : int
        Widths of the latent vector and of the rotary key; ``d_rotary`` is 0 without rotary positions.
    batch, seq_len : int
        Texts, and tokens read or written so far in each.
    bytes_per_element : float
        2 for bfloat16, 4 for float32, 0.5 for 4 bits.

    Raises
    ------
    ValueError
        If a number is not positive (``d_rotary``: negative).

    Examples
    --------
    A token of DeepSeek-V2, and how much more its 128 heads of width 128 would keep as keys and values:

    >>> latent = latent_cache_bytes(n_layer=60, d_latent=512, d_rotary=64, batch=1, seq_len=1)
    >>> keys_and_values = 2 * 60 * 128 * 128 * 2
    >>> latent, round(keys_and_values / latent)
    (69120, 57)

    Source: DeepSeek-AI 2024 (DeepSeek-V2), section 2.1.4, table 1; sizes: section 3.1.2.
    """
    n_layer, d_latent = require_count(n_layer, name="n_layer"), require_count(d_latent, name="d_latent")
    batch, seq_len = require_count(batch, name="batch"), require_count(seq_len, name="seq_len")
    require_whole(least=0, d_rotary=d_rotary)
    n_element = n_layer * batch * seq_len * (d_latent + int(d_rotary))
    return int(ceil(n_element * require_positive(bytes_per_element, name="bytes_per_element")))
