"""A transformer in torch, top to bottom in the order the data flows."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling_transformers.attention import (
    alibi_bias,
    apply_rotary,
    attention_weights,
    causal_mask,
    merge_heads,
    sinusoidal_positions,
    split_heads,
    window_mask,
)
from scaling_transformers.config import TransformerConfig


class Attention(nn.Module):
    """Multi-head (or grouped-query) self-attention with its four projections."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        d_query, d_key = config.n_head * config.d_head, config.n_kv_head * config.d_head
        self.query = nn.Linear(config.d_model, d_query, bias=config.qkv_bias)
        self.key = nn.Linear(config.d_model, d_key, bias=config.qkv_bias)
        self.value = nn.Linear(config.d_model, d_key, bias=config.qkv_bias)
        self.out = nn.Linear(d_query, config.d_model, bias=config.bias)

    def forward(
        self, x: Tensor, mask: Tensor | None, head_gate: Tensor | None, return_attention: bool
    ) -> tuple[Tensor, Tensor | None]:
        config = self.config
        q = split_heads(self.query(x), n_head=config.n_head)  # (batch, n_head, n, d_head)
        k = split_heads(self.key(x), n_head=config.n_kv_head)
        v = split_heads(self.value(x), n_head=config.n_kv_head)
        if config.position == "rotary":
            q, k = (apply_rotary(part, theta=config.rope_theta) for part in (q, k))
        groups = config.n_head // config.n_kv_head
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        if return_attention:
            weights = attention_weights(q, k, mask=mask, is_causal=mask is None and config.kind == "decoder")
            out = weights @ v
        else:
            weights = None
            out = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=mask is None and config.kind == "decoder"
            )
        if head_gate is not None:
            out = out * head_gate[:, None, None]
        return self.out(merge_heads(out)), weights


class FeedForward(nn.Module):
    """Two linear maps with a nonlinearity between, or three where a gate multiplies it (SwiGLU, GeGLU)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.activation = config.activation
        self.up = nn.Linear(config.d_model, config.d_ff, bias=config.bias)
        self.gate = (
            nn.Linear(config.d_model, config.d_ff, bias=config.bias)
            if config.activation in ("swiglu", "geglu")
            else None
        )
        self.down = nn.Linear(config.d_ff, config.d_model, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        up = self.up(x)
        if self.gate is not None:
            gate = self.gate(x)
            hidden = up * (F.silu(gate) if self.activation == "swiglu" else F.gelu(gate))
        elif self.activation == "relu":
            hidden = F.relu(up)
        else:
            hidden = F.gelu(up, approximate="tanh" if self.activation == "gelu_tanh" else "none")
        return cast(Tensor, self.down(hidden))


def make_norm(config: TransformerConfig) -> nn.Module:
    """LayerNorm or RMSNorm over the width."""
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.d_model, eps=config.norm_eps)
    return nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=config.bias)


class Block(nn.Module):
    """Attention, then feed-forward, each added to the residual stream."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.pre_norm = config.norm_placement == "pre"
        self.attention_norm, self.attention = make_norm(config), Attention(config)
        self.feed_forward_norm, self.feed_forward = make_norm(config), FeedForward(config)

    def forward(
        self, x: Tensor, mask: Tensor | None, head_gate: Tensor | None, return_attention: bool
    ) -> tuple[Tensor, Tensor | None]:
        if self.pre_norm:
            out, weights = self.attention(self.attention_norm(x), mask, head_gate, return_attention)
            x = x + out
            return x + self.feed_forward(self.feed_forward_norm(x)), weights
        out, weights = self.attention(x, mask, head_gate, return_attention)
        x = self.attention_norm(x + out)
        return self.feed_forward_norm(x + self.feed_forward(x)), weights


