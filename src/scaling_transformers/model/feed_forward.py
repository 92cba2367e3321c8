"""The feed-forward layer of a block, dense or as a mixture of experts."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling_transformers.config import TransformerConfig
from scaling_transformers.model.trace import Trace


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

    def forward(self, x: Tensor, trace: Trace | None = None) -> Tensor:
        up = self.up(x)
        if self.gate is not None:
            gate = self.gate(x)
            hidden = up * (F.silu(gate) if self.activation == "swiglu" else F.gelu(gate))
        elif self.activation == "relu":
            hidden = F.relu(up)
        else:
            hidden = F.gelu(up, approximate="tanh" if self.activation == "gelu_tanh" else "none")
        return cast(Tensor, self.down(hidden))


class MixtureOfExperts(nn.Module):
    """Feed-forward layers side by side, of which a router picks ``n_expert_active`` for each token.

    Source: Jiang et al. 2024 (Mixtral of Experts), section 2.1.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.n_active = config.n_expert_active
        self.router = nn.Linear(config.d_model, config.n_expert, bias=False)
        self.experts = nn.ModuleList(FeedForward(config) for _ in range(config.n_expert))

    def route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Which experts serve each token, and with what weight.

        Parameters
        ----------
        x : tensor, shape (..., d_model)

        Returns
        -------
        weights : tensor, shape (..., n_expert_active)
            The softmax over all experts, of which the largest are kept and made to sum to 1.
        experts : integer tensor, shape (..., n_expert_active)
        """
        # In float32 at least: rounding in half precision would change which experts are picked.
        probabilities = self.router(x).softmax(dim=-1, dtype=torch.promote_types(x.dtype, torch.float32))
        weights, experts = probabilities.topk(self.n_active, dim=-1)
        return weights / weights.sum(dim=-1, keepdim=True), experts

    def forward(self, x: Tensor, trace: Trace | None = None) -> Tensor:
        flat = x.flatten(0, -2)  # (n_token, d_model)
        weights, chosen = self.route(flat)
        out = torch.zeros_like(flat)
        for index, expert in enumerate(self.experts):
            token, rank = torch.where(chosen == index)  # an expert that nobody picks gets no tokens
            share = weights[token, rank, None].to(x.dtype)
            out = out.index_add(0, token, (share * expert(flat[token])).to(x.dtype))
        return out.view_as(x)


def make_feed_forward(config: TransformerConfig) -> FeedForward | MixtureOfExperts:
    """The dense layer, or several with a router where the config asks for experts."""
    return FeedForward(config) if config.n_expert == 1 else MixtureOfExperts(config)
