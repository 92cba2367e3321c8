"""What low-rank updates, shared layers and quantised weights hold, from a config alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from scaling_transformers.accounting import count_parameters
from scaling_transformers.accounting._inputs import require_config, require_positive
from scaling_transformers.config import TransformerConfig
from scaling_transformers.efficiency._inputs import (
    require_bits,
    require_group,
    require_group_size,
    require_targets,
    require_whole,
)


class Matrices(NamedTuple):
    """The weights of one name in all blocks: ``n_matrix`` matrices of ``n_out`` rows and ``n_in`` columns."""

    n_matrix: int
    n_out: int
    n_in: int


def linear_layers(config: TransformerConfig) -> dict[str, Matrices]:
    """The linear layers in the blocks of the model that ``config`` describes, by name.

    ``query``, ``key``, ``value``, ``out``; ``up``, ``down`` and, with a gated activation, ``gate``, once an
    expert; with experts ``router``; in a mixture of depths ``depth_router``.
    """
    require_config(config)
    d, d_query, d_key = config.d_model, config.n_head * config.d_head, config.n_kv_head * config.d_head
    n_layer = config.n_layer if config.halting is None else 1  # one block, run over and over
    n_dense = n_layer * (config.n_expert + config.n_expert_shared)
    layers = {
        "query": Matrices(n_layer, d_query, d),
        "key": Matrices(n_layer, d_key, d),
        "value": Matrices(n_layer, d_key, d),
        "out": Matrices(n_layer, d, d_query),
        "up": Matrices(n_dense, config.d_ff, d),
        "down": Matrices(n_dense, d, config.d_ff),
    }
    if config.activation in ("swiglu", "geglu"):
        layers["gate"] = Matrices(n_dense, config.d_ff, d)
    if config.n_expert > 1:
        layers["router"] = Matrices(n_layer, config.n_expert, d)
    if config.depth_keep < 1:
        layers["depth_router"] = Matrices(n_layer // 2, 1, d)
    return layers


def check_lora(config: TransformerConfig, *, rank: int, targets: Sequence[str]) -> dict[str, Matrices]:
    """The linear layers named by ``targets``, or a `ValueError` if one is not there or ``rank`` too large."""
    layers = linear_layers(config)
    chosen = {name: layers[name] for name in require_targets(targets, among=tuple(layers))}
    full = {name: min(matrices.n_out, matrices.n_in) for name, matrices in chosen.items()}
    tightest = min(full, key=full.__getitem__)
    require_whole(rank, least=1, most=full[tightest], name=f"rank of an update to {tightest!r}")
    return chosen


def lora_parameters(
    config: TransformerConfig, *, rank: int, targets: Sequence[str] = ("query", "value")
) -> int:
    """Parameters that low-rank updates train: ``rank * (n_out + n_in)`` for each matrix they change.

    Equals what is trainable after `scaling_transformers.efficiency.lora.add_lora`.

    Parameters
    ----------
    rank : int
        From 1 to the rank that the smallest of the matrices can have.
    targets : sequence of str
        Names of linear layers in a block: ``query``, ``key``, ``value``, ``out``, ``up``, ``down``, and
        where the config has them ``gate`` and ``router``. With experts, every expert's.

    Raises
    ------
    ValueError
        If ``rank`` is out of range or a target is not in the model; the message lists those that are.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> lora_parameters(preset("gpt3-175b"), rank=4)
    18874368

    Source: Hu et al. 2021 (LoRA), section 4.1.
    """
    chosen = check_lora(config, rank=rank, targets=targets)
    return sum(m.n_matrix * rank * (m.n_out + m.n_in) for m in chosen.values())


def shared_parameters(config: TransformerConfig, *, group: int) -> int:
    """Parameters of a model in which every ``group`` consecutive blocks are one and the same.

    The last run of blocks may be shorter. Operations, activations and the cache of keys and values are those
    of the model that shares nothing: each block still runs.

    Parameters
    ----------
    group : int
        From 1, which shares nothing, to ``n_layer``, which leaves one block.

    Raises
    ------
    ValueError
        If ``group`` is out of range.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> shared_parameters(preset("gpt2"), group=12), shared_parameters(preset("gpt2"), group=1)
    (46473216, 124439808)

    Source: Lan et al. 2020 (ALBERT), section 3.1.
    """
    require_config(config)
    n_block = math.ceil(config.n_layer / require_group(group, config))
    return count_parameters(config.replace(n_layer=n_block)).total


def quantized_bytes(
    config: TransformerConfig, *, bits: int, group_size: int | None = None, bytes_per_element: float = 2
) -> int:
    """Bytes of a model whose linear layers in the blocks are quantised, scales and all else included.

    Equals the storage of the model after `scaling_transformers.efficiency.quantized_linear.quantize_model`:
    codes of ``bits`` bits, packed matrix by matrix into whole bytes, and one scale to a row or group. Scales,
    biases, norms, embeddings and the unembedding, tied or not, keep ``bytes_per_element``.

    Parameters
    ----------
    bits : int
        Of a code, from 2 to 8.
    group_size : int, optional
        Columns that share a scale; divides the columns of every matrix. Default: a scale to a row.
    bytes_per_element : float
        Of what is not a code: 2 for bfloat16, 4 for float32.

    Raises
    ------
    ValueError
        If a number is out of range, or ``group_size`` does not divide the columns of a matrix.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> f"{quantized_bytes(preset('llama-2-7b'), bits=4, group_size=128) / 2**30:.2f} GiB, 12.55 in bfloat16"
    '3.60 GiB, 12.55 in bfloat16'

    Source: Dettmers et al. 2022 (LLM.int8()), section 2; Frantar et al. 2022 (GPTQ) for groups.
    """
    layers = linear_layers(config)
    bits = require_bits(bits)
    element = require_positive(bytes_per_element, name="bytes_per_element")
    codes, n_scale, n_weight = 0, 0, 0
    for n_matrix, n_out, n_in in layers.values():
        codes += n_matrix * math.ceil(n_out * n_in * bits / 8)
        n_scale += n_matrix * n_out * (n_in // require_group_size(group_size, n_in=n_in))
        n_weight += n_matrix * n_out * n_in
    n_other = count_parameters(config).total - n_weight
    return codes + math.ceil(element * (n_scale + n_other))
