"""The one description of a transformer that counting, building, costing and plotting all read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from scaling_transformers.huggingface import fields_from_huggingface

_CHOICES = {
    "kind": ("decoder", "encoder"),
    "activation": ("gelu", "gelu_tanh", "relu", "swiglu", "geglu"),
    "norm": ("layernorm", "rmsnorm"),
    "norm_placement": ("pre", "post"),
    "position": ("learned", "sinusoidal", "rotary", "alibi", "none"),
    "routing": ("top_k", "expert_choice"),
    "balance": ("loss", "bias"),
    "halting": (None, "act", "ponder"),
}


class Pattern(Protocol):
    """Which keys a query may see: what `scaling_transformers.sparsity` has objects for.

    They are hashable and compare by value, as a config must.

    Attributes
    ----------
    block : int
        Side of the tiles that are computed or skipped, in tokens.
    causal : bool
        Whether no query sees a key after it.
    """

    @property
    def block(self) -> int:
        """Side of the tiles that are computed or skipped, in tokens."""

    @property
    def causal(self) -> bool:
        """Whether no query sees a key after it."""

    def allows(self, queries: Any, keys: Any, *, n: int) -> Any:
        """Whether queries at some places may see keys at others, in a text of ``n`` tokens."""

    def n_allowed(self, n: int) -> int:
        """Pairs of query and key that may meet in a text of ``n`` tokens."""

    def n_computed(self, n: int) -> int:
        """Pairs whose scores are computed: all those of a block of which one is allowed."""


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes and design choices of a transformer.

    The five sizes come first; everything after them is keyword only.

    Parameters
    ----------
    n_layer : int
        Number of blocks.
    d_model : int
        Width of the residual stream.
    n_head : int
        Query heads in each block.
    vocab_size : int
        Number of distinct tokens.
    n_ctx : int
        Longest text, in tokens.
    n_kv_head : int, optional
        Key and value heads; divides ``n_head``. Default ``n_head`` (multi-head attention).
    d_head : int, optional
        Width of a head. Default ``d_model / n_head``, which must then be whole.
    d_ff : int, optional
        Width of the feed-forward layer. Default ``4 * d_model``.
    kind : str
        ``"decoder"``, whose tokens see no later ones, or ``"encoder"``.
    activation : str
        Nonlinearity of the feed-forward layers: ``"gelu"``, ``"gelu_tanh"``, ``"relu"``, or with a gate
        ``"swiglu"``, ``"geglu"``.
    norm : str
        ``"layernorm"`` or ``"rmsnorm"``.
    norm_placement : str
        Norms before the layers (``"pre"``) or after the sums (``"post"``).
    position : str
        How tokens are told their places: ``"learned"``, ``"sinusoidal"``, ``"rotary"``, ``"alibi"`` or
        ``"none"``.
    rope_theta : float
        Base of the angles of rotary positions.
    bias : bool
        Whether linear layers have biases.
    qkv_bias : bool, optional
        Bias on the query, key and value projections. Default: as ``bias``.
    tie_embeddings : bool
        Whether the table of tokens also is the last matrix.
    n_token_type : int
        Kinds of text that a second table tells apart (BERT).
    pooler : bool
        Whether an encoder has a layer on top of its first token (BERT).
    n_expert, n_expert_active : int
        Feed-forward experts in each block, and how many of them serve a token.
    window : int, optional
        A token attends to itself and the ``window - 1`` tokens before it. Default: to all before it.
    norm_eps : float
        What guards norms against division by zero.
    pattern : Pattern, optional
        Which keys a query of a decoder may see, as `scaling_transformers.sparsity` has them.
    n_expert_shared : int
        Experts that serve every token, beside those that the router picks.
    routing : str
        Who picks: each token its experts (``"top_k"``), or each expert its tokens (``"expert_choice"``).
    balance : str
        What keeps experts equally busy: a term of the loss, or a bias on the router's choice (``"bias"``).
    capacity_factor : float, optional
        An expert takes this times its equal share of a text's tokens at most, and drops the rest. Default:
        drops none.
    depth_keep : float
        Share of the tokens that every second block reads; the others pass it by (mixture of depths).
    shorten : int
        All blocks but the first and the last read one position in place of this many tokens (hourglass).
    halting : str, optional
        One block is run over and over, up to ``n_layer`` times, and each token decides when it has had
        enough: ``"act"`` (adaptive computation time) or ``"ponder"`` (PonderNet).
    n_merge : int
        Pairs of similar tokens that each block of an encoder merges into one.

    Raises
    ------
    ValueError
        If a field is out of range or two fields cannot go together; the message names the field.

    Examples
    --------
    >>> config = TransformerConfig(12, 768, 12, 50257, 1024)
    >>> config.d_head, config.d_ff
    (64, 3072)
    >>> config.replace(d_model=1024, n_head=16).d_ff
    4096
    """

    n_layer: int
    d_model: int
    n_head: int
    vocab_size: int
    n_ctx: int
    n_kv_head: int = field(default=None, kw_only=True)  # type: ignore[assignment]  # an int after __post_init__
    d_head: int = field(default=None, kw_only=True)  # type: ignore[assignment]
    d_ff: int = field(default=None, kw_only=True)  # type: ignore[assignment]
    kind: str = field(default="decoder", kw_only=True)
    activation: str = field(default="gelu", kw_only=True)
    norm: str = field(default="layernorm", kw_only=True)
    norm_placement: str = field(default="pre", kw_only=True)
    position: str = field(default="learned", kw_only=True)
    rope_theta: float = field(default=10_000.0, kw_only=True)
    bias: bool = field(default=True, kw_only=True)
    qkv_bias: bool = field(default=None, kw_only=True)  # type: ignore[assignment]
    tie_embeddings: bool = field(default=True, kw_only=True)
    n_token_type: int = field(default=0, kw_only=True)
    pooler: bool = field(default=False, kw_only=True)
    n_expert: int = field(default=1, kw_only=True)
    n_expert_active: int = field(default=1, kw_only=True)
    window: int | None = field(default=None, kw_only=True)
    norm_eps: float = field(default=1e-5, kw_only=True)
    pattern: Pattern | None = field(default=None, kw_only=True)
    n_expert_shared: int = field(default=0, kw_only=True)
    routing: str = field(default="top_k", kw_only=True)
    balance: str = field(default="loss", kw_only=True)
    capacity_factor: float | None = field(default=None, kw_only=True)
    depth_keep: float = field(default=1.0, kw_only=True)
    shorten: int = field(default=1, kw_only=True)
    halting: str | None = field(default=None, kw_only=True)
    n_merge: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("n_layer", "d_model", "n_head", "vocab_size", "n_ctx"):
            self._require_count(name, least=1)
        self._derive("n_kv_head", self.n_head)
        self._require_count("n_kv_head", least=1)
        if self.n_head % self.n_kv_head:
            raise ValueError(f"n_kv_head must divide n_head={self.n_head}; got {self.n_kv_head}")
        if self.d_head is None and self.d_model % self.n_head:
            raise ValueError(
                f"n_head must divide d_model={self.d_model} unless d_head is given; got {self.n_head}"
            )
        self._derive("d_head", self.d_model // self.n_head)
        self._derive("d_ff", 4 * self.d_model)
        self._derive("qkv_bias", self.bias)
        for name in ("d_head", "d_ff", "n_expert", "n_expert_active", "shorten"):
            self._require_count(name, least=1)
        for name in ("n_token_type", "n_expert_shared", "n_merge"):
            self._require_count(name, least=0)
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}; got {getattr(self, name)!r}")
        for name in ("bias", "qkv_bias", "tie_embeddings", "pooler"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False; got {getattr(self, name)!r}")
        for name in ("rope_theta", "norm_eps", "depth_keep", "capacity_factor"):
            value = getattr(self, name)
            if name == "capacity_factor" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ValueError(f"{name} must be a positive finite number; got {value!r}")
        if self.n_expert_active > self.n_expert:
            raise ValueError(
                f"n_expert_active must be at most n_expert={self.n_expert}; got {self.n_expert_active}"
            )
        if self.position == "rotary" and self.d_head % 2:
            raise ValueError(f"d_head must be even for position='rotary'; got {self.d_head}")
        if self.position == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"d_model must be even for position='sinusoidal'; got {self.d_model}")
        if self.window is not None:
            self._require_count("window", least=1)
            if self.kind == "encoder":
                raise ValueError(f"window needs kind='decoder'; got window={self.window} with kind='encoder'")
        if self.pooler and self.kind == "decoder":
            raise ValueError("pooler needs kind='encoder'; got pooler=True with kind='decoder'")
        self._check_what_is_skipped()

    def _check_what_is_skipped(self) -> None:
        """Refuse ways of skipping work that are out of range or cannot go together."""
        if self.n_expert == 1:
            for name in ("n_expert_shared", "routing", "balance", "capacity_factor"):
                if getattr(self, name) != self.__dataclass_fields__[name].default:
                    raise ValueError(f"{name} needs n_expert of at least 2; got {getattr(self, name)!r}")
        if self.routing == "expert_choice" and (self.balance != "loss" or self.capacity_factor is not None):
            raise ValueError("routing='expert_choice' is balanced as it is: leave balance, capacity_factor")
        if self.depth_keep < 1 and (self.routing == "expert_choice" or self.capacity_factor is not None):
            raise ValueError(
                "depth_keep cannot go with expert_choice or capacity_factor: texts differ in length"
            )
        if self.depth_keep > 1:
            raise ValueError(f"depth_keep must be above 0 and at most 1; got {self.depth_keep!r}")
        if self.pattern is not None and not all(
            callable(getattr(self.pattern, name, None)) for name in ("allows", "n_allowed", "n_computed")
        ):
            raise ValueError(f"pattern must be one of scaling_transformers.sparsity; got {self.pattern!r}")
        if self.pattern is not None:
            self._check_pattern(self.pattern)
        least = {"depth_keep": 2, "shorten": 3}
        used = self._skipping_fields()
        if len(used) > 1:
            raise ValueError(f"{used[1]} cannot go with {used[0]}; a model has one of them at most")
        for name in used:
            kind = "encoder" if name == "n_merge" else "decoder"
            if self.kind != kind:
                raise ValueError(f"{name} needs kind={kind!r}; got {name}={getattr(self, name)!r}")
            if name != "pattern" and self.norm_placement != "pre":
                raise ValueError(f"{name} needs norm_placement='pre'; got {self.norm_placement!r}")
            if self.n_layer < least.get(name, 1):
                raise ValueError(f"{name} needs n_layer of at least {least[name]}; got {self.n_layer}")
            if self.window is not None:
                raise ValueError(f"window cannot go with {name}; got window={self.window}")
            if name in ("depth_keep", "shorten") and self.position == "alibi":
                raise ValueError(f"position='alibi' cannot go with {name}, which changes the distances")
        if self.n_merge and 2 * self.n_merge * self.n_layer > self.n_ctx:
            raise ValueError(
                f"n_merge must leave half of n_ctx={self.n_ctx} tokens after n_layer={self.n_layer} blocks; "
                f"got {self.n_merge}"
            )

    def _check_pattern(self, pattern: Pattern) -> None:
        if not pattern.causal:
            raise ValueError(f"pattern must have causal=True; got {pattern!r}")
        if self.n_ctx % pattern.block:
            raise ValueError(
                f"pattern must have a block that divides n_ctx={self.n_ctx}; got block={pattern.block}"
            )
        try:
            pattern.n_allowed(self.n_ctx)
        except ValueError as error:
            raise ValueError(f"pattern must cover n_ctx={self.n_ctx} tokens: {error}") from None
        if self.position == "alibi":
            raise ValueError("position='alibi' cannot go with pattern, whose tiles have no penalty")

    @property
    def skips(self) -> str | None:
        """The field by which blocks read only some tokens, or some pairs of them; None where all read all.

        Examples
        --------
        >>> TransformerConfig(4, 64, 4, 256, 128, shorten=2).skips
        'shorten'
        """
        return next(iter(self._skipping_fields()), None)

    def _skipping_fields(self) -> list[str]:
        names = ("pattern", "depth_keep", "shorten", "halting", "n_merge")
        return [name for name in names if getattr(self, name) != self.__dataclass_fields__[name].default]

    def _derive(self, name: str, value: Any) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)

    def _require_count(self, name: str, *, least: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}")

    def replace(self, **changes: Any) -> TransformerConfig:
        """Copy with some fields changed; sizes that stood at their defaults are derived anew.

        Raises
        ------
        ValueError
            If a field is unknown, or as for the class itself.
        """
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        unknown = sorted(set(changes) - set(values))
        if unknown:
            raise ValueError(f"unknown field {unknown[0]!r}; the fields are {tuple(values)}")
        for name in self.derived_fields():
            values[name] = None
        return TransformerConfig(**{**values, **changes})

    def derived_fields(self) -> tuple[str, ...]:
        """Names of the fields that stand at the default that follows from other fields.

        Examples
        --------
        >>> TransformerConfig(12, 768, 12, 50257, 1024, d_ff=2048).derived_fields()
        ('n_kv_head', 'd_head', 'qkv_bias')
        """
        defaults = {
            "n_kv_head": self.n_head,
            "d_head": self.d_model // self.n_head,
            "d_ff": 4 * self.d_model,
            "qkv_bias": self.bias,
        }
        if self.d_model % self.n_head:
            del defaults["d_head"]  # it was given, for no default exists
        return tuple(name for name, default in defaults.items() if getattr(self, name) == default)

    @classmethod
    def from_huggingface(cls, published: Mapping[str, Any]) -> TransformerConfig:
        """Config from the content of a ``config.json`` of GPT-2, BERT, Llama, Mistral or Mixtral.

        Both spellings are read: as published (``rope_theta``), and as transformers 5 writes it
        (``rope_parameters``).

        Raises
        ------
        ValueError
            If a size is missing, or a value is one that no config can express; the message names the key.

        Examples
        --------
        >>> published = {"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12,
        ...     "n_positions": 1024, "vocab_size": 50257, "activation_function": "gelu_new",
        ...     "layer_norm_epsilon": 1e-5}
        >>> TransformerConfig.from_huggingface(published).d_ff
        3072

        See also: `scaling_transformers.huggingface.fields_from_huggingface`, which has the details.
        """
        return cls(**fields_from_huggingface(published))
