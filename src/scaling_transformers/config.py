"""The one description of a transformer that counting, building, costing and plotting all read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from scaling_transformers.huggingface import fields_from_huggingface

_CHOICES = {
    "kind": ("decoder", "encoder"),
    "activation": ("gelu", "gelu_tanh", "relu", "swiglu", "geglu"),
    "norm": ("layernorm", "rmsnorm"),
    "norm_placement": ("pre", "post"),
    "position": ("learned", "sinusoidal", "rotary", "alibi", "none"),
}


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
    qkv_bias : bool, optional
        Bias on the query, key and value projections. Default: as ``bias``.
    n_expert, n_expert_active : int
        Feed-forward experts in each block, and how many of them serve a token.
    window : int, optional
        A token attends to itself and the ``window - 1`` tokens before it. Default: to all before it.

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
        for name in ("d_head", "d_ff", "n_expert", "n_expert_active"):
            self._require_count(name, least=1)
        self._require_count("n_token_type", least=0)
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}; got {getattr(self, name)!r}")
        for name in ("bias", "qkv_bias", "tie_embeddings", "pooler"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False; got {getattr(self, name)!r}")
        for name in ("rope_theta", "norm_eps"):
            value = getattr(self, name)
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
        fields = asdict(self)
        unknown = sorted(set(changes) - set(fields))
        if unknown:
            raise ValueError(f"unknown field {unknown[0]!r}; the fields are {tuple(fields)}")
        for name in self.derived_fields():
            fields[name] = None
        return TransformerConfig(**{**fields, **changes})

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
