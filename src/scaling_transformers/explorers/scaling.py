"""A law is guessed: its curves over the book's own runs, its misfit, and what it says of the largest."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from scaling_transformers.explorers.base import Control, Explorer
from scaling_transformers.figures.prose import scientific
from scaling_transformers.scaling import ChinchillaLaw, fit_chinchilla, fit_terms

FLOORS = (0.68, 0.70, 0.72, 0.74, 0.76, 0.78, 0.80)
ALPHAS = (0.5, 0.6, 0.7, 0.8, 0.9)
BETAS = (0.35, 0.4, 0.45, 0.5, 0.55)
DELTA = 1e-3  # residual of log loss from which on a run counts by distance, as in the chapter's fits


def _direction(share: float) -> str:
    """How far below the measured loss a predicted one is, in words."""
    return f"{abs(share):.1f} % too {'low' if share >= 0 else 'high'}"


class _Runs:
    """The runs of the synthetic language: those of the largest budget are held out of every fit."""

    def __init__(self) -> None:
        from scaling_transformers.training import runs  # brings torch

        table = runs.recorded("synthetic")
        top = table["budget"] == table["budget"].max()
        self.entropy = runs.entropy_rate()
        self.seen, self.held_out = table[~top], table[top]
        self.budgets = [table[table["budget"] == budget] for budget in np.unique(table["budget"])]

    def miss(self, objective: float) -> float:
        """The mean of what the fit counts, in per cent of the loss: nearly that of the absolute residual."""
        return 100 * objective / (len(self.seen) * DELTA)

    def off(self, law: ChinchillaLaw) -> float:
        """Measured above predicted loss of the held-out runs, in per cent to one decimal, on average."""
        said = law.loss(n_params=self.held_out["n_params"], n_tokens=self.held_out["n_tokens"])
        return round(float(100 * np.mean(self.held_out["loss"] / said - 1)), 1)

    def columns(self) -> tuple[Any, Any, Any]:
        """What a law is fitted to: parameters, tokens and loss."""
        return self.seen["n_params"], self.seen["n_tokens"], self.seen["loss"]

    def points(self) -> list[tuple[float, list[tuple[float, ...]]]]:
        """Of each budget: its FLOPs, and for each size parameters, tokens and mean loss of the seeds."""
        return [
            (
                float(rows["budget"][0]),
                [
                    (
                        float(n),
                        *(float(rows[name][rows["n_params"] == n].mean()) for name in ("n_tokens", "loss")),
                    )
                    for n in np.unique(rows["n_params"])
                ],
            )
            for rows in self.budgets
        ]


def scaling_explorer() -> Explorer:
    """Choose a floor and two exponents; see the law's curves over measured runs, its misfit, its prediction.

    A and B are fitted to the runs of all budgets but the largest, as the chapter on power laws does, with the
    floor and the exponents held. The language is the synthetic one, whose entropy is known.
    """
    runs = _Runs()
    points = runs.points()
    best = fit_chinchilla(*runs.columns(), delta=DELTA)
    # all laws of the sliders at once, in the order of the controls
    settings = list(itertools.product(FLOORS, ALPHAS, BETAS))
    floors, alphas, betas = (list(column) for column in zip(*settings, strict=True))
    fitted, objectives = fit_terms(*runs.columns(), E=floors, alpha=alphas, beta=betas, delta=DELTA)
    terms = np.stack([fitted.A, fitted.B, objectives], axis=1).tolist()
    known = {
        setting: (ChinchillaLaw(setting[0], a, b, *setting[1:]), objective)
        for setting, (a, b, objective) in zip(settings, terms, strict=True)
    }

    def law_of(floor: float, alpha: float, beta: float) -> tuple[ChinchillaLaw, float]:
        if (floor, alpha, beta) in known:
            return known[floor, alpha, beta]
        law, objective = fit_terms(*runs.columns(), E=floor, alpha=alpha, beta=beta, delta=DELTA)
        return law, float(objective)

    def compute(floor: float, alpha: float, beta: float) -> dict[str, Any]:
        """The law with these three numbers, and how it does."""
        law, objective = law_of(floor, alpha, beta)
        miss, off = runs.miss(objective), runs.off(law)
        return {
            "at": [floor, alpha, beta],
            "miss": miss,
            "off": off,
            "losses": [
                [round(float(law.loss(n_params=n, n_tokens=d)), 3) for n, d, _ in sizes]
                for _, sizes in points
            ],
            "summary": (
                f"Floor {floor:.3g} nats a token, α {alpha:.3g}, β {beta:.3g}; "
                f"with them A = {law.A:,.3g} and B = {law.B:,.3g} fit best. "
                f"The law misses the runs that it was fitted to by {miss:.2f} %, the best of all "
                f"({best.law.E:.3g}, {best.law.alpha:.3g}, {best.law.beta:.3g}) by "
                f"{runs.miss(best.objective):.2f} %. What it says of the largest budget is "
                f"{_direction(off)}, what the best one says {_direction(runs.off(best.law))}."
            ),
        }

    def table_of(value: Any) -> list[Any]:
        return [[[value(*law_of(e, a, b)) for e in FLOORS] for a in ALPHAS] for b in BETAS]

    return Explorer(
        title="Floor and exponents trade off: many laws fit, few predict",
        controls=[
            Control("floor", "Floor E", FLOORS, unit=" nats a token", format=".2f", initial=0.72),
            Control("alpha", "Exponent α of parameters", ALPHAS, initial=0.6),
            Control("beta", "Exponent β of tokens", BETAS, format=".2f", initial=0.45),
        ],
        compute=compute,
        view="scaling",
        fixed={
            "entropy": runs.entropy,
            "floors": FLOORS,
            "alphas": ALPHAS,
            "betas": BETAS,
            "misses": table_of(lambda _, objective: runs.miss(objective)),
            "offs": table_of(lambda law, _: runs.off(law)),
            "budgets": [
                {
                    "flops": scientific(flops),
                    "sizes": [n for n, _, _ in sizes],
                    "losses": [loss for _, _, loss in sizes],
                }
                for flops, sizes in points
            ],
            "best": {
                "at": [best.law.E, best.law.alpha, best.law.beta],
                "miss": runs.miss(best.objective),
                "off": runs.off(best.law),
            },
        },
    )
