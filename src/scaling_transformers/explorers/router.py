"""A router sends the tokens of one text to experts: who is served, who is dropped, which room stays empty."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from scaling_transformers.explorers.base import Control, Explorer

N_TOKEN = 64
MOST = 4  # experts of one token that are told apart in the picture: so many or more
RULES = ("tokens choose", "experts choose")
EXPERTS = (4, 8, 16)
ACTIVE = (1, 2)
FACTORS = (1.0, 1.25, 2.0)
SKEWS = (0.0, 0.5, 1.0, 2.0)


@cache
def _logits(n_expert: int, skew: float) -> Any:
    """Logits of a text, (1, n, n_expert): standard normal; the first expert ``skew`` more, the last less."""
    noise = np.random.default_rng(0).standard_normal((1, N_TOKEN, max(EXPERTS)))[..., :n_expert]
    return noise + skew * np.linspace(1, -1, n_expert)


def _route(rule: str, n_expert: float, n_active: float, factor: float, skew: float) -> dict[str, Any]:
    """How many tokens each expert is asked for and serves, and by how many experts each token is served."""
    import torch

    from scaling_transformers.sparsity import routing

    n_expert, n_active = int(n_expert), int(n_active)
    logits = torch.from_numpy(_logits(n_expert, skew))
    room = routing.expert_capacity(N_TOKEN, n_expert=n_expert, n_active=n_active, factor=factor)
    if rule == "tokens choose":
        experts = routing.top_k(logits, n_active=n_active).experts
        kept = routing.within_capacity(experts, n_expert=n_expert, capacity=room)
        asked = torch.bincount(experts.flatten(), minlength=n_expert)
        served = torch.bincount(experts[kept], minlength=n_expert)
        by_token = kept.sum(dim=-1)[0]
    else:
        tokens = routing.expert_choice(logits, n_taken=room).tokens
        asked = served = torch.full((n_expert,), room)
        by_token = torch.bincount(tokens.flatten(), minlength=N_TOKEN)
    chosen, taken = int(asked.sum()), int(served.sum())
    dropped, left_out = 1 - taken / chosen, int((by_token == 0).sum())
    balance = float(routing.load_entropy(asked / chosen))
    experts_of = "1 expert" if n_active == 1 else f"{n_active} experts"
    return {
        "asked": asked.tolist(),
        "served": served.tolist(),
        "room": room,
        "tokens": torch.bincount(by_token.clamp(max=MOST), minlength=MOST + 1).tolist(),
        "dropped": float(f"{100 * dropped:.3g}"),
        "summary": (
            f"{rule.capitalize()}: {N_TOKEN} tokens, {experts_of} of {n_expert} for each"
            f"{'' if rule == RULES[0] else ' on average'}, skew {skew:g}, room for {room} tokens at each. "
            f"Entropy of the load: {balance:.0%} of its largest; the busiest is asked for "
            f"{int(asked.max())}. Dropped: {100 * dropped:.3g}% of the choices; left without any expert: "
            f"{left_out} token{'' if left_out == 1 else 's'}. "
            f"Room that stays empty: {1 - taken / (room * n_expert):.1%}."
        ),
    }


def router_explorer() -> Explorer:
    """Choose who chooses, how many experts, their room and how unequal they are; see load and dropped tokens.

    The router's logits are random but for the skew, which makes some experts more wanted.
    """
    return Explorer(
        title="Tokens crowd the wanted experts, experts forget unwanted tokens",
        controls=[
            Control("rule", "Who chooses", RULES),
            Control("n_expert", "Experts", EXPERTS, initial=8),
            Control("n_active", "Experts for a token", ACTIVE, initial=2),
            Control("factor", "Capacity factor", FACTORS, format=".2f"),
            Control("skew", "Skew of the router", SKEWS, initial=1.0),
        ],
        compute=_route,
        view="router",
        fixed={"n": N_TOKEN},
    )
