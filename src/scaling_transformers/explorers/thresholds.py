"""A run is planned: how surely it crosses a compute threshold, what it costs, and whose budget covers it."""

from __future__ import annotations

from functools import cache
from typing import Any

from scaling_transformers.explorers.base import Control, Explorer
from scaling_transformers.society import (
    Interval,
    Spread,
    budget,
    cost_of_run,
    crosses,
    planned_flops,
)

SIZES = (1, 7, 70, 400, 2000)  # billions of parameters
TOKENS = (0.1, 2.0, 15.0, 100.0)  # trillions
FACTORS = (1.3, 2.0, 5.0)
THRESHOLDS = (1e23, 1e25, 1e26)
BUDGETS = {
    "ERC grant of a lab": "ERC Starting Grant",
    "UK compute programme": "UK compute programme",
    "US NAIRR plan": "US NAIRR plan",
    "research of a university": "University of Michigan research",
    "capital spending of Meta": "Meta capital spending",
}
OPERATIONS, DOLLARS = (1e19, 1e28), (1e2, 1e12)  # what the picture shows
_UNIT = 1e24


@cache
def _unit_cost(factor: float) -> Interval:
    """Cost of a run of `_UNIT` FLOPs; that of any other is in proportion."""
    return cost_of_run(Spread.factor(_UNIT, factor))


def _percent(share: float) -> str:
    """A probability as one says it; never quite 0 or 1."""
    return "below 0.1%" if share < 0.001 else "above 99.9%" if share > 0.999 else f"{share:.1%}"


def _dollars(value: float) -> str:
    for unit, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if value >= unit:
            return f"{float(f'{value / unit:.2g}'):g} {name}"
    return f"{float(f'{value:.2g}'):g}"


def _plan(size: float, tokens: float, factor: float, threshold: float) -> dict[str, Any]:
    """Chance to cross ``threshold``, and cost against budgets, of a run known to a ``factor``."""
    flops = planned_flops(n_params=size * 1e9, n_tokens=tokens * 1e12)
    chance = crosses(flops, threshold=threshold, interval=factor)
    unit = _unit_cost(factor)
    cost = [value * flops / _UNIT for value in (unit.low, unit.middle, unit.high)]
    shares = [cost[1] / budget(name).usd_per_year for name in BUDGETS.values()]
    covered = [label for label, share in zip(BUDGETS, shares, strict=True) if share <= 1]
    return {
        "operations": [flops / factor, flops, flops * factor],
        "threshold": threshold,
        "chance": _percent(chance),
        "cost": cost,
        "shares": shares,
        "summary": (
            f"{size:,g} billion parameters and {tokens:,g} trillion tokens take "
            f"{flops:.1e} FLOPs, known to a factor of {factor:g}. Chance to be above {threshold:.0e}: "
            f"{_percent(chance)}. Renting the machines costs {_dollars(cost[1])} dollars "
            f"({_dollars(cost[0])} to {_dollars(cost[2])}). "
            + (f"One year covers it: {', '.join(covered)}." if covered else "No budget here covers it.")
        ),
    }


def thresholds_explorer() -> Explorer:
    """Choose a size, tokens, how well the FLOPs are known and a threshold; see the chance and the cost."""
    return Explorer(
        title="How surely is a run above the threshold, and who could pay for it?",
        controls=[
            Control("size", "Parameters", SIZES, unit=" billion", initial=400),
            Control("tokens", "Tokens", TOKENS, unit=" trillion", initial=15.0),
            Control("factor", "FLOPs known to a factor of", FACTORS, initial=2.0),
            Control("threshold", "Threshold", THRESHOLDS, unit=" FLOPs", format=".0e", initial=1e25),
        ],
        compute=_plan,
        view="thresholds",
        fixed={
            "budgets": [
                {"label": label, "dollars": budget(name).usd_per_year} for label, name in BUDGETS.items()
            ],
            "operations": OPERATIONS,
            "dollars": DOLLARS,
        },
    )
