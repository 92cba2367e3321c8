"""Floating-point operations of a model by part; a multiply-add counts as 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from scaling_transformers.accounting._inputs import (
    Config,
    Number,
    Whole,
    ceil,
    least,
    require_all_positive,
    require_all_tokens,
    require_config,
    require_count,
    require_length,
    require_positive,
    result,
    result_shape,
)
from scaling_transformers.accounting.parameters import count_parameters
from scaling_transformers.accounting.variation import ConfigArray

CONVENTIONS = ("exact", "6nd", "chinchilla")


@dataclass(frozen=True)
class FlopCount:
    """Numbers of floating-point operations: ``total``, and ``by_part``, whose values sum to it.

    Ints of one config, arrays of many: float64, for the FLOPs of large models are beyond 2**63.
    """

    total: Whole
    by_part: dict[str, Whole]


def forward_flops(config: Config, *, batch: Whole, seq_len: Whole, causal_skip: bool = False) -> FlopCount:
    """FLOPs of the matrix products in one pass over ``batch`` texts of ``seq_len`` tokens.

    A product of an (m, k) with a (k, n) matrix counts 2 m k n. Norms, softmax, activations, biases, rotations
    and embedding lookups are not counted. Logits are computed for every token.

    Parameters
    ----------
    batch, seq_len : int
        Texts, and tokens in each, at most ``n_ctx``.
    causal_skip : bool
        Count only the pairs of query and key that the mask allows: n (n + 1) / 2 in a decoder, fewer with a
        window or a pattern. By default all n * n are counted, as a kernel that masks after multiplying does,
        or with a pattern all of its blocks. An encoder masks nothing, so there it changes nothing.

    Returns
    -------
    FlopCount
        The parts are ``query_key_value`` (projections), ``scores`` (queries with keys), ``values`` (weights
        with values), ``output`` (projection), ``feed_forward`` (the experts that serve a token), ``router``
        (of experts, of depth, of halting, of pairs to merge), ``unembedding`` and ``pooler`` (which
        reads the first token only).

    Where a model skips work, what is counted is what runs: the tokens that a block reads, not those that
    pass it by. What depends on the text has its most: no expert drops a token but for its capacity, and no
    token halts before the last step.

    Raises
    ------
    ValueError
        If ``batch`` or ``seq_len`` is not a whole number of at least 1, ``seq_len`` is beyond ``n_ctx``, or
        ``causal_skip`` is not True or False.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> forward_flops(preset("gpt2"), batch=1, seq_len=1024).by_part["scores"]
    19327352832

    Source: Kaplan et al. 2020, table 1, with gates, grouped heads and experts added.
    """
    require_config(config)
    batch, n = require_count(batch, name="batch", config=config), require_length(seq_len, config)
    if not isinstance(causal_skip, bool):
        raise ValueError(f"causal_skip must be True or False; got {causal_skip!r}")
    if config.pattern is not None and isinstance(config, ConfigArray):
        raise ValueError("config must have no pattern where many are counted at once; count them one by one")
    shape = result_shape(config, batch=batch, seq_len=n)
    parts = flops_by_part(config, batch=batch, n_new=n, stacks=_stacks(config, n, causal_skip=causal_skip))
    return _total(parts, shape)


class Stack(NamedTuple):
    """Blocks alike: how many, the tokens of a text that each reads, and the pairs that its queries meet.

    With merging the feed-forward layer reads fewer tokens than attention, ``n_out``.
    """

    n_layer: Whole  #: Number of blocks.
    n: Whole  #: Tokens that each reads.
    pairs: Whole
    n_out: Whole


def _stacks(config: Config, n: Whole, *, causal_skip: bool) -> list[Stack]:
    """The blocks of a model, by what they read of a text of ``n`` tokens."""

    def stack(n_layer: Whole, n: Whole) -> Stack:
        if config.kind == "encoder":
            return Stack(n_layer, n, n * n, n)
        if config.pattern is not None:
            count = config.pattern.n_allowed if causal_skip else config.pattern.n_computed
            return Stack(n_layer, n, count(n), n)
        return Stack(n_layer, n, _causal_pairs(n, config.window) if causal_skip else n * n, n)

    n_layer = config.n_layer
    if config.depth_keep < 1:
        return [stack(n_layer - n_layer // 2, n), stack(n_layer // 2, kept_tokens(config, n))]
    if config.shorten > 1:
        return [stack(2, n), stack(n_layer - 2, ceil(n / config.shorten))]
    if config.n_merge:
        return _merging_stacks(config, n)
    return [stack(n_layer, n)]


def kept_tokens(config: Config, n: Whole) -> Whole:
    """Tokens of a text of ``n`` that a routed block of a mixture of depths reads."""
    return ceil(config.depth_keep * n)


def _merging_stacks(config: Config, n: Whole) -> list[Stack]:
    """The blocks of an encoder that merges ``n_merge`` pairs in each: a stack of one for every block.

    Raises
    ------
    ValueError
        If the text runs out of pairs.
    """
    if isinstance(config, ConfigArray) or not isinstance(n, int):
        raise ValueError("config must have n_merge=0 where many are counted at once; count them one by one")
    r, stacks = config.n_merge, []
    for layer in range(config.n_layer):
        left = n - layer * r
        if 2 * r > left:
            raise ValueError(f"seq_len must leave 2 * n_merge={2 * r} tokens in each block; got {n}")
        stacks.append(Stack(1, left, left * left, left - r))
    return stacks


def flops_by_part(config: Config, *, batch: Whole, n_new: Whole, stacks: list[Stack]) -> dict[str, Whole]:
    """FLOPs of a pass over ``n_new`` tokens of each text, through blocks that read some of them."""
    if isinstance(config, ConfigArray):
        config = config.as_floats()
    d, d_query, d_key = config.d_model, config.n_head * config.d_head, config.n_kv_head * config.d_head
    n_matrix = 3 if config.activation in ("swiglu", "geglu") else 2
    parts: dict[str, Whole] = dict.fromkeys(_LAYER_PARTS, 0)
    for n_layer, n, pairs, n_out in stacks:
        layer = {
            "query_key_value": 2 * n * d * (d_query + 2 * d_key),
            "scores": 2 * pairs * d_query,
            "values": 2 * pairs * d_query,
            "output": 2 * n * d_query * d,
            "feed_forward": 2 * n_matrix * pairs_of_experts(config, n_out) * d * config.d_ff,
            "router": 2 * n_out * d * config.n_expert * (config.n_expert > 1),
        }
        if config.n_merge:  # every second token against the others
            layer["router"] += 2 * (n // 2) * (n - n // 2) * d_key
        for name, flops in layer.items():
            parts[name] += batch * n_layer * flops
    if config.depth_keep < 1:  # every token asks whether a routed block reads it
        parts["router"] += batch * (config.n_layer // 2) * 2 * n_new * d
    if config.halting is not None:  # and whether it has had enough, but for the last step, which is the last
        parts["router"] += batch * (config.n_layer - 1) * 2 * n_new * d
    parts["unembedding"] = batch * 2 * n_new * d * config.vocab_size
    parts["pooler"] = batch * 2 * d * d if config.pooler else 0
    return parts


_LAYER_PARTS = ("query_key_value", "scores", "values", "output", "feed_forward", "router")


def pairs_of_experts(config: Config, n: Whole) -> Whole:
    """Pairs of a token and an expert that serves it, in a text of ``n`` tokens; shared experts included.

    The most there is room for: how many a text has with a ``capacity_factor`` depends on the text.
    """
    pairs = n * config.n_expert_active
    if config.routing == "expert_choice":
        pairs = config.n_expert * least(n, ceil(pairs / config.n_expert))
    elif config.capacity_factor is not None:
        room = least(n, ceil(config.capacity_factor * pairs / config.n_expert))
        pairs = least(pairs, config.n_expert * room)
    return pairs + n * config.n_expert_shared


def experts_a_token(config: Config) -> Number:
    """Experts that serve a token, shared ones included, and no more than there is room for."""
    chosen = config.n_expert_active
    if config.capacity_factor is not None and config.capacity_factor < 1:
        chosen = config.capacity_factor * chosen
    return chosen + config.n_expert_shared


def _total(parts: dict[str, Whole], shape: tuple[int, ...] | None) -> FlopCount:
    if shape is not None:
        parts = {name: result(flops, shape) for name, flops in parts.items()}
    return FlopCount(sum(parts.values()), parts)


def _causal_pairs(n: Whole, window: Whole | None) -> Whole:
    """Pairs of a query with itself or a key before it, at most ``window`` keys to a query."""
    reach = n if window is None else least(n, window)
    return reach * (reach + 1) // 2 + (n - reach) * reach


def chinchilla_forward_flops(config: Config, *, seq_len: Whole) -> FlopCount:
    """FLOPs of one pass over one text, by the counting of the Chinchilla paper.

    Unlike `forward_flops` it counts the embedding as a product with one-hot vectors, and the softmax as 3
    operations a score. Grouped heads, gates and experts, which the paper's models do not have, are counted as
    in `forward_flops`. The parts are ``embedding``, ``query_key_value``, ``scores``, ``softmax``, ``values``,
    ``output``, ``feed_forward``, ``router`` and ``unembedding``.

    Raises
    ------
    ValueError
        If ``seq_len`` is not a whole number from 1 to ``n_ctx``, or the model's blocks read fewer tokens than
        the text has, or not all pairs of them.

    Source: Hoffmann et al. 2022, appendix F.
    """
    require_config(config)
    require_all_tokens(config, "the counting of the Chinchilla paper")
    parts = dict(forward_flops(config, batch=1, seq_len=seq_len).by_part)
    del parts["pooler"]
    n, shape = require_length(seq_len, config), result_shape(config, seq_len=seq_len)
    sizes = config.as_floats() if isinstance(config, ConfigArray) else config
    parts["embedding"] = 2 * n * sizes.vocab_size * sizes.d_model
    parts["softmax"] = sizes.n_layer * 3 * sizes.n_head * n**2
    return _total(parts, shape)


def training_flops(
    config: Config, *, n_tokens: Number, seq_len: Whole | None = None, convention: str = "exact"
) -> Number:
    """FLOPs of training on ``n_tokens`` tokens, in texts of ``seq_len``.

    Parameters
    ----------
    n_tokens : float
        Tokens seen in all, repeated ones included. Positive and finite.
    seq_len : int, optional
        Tokens in a text. Default ``n_ctx``. ``"6nd"`` does not depend on it.
    convention : str
        ``"exact"``: three forward passes by `forward_flops` (the backward pass multiplies by each matrix's
        transpose, and into each matrix's gradient), all n * n scores counted, nothing computed twice.
        ``"6nd"``: 6 times the active non-embedding parameters (biases and norms included) times the tokens.
        ``"chinchilla"``: three forward passes by `chinchilla_forward_flops`.

    Returns
    -------
    float, or of many configs an array

    Raises
    ------
    ValueError
        If ``n_tokens`` is not positive and finite, ``seq_len`` is not a whole number from 1 to ``n_ctx``, or
        ``convention`` is none of the three.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> f"{training_flops(preset('gpt3-175b'), n_tokens=300e9, convention='6nd'):.2e}"
    '3.13e+23'

    Source: Kaplan et al. 2020, section 2.1 (6ND); Hoffmann et al. 2022, appendix F.
    """
    require_config(config)
    check = require_all_positive if isinstance(config, ConfigArray) else require_positive
    n_tokens = check(n_tokens, name="n_tokens")
    seq_len = config.n_ctx if seq_len is None else seq_len
    length = require_length(seq_len, config)
    shape = result_shape(config, seq_len=seq_len, n_tokens=n_tokens)
    if convention == "6nd":
        count = count_parameters(config)
        return result(6.0 * (count.active - count.embedding) * n_tokens, shape)
    if convention == "exact":
        forward = forward_flops(config, batch=1, seq_len=seq_len)
    elif convention == "chinchilla":
        forward = chinchilla_forward_flops(config, seq_len=seq_len)
    else:
        raise ValueError(f"convention must be one of {CONVENTIONS}; got {convention!r}")
    return result(3.0 * forward.total * (n_tokens / length), shape)
