"""A budget is split: the best model to train, and the best one to train and then use."""

from __future__ import annotations

from typing import Any

import numpy as np

from scaling_transformers.explorers.base import Control, Explorer
from scaling_transformers.scaling import ChinchillaLaw

LAW = ChinchillaLaw.refitted()  # Besiroglu et al. 2024
BUDGETS = tuple(10.0**exponent for exponent in range(20, 27))
USES = (0.0, *(10.0**exponent for exponent in range(10, 16)))
SIZES, TOKENS = (1e8, 1e13), (1e9, 1e16)  # what the picture shows
_LOSSES = (2.6, 2.3, 2.1, 2.0, 1.9, 1.86)


def _level(loss: float) -> list[list[float]]:
    """Parameters and tokens at which the law gives ``loss``, inside the picture."""
    share = 1 / (1 + np.exp(-np.linspace(-12, 12, 241)))  # of the parameters' term in what is above E
    sizes = (LAW.A / (share * (loss - LAW.E))) ** (1 / LAW.alpha)
    tokens = (LAW.B / ((1 - share) * (loss - LAW.E))) ** (1 / LAW.beta)
    shown = (sizes > SIZES[0]) & (sizes < SIZES[1]) & (tokens > TOKENS[0]) & (tokens < TOKENS[1])
    return [sizes[shown][::-1].tolist(), tokens[shown][::-1].tolist()]


def _number(value: float) -> str:
    """A size or a number of tokens as one says it."""
    for unit, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value >= unit:
            return f"{value / unit:,.3g} {name}"
    return f"{value:,.3g}"


def _split(flops: float, use: float) -> dict[str, Any]:
    """The best split of ``flops`` of training, and the cheapest life at its loss with ``use`` tokens."""
    best = LAW.optimal(flops=flops)
    life = LAW.cheapest(loss=best.loss, n_inference_tokens=use)
    training = 6 * life.n_params * life.n_tokens
    whole = training + 2 * life.n_params * use
    saved = 1 - whole / (flops + 2 * best.n_params * use)
    return {
        "best": [best.n_params, best.n_tokens],
        "life": [life.n_params, life.n_tokens],
        "level": _level(float(best.loss)),
        "summary": (
            f"{flops:g} FLOPs of training are best spent on {_number(best.n_params)} parameters and "
            f"{_number(best.n_tokens)} tokens ({best.tokens_per_parameter:,.3g} for each): "
            f"loss {best.loss:.3f} nats a token. "
            + (
                "Nobody uses the model, so this is the cheapest life."
                if use == 0
                else f"To use it for {_number(use)} tokens, the cheapest model of the same loss has "
                f"{_number(life.n_params)} parameters and reads {_number(life.n_tokens)} tokens "
                f"({life.tokens_per_parameter:,.3g} for each): training takes {training / flops:,.3g} times "
                f"as much, and the whole life {saved:.1%} less."
            )
        ),
    }


def budget_explorer() -> Explorer:
    """Choose a budget of training and how much the model will be used; see the best sizes on the law's map.

    The law is Chinchilla's, as fitted anew by Besiroglu et al. 2024.
    """
    return Explorer(
        title="The more a model will be used, the smaller the best one",
        controls=[
            Control("flops", "Training", BUDGETS, unit=" FLOPs", format="g", initial=1e24),
            Control("use", "Tokens in use", USES, format="g", initial=1e13),
        ],
        compute=_split,
        view="budget",
        fixed={
            "sizes": SIZES,
            "tokens": TOKENS,
            "levels": [{"loss": f"{loss:g}", "line": _level(loss)} for loss in _LOSSES],
        },
    )
