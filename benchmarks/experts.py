"""Speed of a layer of experts beside a dense layer of the same FLOPs, and beside the transformers library's.

Run by ``make bench``. Both sides read the same tokens; beside the library they hold the same weights, and
must say the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from harness import header, time_row
from torch import Tensor, nn
from transformers import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

from scaling_transformers import TransformerConfig
from scaling_transformers.model.feed_forward import FeedForward, MixtureOfExperts

N_TOKEN, N_EXPERT, N_ACTIVE = 4096, 8, 2


def config_of(d_model: int) -> TransformerConfig:
    """The two experts that serve a token are together as wide as the usual layer."""
    return TransformerConfig(
        1,
        d_model,
        1,
        1,
        N_TOKEN,
        d_ff=4 * d_model // N_ACTIVE,
        activation="swiglu",
        bias=False,
        n_expert=N_EXPERT,
        n_expert_active=N_ACTIVE,
    )


def library_layer(ours: MixtureOfExperts, config: TransformerConfig) -> nn.Module:
    """The layer of the transformers library with our weights."""
    peer = MixtralSparseMoeBlock(
        MixtralConfig(
            hidden_size=config.d_model,
            intermediate_size=config.d_ff,
            num_local_experts=N_EXPERT,
            num_experts_per_tok=N_ACTIVE,
            experts_implementation="eager",
        )
    )
    experts: list[FeedForward] = list(ours.experts)  # type: ignore[arg-type]
    with torch.no_grad():
        peer.gate.weight.copy_(ours.router.weight)
        for index, expert in enumerate(experts):
            assert expert.gate is not None
            joined = torch.cat([expert.gate.weight, expert.up.weight])
            peer.experts.gate_up_proj[index].copy_(joined)
            peer.experts.down_proj[index].copy_(expert.down.weight)
    return peer


def forward(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.no_grad():
        return layer(x)


def both_ways(layer: Callable[[Tensor], Tensor], x: Tensor) -> None:
    layer(x.detach().requires_grad_()).sum().backward()  # type: ignore[no-untyped-call]


def main() -> None:
    header(
        f"Experts: {N_TOKEN} tokens, {N_EXPERT} experts, {N_ACTIVE} a token, SwiGLU; "
        "ratio = time, ours / peer"
    )
    for d_model in (256, 512):
        torch.manual_seed(0)
        config = config_of(d_model)
        ours = MixtureOfExperts(config)
        dense = FeedForward(config.replace(n_expert=1, n_expert_active=1, d_ff=4 * d_model))
        peer = library_layer(ours, config)
        x = torch.randn(4, N_TOKEN // 4, d_model)
        torch.testing.assert_close(forward(ours, x), forward(peer, x), rtol=1e-4, atol=1e-5)
        for what, run in (("forward", forward), ("there and back", both_ways)):
            for name, other, target in (("dense layer", dense, "<= 1.3"), ("transformers", peer, "<= 1")):
                time_row(
                    f"{what}, width {d_model}, peer: {name}",
                    partial(run, ours, x),
                    partial(run, other, x),
                    target=target,
                )


if __name__ == "__main__":
    main()