class Transformer(nn.Module):
    """The model that a `TransformerConfig` describes.

    ``model(tokens)`` maps whole numbers of shape (batch, n) to logits of shape (batch, n, vocab_size).

    Raises
    ------
    ValueError
        If the config asks for experts, token types or a pooler, which this model does not have.
    """

    position_table: Tensor
    position_bias: Tensor

    def __init__(self, config: TransformerConfig):
        super().__init__()
        for name, plain in (("n_expert", 1), ("n_token_type", 0), ("pooler", False)):
            if getattr(config, name) != plain:
                raise ValueError(f"{name} must be {plain} for this model; got {getattr(config, name)}")
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        if config.position == "learned":
            self.position_embedding = nn.Embedding(config.n_ctx, config.d_model)
        elif config.position == "sinusoidal":
            table = torch.from_numpy(sinusoidal_positions(config.n_ctx, config.d_model)).float()
            self.register_buffer("position_table", table, persistent=False)
        elif config.position == "alibi":
            bias = torch.from_numpy(alibi_bias(config.n_head, config.n_ctx)).float()
            self.register_buffer("position_bias", bias, persistent=False)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.final_norm = make_norm(config) if config.norm_placement == "pre" else nn.Identity()
        self.unembedding = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.apply(self._initialise)
        if config.tie_embeddings:
            self.unembedding.weight = self.embedding.weight

    def _initialise(self, module: nn.Module) -> None:
        """Normal weights of deviation 0.02, less on what joins the residual stream (GPT-2, section 2.3)."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, Block):
            for projection in (module.attention.out, module.feed_forward.down):
                nn.init.normal_(projection.weight, std=0.02 / (2 * self.config.n_layer) ** 0.5)

    def _mask(self, x: Tensor) -> Tensor | None:
        """What the fused kernel's plain causal flag does not say: window and distance penalty."""
        config, n = self.config, x.shape[1]
        allowed = None
        if config.window is not None and config.window < n:
            allowed = window_mask(n, window=config.window, like=x)
        if config.position != "alibi":
            return allowed
        bias = self.position_bias[:, :n, :n].to(x.dtype)
        if config.kind == "decoder":
            allowed = causal_mask(n, like=x) if allowed is None else allowed
            bias = bias.masked_fill(~allowed, -float("inf"))
        return bias

    def forward(
        self, tokens: Tensor, *, head_gate: Tensor | None = None, return_attention: bool = False
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Logits of the next token (decoder) or of each token (encoder).

        Parameters
        ----------
        tokens : integer tensor, shape (batch, n), n at most ``n_ctx``
        head_gate : tensor, shape (n_layer, n_head), optional
            Factor on the output of each head: 0 removes it.
        return_attention : bool
            Also return the attention weights, one tensor (batch, n_head, n, n) a layer, computed by
            `scaling_transformers.attention.attention_weights` in place of the fused kernel.

        Returns
        -------
        tensor, shape (batch, n, vocab_size), or that and the list of weights
        """
        config = self.config
        if not isinstance(tokens, Tensor) or tokens.dtype not in (torch.int64, torch.int32):
            raise ValueError(
                f"tokens must be a tensor of whole numbers; got {getattr(tokens, 'dtype', type(tokens))}"
            )
        if tokens.ndim != 2 or tokens.shape[0] < 1:
            raise ValueError(f"tokens must have shape (batch, n); got {tuple(tokens.shape)}")
        n = tokens.shape[1]
        if not 1 <= n <= config.n_ctx:
            raise ValueError(f"tokens must have a length from 1 to n_ctx={config.n_ctx}; got {n}")
        least, largest = int(tokens.min()), int(tokens.max())
        if least < 0 or largest >= config.vocab_size:
            raise ValueError(
                f"tokens must lie below vocab_size={config.vocab_size} and not below 0; "
                f"got {least} to {largest}"
            )
        if head_gate is not None:
            if tuple(head_gate.shape) != (config.n_layer, config.n_head):
                raise ValueError(
                    f"head_gate must have shape {(config.n_layer, config.n_head)}; "
                    f"got {tuple(head_gate.shape)}"
                )
            if not bool(head_gate.isfinite().all()):
                raise ValueError("head_gate must be finite; it holds NaN or infinity")
        x = self.embedding(tokens)
        if config.position == "learned":
            x = x + self.position_embedding.weight[:n]
        elif config.position == "sinusoidal":
            x = x + self.position_table[:n]
        mask, patterns = self._mask(x), []
        for layer, block in enumerate(self.blocks):
            gate = None if head_gate is None else head_gate[layer]
            x, weights = block(x, mask, gate, return_attention)
            patterns.append(weights)
        logits = self.unembedding(self.final_norm(x))
        return (logits, patterns) if return_attention else logits
