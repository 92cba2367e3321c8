"""A neuron that spikes against one that multiplies: how seldom must it fire to be the cheaper?"""

from __future__ import annotations

from typing import Any

from scaling_transformers.explorers._numbers import three_digits, written
from scaling_transformers.explorers.base import Control, Explorer
from scaling_transformers.frontiers.spiking_energy import (
    Prices,
    Work,
    break_even_spikes,
    energy_pj,
    prices,
)

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # spikes of a neuron a step
STEPS = (1, 2, 4, 8)
FAN_OUTS = (16, 64, 1024)
MEMORY = "SRAM 32 KB"
BILLS = {  # memory, and tokens that share what a dense machine reads
    "arithmetic alone": (None, 1),
    "each reads its weights": (MEMORY, 1),
    "dense shares, 5 tokens": (MEMORY, 5),
}
PARTS = ("arithmetic", "neuron", "weights")


def _works(spikes: float, *, steps: int, fan_out: int, reuse: int) -> tuple[Work, Work]:
    """One pass of a dense neuron and of a spiking one, each read by ``fan_out`` weights."""
    dense = Work(products=fan_out, updates=1, weights_shared=fan_out / reuse, state=2)
    spiking = Work(
        accumulates=spikes * fan_out, updates=steps, weights_shared=spikes * fan_out, state=2 * steps
    )
    return dense, spiking


def _split(work: Work, paid: Prices) -> list[float]:
    """Picojoules of the arithmetic on weights, of the neuron itself, and of reading the weights."""
    return [
        energy_pj(part, paid)
        for part in (
            Work(products=work.products, accumulates=work.accumulates),
            Work(updates=work.updates, state=work.state),
            Work(weights_shared=work.weights_shared),
        )
    ]


def _said(even: float) -> str:
    """What the even rate means."""
    if even <= 0:
        return "No rate is low enough: the neuron's own updates cost more."
    if even > 1:
        return "Spiking is cheaper at any rate."
    return f"They are even at a rate of {written(100 * even)}%."


def _bill(rate: float, steps: float, fan_out: float, bill: str) -> dict[str, Any]:
    """Energy of a pass, dense and spiking, and their ratio over the rates of the picture."""
    memory, reuse = BILLS[bill]
    paid = prices(memory=memory)
    counts = {"steps": int(steps), "fan_out": int(fan_out), "reuse": reuse}
    split = [_split(work, paid) for work in _works(rate * steps, **counts)]
    dense, spiking = totals = [sum(parts) for parts in split]
    ratios = []
    for other in RATES:
        of_dense, of_spiking = _works(other * steps, **counts)
        ratios.append(energy_pj(of_spiking, paid) / energy_pj(of_dense, paid))
    even = float(break_even_spikes(paid, fan_out=fan_out, n_time=steps, reuse=reuse)) / steps
    return {
        "rate": rate,
        "parts": [[three_digits(part) for part in parts] for parts in split],
        "all": [three_digits(total) for total in totals],
        "ratio": three_digits(spiking / dense),
        "ratios": ratios,
        "even": three_digits(even),
        "summary": (
            f"Read by {int(fan_out):,} weights, fires in {100 * rate:g}% of {int(steps)} "
            f"step{'' if steps == 1 else 's'}; bill: {bill}. "
            f"Dense {written(dense)} pJ, spiking {written(spiking)} pJ, "
            f"{written(spiking / dense)} times as much. {_said(even)}"
        ),
    }


def spikes_explorer() -> Explorer:
    """Choose how often a neuron fires, its time steps, its fan-out and the bill; see which neuron is cheaper.

    Numbers of 32 bits and a memory of 32 KB, at the prices of 45 nm.
    """
    return Explorer(
        title="How seldom must a neuron fire? That depends on who pays for memory",
        controls=[
            Control("rate", "Steps in which it fires", RATES, format=".0%", initial=0.2),
            Control("steps", "Time steps", STEPS, initial=2),
            Control("fan_out", "Weights that read a neuron", FAN_OUTS, initial=64),
            Control("bill", "Bill", tuple(BILLS), initial="each reads its weights"),
        ],
        compute=_bill,
        view="spikes",
        fixed={"rates": RATES, "parts": PARTS},
    )
