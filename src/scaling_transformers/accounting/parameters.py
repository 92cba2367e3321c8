"""Parameters of a model by part, counted from its config."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_transformers._counts import require_count as require_whole
from scaling_transformers._numpy import np
from scaling_transformers.accounting._inputs import (
    Config,
    Whole,
    require_config,
    require_count,
    result,
)
from scaling_transformers.accounting.variation import ConfigArray


@dataclass(frozen=True)
class ParameterCount:
    """Numbers of parameters: ints of one config, arrays (int64) of many.

    Attributes
    ----------
    total : int
        All parameters of the model, a tied matrix counted once.
    active : int
        Those that serve one token: of the experts only the ``n_expert_active`` that it is sent to.
    embedding : int
        Tables whose size follows the vocabulary, the positions or the token types: the embeddings, and the
        unembedding where it is not tied.
    non_embedding : int
        The rest, N of the scaling laws of Kaplan et al. 2020, whether the unembedding is tied or not.
    by_part : dict of str to int
        The parts sum to ``total``; a part that the model lacks is 0.
    """

    total: Whole
    active: Whole
    embedding: Whole
    non_embedding: Whole
    by_part: dict[str, Whole]


def count_parameters(config: Config) -> ParameterCount:
    """Count the parameters of the model that ``config`` describes.

    Equals to the last parameter `scaling_transformers.model.Transformer` and, for the families of
    `TransformerConfig.from_huggingface`, the models ``GPT2LMHeadModel``, ``BertModel`` (its pooler included;
    the head for masked tokens is a model on top of it), ``LlamaForCausalLM``, ``MistralForCausalLM`` and
    ``MixtralForCausalLM`` of the ``transformers`` package.

    The parts are ``token_embedding``, ``position_embedding``, ``token_type_embedding``, ``attention``
    (queries, keys, values and output, with biases), ``feed_forward`` (every expert, with biases), ``router``
    (of experts, of depth, of halting),
    ``norms``, ``unembedding`` (0 where tied) and ``pooler``. Norms are two a layer, one more after the last
    layer where ``norm_placement="pre"``, and in an encoder with ``norm_placement="post"`` one after the
    embeddings.

    Raises
    ------
    ValueError
        If ``config`` is neither a `TransformerConfig` nor many by `vary`, or a count is beyond 2**63.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> count_parameters(preset("gpt2")).total
    124439808

    Source: Kaplan et al. 2020, table 1, with biases, norms, gates, grouped heads and experts added.
    """
    require_config(config)
    if not isinstance(config, ConfigArray):
        return _count(config)
    most = float(np.max(_count(config.as_floats()).total))
    if most >= 2**63:  # int64 would wrap around
        raise ValueError(f"config must have fewer than 2**63 parameters; the largest has {most:.3g}")
    count = _count(config)

    def whole(value: Whole) -> Whole:
        return result(value, config.shape, dtype=np.int64)

    return ParameterCount(
        whole(count.total),
        whole(count.active),
        whole(count.embedding),
        whole(count.non_embedding),
        {part: whole(value) for part, value in count.by_part.items()},
    )


def latent_attention_parameters(
    *, n_layer: int, d_model: int, n_head: int, d_head: int, d_latent: int, d_rotary: int
) -> int:
    """Parameters of latent attention, those that `scaling_transformers.attention.latent_attention` takes.

    A layer has queries and output as ever; the way down to the latent vector and, for each head, up to its
    key and its value; queries for positions, and one key for positions that all heads share.

    Parameters
    ----------
    d_latent, d_rotary : int
        Widths of the latent vector and of the rotary key; ``d_rotary`` is 0 without rotary positions.

    Raises
    ------
    ValueError
        If a number is not positive (``d_rotary``: negative).

    Examples
    --------
    At the shape of Llama 7B latent attention has 0.72 times the parameters of multi-head attention:

    >>> from scaling_transformers import preset
    >>> latent = latent_attention_parameters(
    ...     n_layer=32, d_model=4096, n_head=32, d_head=128, d_latent=512, d_rotary=64
    ... )
    >>> round(latent / count_parameters(preset("llama-7b")).by_part["attention"], 2)
    0.72

    Source: the shapes of DeepSeek-AI 2024 (DeepSeek-V2), without the norm on the latent vector and the narrow
    vector that their queries pass.
    """
    sizes = {"n_layer": n_layer, "d_model": d_model, "n_head": n_head, "d_head": d_head, "d_latent": d_latent}
    n_layer, d_model, n_head, d_head, d_latent = (
        require_count(size, name=name) for name, size in sizes.items()
    )
    require_whole(least=0, d_rotary=d_rotary)
    d_rotary = int(d_rotary)
    d_heads = n_head * d_head
    layer = 2 * d_model * d_heads + d_latent * (d_model + 2 * d_heads) + d_rotary * d_model * (n_head + 1)
    return int(n_layer * layer)


def _count(config: Config) -> ParameterCount:
    """The formulas, for one config and for many alike."""
    d, d_query, d_key = config.d_model, config.n_head * config.d_head, config.n_kv_head * config.d_head
    bias, qkv_bias = int(config.bias), int(config.qkv_bias)
    tables = {
        "token_embedding": config.vocab_size * d,
        "position_embedding": config.n_ctx * d if config.position == "learned" else 0,
        "token_type_embedding": config.n_token_type * d,
        "unembedding": 0 if config.tie_embeddings else config.vocab_size * d,
    }
    attention = (d + qkv_bias) * (d_query + 2 * d_key) + (d_query + bias) * d
    n_up = 2 if config.activation in ("swiglu", "geglu") else 1  # a gate is a second way up
    expert = n_up * (d + bias) * config.d_ff + (config.d_ff + bias) * d
    n_block = 1 if config.halting is not None else config.n_layer  # one block, run over and over
    one_more = config.norm_placement == "pre" or config.kind == "encoder"
    n_norm = 2 * n_block + int(one_more)
    layers = {
        "attention": n_block * attention,
        "feed_forward": n_block * (config.n_expert + config.n_expert_shared) * expert,
        "router": n_block * config.n_expert * d * (config.n_expert > 1) + _routers(config),
        "norms": n_norm * d * (1 + bias if config.norm == "layernorm" else 1),
        "pooler": (d + bias) * d if config.pooler else 0,
    }
    embedding, non_embedding = sum(tables.values()), sum(layers.values())
    idle = n_block * (config.n_expert - config.n_expert_active) * expert
    total = embedding + non_embedding
    return ParameterCount(total, total - idle, embedding, non_embedding, {**tables, **layers})


def _routers(config: Config) -> Whole:
    """What decides which tokens a block reads: a vector for each routed block, or one with a bias to halt."""
    if config.depth_keep < 1:
        return config.n_layer // 2 * config.d_model
    return config.d_model + 1 if config.halting is not None else 0
