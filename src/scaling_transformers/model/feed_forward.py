"""The feed-forward layer of a block, dense or as a mixture of experts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling_transformers.config import TransformerConfig
from scaling_transformers.model.trace import Routing, Trace
from scaling_transformers.sparsity.routing import (
    TopK,
    balance_loss,
    expert_capacity,
    expert_choice,
    load,
    load_entropy,
    top_k,
    updated_bias,
    within_capacity,
)

BIAS_RATE = 1e-3  # of the bias that balances experts, a training pass; Wang et al. 2024


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
        """The layer at ``x`` (..., d_model), in that shape; it notes nothing in ``trace``."""
        up = self.up(x)
        if self.gate is not None:
            gate = self.gate(x)
            hidden = up * (F.silu(gate) if self.activation == "swiglu" else F.gelu(gate))
        elif self.activation == "relu":
            hidden = F.relu(up)
        else:
            hidden = F.gelu(up, approximate="tanh" if self.activation == "gelu_tanh" else "none")
        return cast(Tensor, self.down(hidden))


class Dispatch(NamedTuple):
    """Pairs of a token and an expert that serves it, those of each expert side by side."""

    tokens: Tensor  #: (n_pair,): rows of the flat input
    weights: Tensor  #: (n_pair,): factors on the expert's output
    counts: list[int]  #: pairs of each expert


class MixtureOfExperts(nn.Module):
    """Feed-forward layers side by side, of which a router picks ``n_expert_active`` for each token.

    With ``routing="expert_choice"`` each expert picks its tokens instead; with a ``capacity_factor`` it turns
    tokens away. Shared experts serve every token beside those, with a weight of 1.

    Source: Jiang et al. 2024 (Mixtral of Experts), section 2.1; Dai et al. 2024 (DeepSeekMoE) for shared
    experts.
    """

    balance_bias: Tensor | None  #: What is added to the probabilities when experts are chosen, (n_expert,).

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.router = nn.Linear(config.d_model, config.n_expert, bias=False)
        self.experts = nn.ModuleList(FeedForward(config) for _ in range(config.n_expert))
        self.shared = nn.ModuleList(FeedForward(config) for _ in range(config.n_expert_shared))
        bias = torch.zeros(config.n_expert) if config.balance == "bias" else None
        self.register_buffer("balance_bias", bias)

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
        weights, experts, _ = self._top_k(x)
        return weights, experts

    def forward(self, x: Tensor, trace: Trace | None = None) -> Tensor:
        """The sum of the experts of each token of ``x`` (..., d_model), in that shape."""
        rows = x.flatten(0, -2)  # (n_token, d_model)
        choose = self._experts_choose if self.config.routing == "expert_choice" else self._tokens_choose
        dispatch = choose(x, trace)
        out = torch.zeros_like(rows)
        answers = self.serve(rows.index_select(0, dispatch.tokens), dispatch.counts)
        tokens, weights = (torch.split(part, dispatch.counts) for part in dispatch[:2])
        for answer, to, share in zip(answers, tokens, weights, strict=True):
            out.index_add_(0, to, (share[:, None].to(x.dtype) * answer).to(x.dtype))
        for expert in self.shared:
            out = out + expert(rows)
        return out.view_as(x)

    def serve(self, rows: Tensor, counts: list[int]) -> Iterable[Tensor]:
        """What each expert makes of its rows: the first ``counts[0]`` of them are the first's, and so on."""
        # An expert that nobody picks computes on no rows, so that its gradient is zero and not missing.
        return (expert(read) for expert, read in zip(self.experts, torch.split(rows, counts), strict=True))

    def _top_k(self, x: Tensor) -> TopK:
        return top_k(self.router(x), n_active=self.config.n_expert_active, bias=self.balance_bias)

    def _tokens_choose(self, x: Tensor, trace: Trace | None) -> Dispatch:
        config, n_expert = self.config, self.config.n_expert
        weights, experts, probabilities = self._top_k(x)
        kept = None
        if config.capacity_factor is not None:
            capacity = expert_capacity(
                x.shape[-2], n_expert=n_expert, n_active=config.n_expert_active, factor=config.capacity_factor
            )
            kept = within_capacity(experts, n_expert=n_expert, capacity=capacity)
        if trace is not None and config.balance == "loss":
            trace.losses.append(balance_loss(probabilities, experts) / config.n_layer)
        if trace is not None or self.balance_bias is not None:
            shares = load(experts, n_expert=n_expert)
            if trace is not None:
                dropped = shares.new_zeros(()) if kept is None else 1 - kept.to(shares.dtype).mean()
                trace.routing.append(Routing(shares, load_entropy(shares), dropped))
            if self.training and self.balance_bias is not None:  # like the statistics of a batch norm
                self.balance_bias.copy_(updated_bias(self.balance_bias, shares, rate=BIAS_RATE))
        expert_of_pair = experts.flatten()
        # Dropped pairs go behind all experts, where no one reads them.
        key = expert_of_pair if kept is None else expert_of_pair.where(kept.flatten(), n_expert)
        counts = torch.bincount(key, minlength=n_expert)[:n_expert].tolist()
        order = key.argsort(stable=True)[: sum(counts)]
        return Dispatch(order // config.n_expert_active, weights.flatten()[order], counts)

    def _experts_choose(self, x: Tensor, trace: Trace | None) -> Dispatch:
        config = self.config
        batch, n = x.flatten(0, -3).shape[:2]
        n_taken = expert_capacity(n, n_expert=config.n_expert, n_active=config.n_expert_active)
        weights, tokens = expert_choice(self.router(x).view(batch, n, -1), n_taken=n_taken)
        rows = tokens + n * torch.arange(batch, device=x.device)[:, None, None]
        if trace is not None:
            shares = weights.new_full((config.n_expert,), 1 / config.n_expert)
            taken = torch.zeros(batch * n, dtype=torch.bool, device=x.device).index_fill_(
                0, rows.flatten(), True
            )
            trace.routing.append(
                Routing(shares, torch.ones_like(shares[0]), 1 - taken.to(shares.dtype).mean())
            )
        counts = [batch * n_taken] * config.n_expert
        return Dispatch(rows.transpose(0, 1).flatten(), weights.transpose(0, 1).flatten(), counts)


def make_feed_forward(config: TransformerConfig) -> FeedForward | MixtureOfExperts:
    """The dense layer, or several with a router where the config asks for experts."""
    return FeedForward(config) if config.n_expert == 1 else MixtureOfExperts(config)
