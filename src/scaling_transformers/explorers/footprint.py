"""A run is trained and used for a life: its energy, its carbon, and how many households live on as much."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from scaling_transformers.config import TransformerConfig
from scaling_transformers.explorers._numbers import written
from scaling_transformers.explorers.base import Control, Explorer
from scaling_transformers.footprint import (
    Footprint,
    grids,
    households,
    inference_footprint,
    query_seconds,
    training_footprint,
)
from scaling_transformers.presets import preset


class Life(NamedTuple):
    """A model, the FLOPs of its training, and the accelerator that trains and serves it."""

    config: TransformerConfig  #: The model.
    flops: float  #: FLOPs of its training.
    chip: str  #: The accelerator, by name.


RUNS = {
    "GPT (2018)": Life(TransformerConfig(12, 768, 12, vocab_size=40_478, n_ctx=512), 8.29e19, "V100"),
    "Llama 2 7B": Life(preset("llama-2-7b"), 8.4e22, "A100"),
    "GPT-3 175B": Life(preset("gpt3-175b"), 3.14e23, "V100"),
    "Llama 3.1 405B": Life(preset("llama-3-405b"), 3.8e25, "H100"),
}
PLACES = ("Sweden", "United States", "India")
UTILISATIONS = (0.2, 0.4, 0.6)
PUES = (1.1, 1.6)
QUERIES = (0.0, 1e6, 1e9, 1e12)
TOKENS_IN, TOKENS_OUT, BATCH = 300, 200, 16
SEVERAL = (3, 10)
"""From three households up to ten, ten itself left out."""


@cache
def _seconds(run: str) -> float:
    """Seconds of one accelerator a query, at half of what the roofline allows."""
    config, _, chip = RUNS[run]
    return query_seconds(
        config,
        tokens_in=TOKENS_IN,
        tokens_out=TOKENS_OUT,
        accelerator=chip,
        batch=BATCH,
        utilisation=0.5,
    )


def verdict(n_household: float) -> str:
    """Whether so many households are several, and if not, what they are."""
    if n_household < 1:
        return "no, less than one"
    if n_household < SEVERAL[0]:
        return "no, one or two"
    if n_household < SEVERAL[1]:
        return "yes"
    for limit, words in ((100, "tens"), (1000, "hundreds"), (1e6, "thousands")):
        if n_household < limit:
            return f"no, {words}"
    return "no, millions"


def _life(run: str, place: str, utilisation: float, pue: float, queries: float) -> dict[str, Any]:
    """Energy, carbon and households of a run's training, its use, and both."""
    _, flops, chip = RUNS[run]
    grid = {row.place: row.g_co2e_per_kwh for row in grids()}[place]
    training = training_footprint(
        flops=flops, accelerator=chip, utilisation=utilisation, pue=pue, carbon_intensity=grid
    )
    parts: list[Footprint] = [training]
    if queries:
        use = inference_footprint(
            queries_per_day=queries,
            days=1,
            seconds_per_query=_seconds(run),
            accelerator=chip,
            pue=pue,
            carbon_intensity=grid,
        )
        parts += [use, training + use]
    living = [[households(part.energy_kwh, region=region) for part in parts] for region in ("US", "EU")]
    tonnes = [part.total_co2e_kg / 1000 for part in parts]
    total = f"{written(parts[-1].energy_kwh / 1000)} MWh and {written(tonnes[-1])} t of CO2e"
    return {
        "households": living[0],
        "megawatthours": [part.energy_kwh / 1000 for part in parts],
        "tonnes": tonnes,
        "summary": (
            f"{run} on {chip} in {place}, utilisation {utilisation:.0%}, PUE {pue:g}, "
            f"queries: {queries:,.0f}. "
            f"{total}: as much electricity as {written(living[0][-1])} US households use in a year, "
            f"or {written(living[1][-1])} in the EU. Several households? In the US, "
            f"for {'the whole life' if queries else 'training alone'}: {verdict(living[0][-1])}."
        ),
    }


def footprint_explorer() -> Explorer:
    """Choose a run, a grid, utilisation, PUE and use; see energy, carbon, and what becomes of the claim.

    A query reads 300 tokens and writes 200, sixteen at a time, at half of the speed that the roofline allows.
    Carbon includes the share of making the machines.
    """
    return Explorer(
        title="The run decides, then its use; the grid decides the carbon",
        controls=[
            Control("run", "Run", tuple(RUNS), initial="Llama 2 7B"),
            Control("place", "Grid", PLACES, initial="United States"),
            Control("utilisation", "Utilisation", UTILISATIONS, format=".0%", initial=0.4),
            Control("pue", "PUE", PUES),
            Control("queries", "Queries in its life", QUERIES, format=",.0f"),
        ],
        compute=_life,
        view="footprint",
        fixed={"several": list(SEVERAL)},
    )
