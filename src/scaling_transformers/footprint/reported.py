"""Energy that published training runs report, and what first principles predict of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from math import log
from statistics import median

from scaling_transformers._tables import read_rows
from scaling_transformers.accelerators import Accelerator, accelerators
from scaling_transformers.footprint.defaults import default
from scaling_transformers.footprint.estimate import device_footprint, hours_of

BASES = "measured", "rated", "modelled"


@dataclass(frozen=True)
class TrainingEnergyRun:
    """One published run: a row of ``data/training_energy.csv``; None where nothing is published.

    Attributes
    ----------
    name, accelerator : str
    n_device : int or None
        Accelerators at work at the same time.
    device_hours, flops, utilisation, pue : float or None
        Hours of one accelerator, FLOPs of the model, share of the peak, and energy of the site over IT's.
    carbon_intensity : float or None
        Grams of CO2e per kWh.
    energy_kwh, co2e_kg : float or None
        As reported.
    power_w : float or None
        Watts an accelerator that the report counts with.
    basis : str
        What the reported energy rests on: ``"measured"`` power, the ``"rated"`` power of the board, or
        ``"modelled"``. Empty where no energy is reported.
    counts : str
        Whether that energy is of ``"boards"``, the accelerators alone, or of ``"systems"``, with memory,
        network and processors beside them. Empty where no energy is reported.
    date : str
        Year and month.
    source, note : str
    """

    name: str
    accelerator: str
    n_device: int | None
    device_hours: float | None
    flops: float | None
    utilisation: float | None
    pue: float | None
    carbon_intensity: float | None
    energy_kwh: float | None
    co2e_kg: float | None
    power_w: float | None
    basis: str
    counts: str
    date: str
    source: str
    note: str


@cache
def training_energy_runs() -> tuple[TrainingEnergyRun, ...]:
    """Published runs with their hours, FLOPs, energy and carbon, in the order of the table.

    Source: the column ``source`` of ``data/training_energy.csv``, row by row.
    """

    def number(row: dict[str, str], name: str) -> float | None:
        return float(row[name]) if row[name] else None

    return tuple(
        TrainingEnergyRun(
            name=row["name"],
            accelerator=row["accelerator"],
            n_device=int(row["n_device"]) if row["n_device"] else None,
            device_hours=number(row, "device_hours"),
            flops=number(row, "flops"),
            utilisation=number(row, "utilisation"),
            pue=number(row, "pue"),
            carbon_intensity=number(row, "carbon_intensity"),
            energy_kwh=number(row, "energy_kwh"),
            co2e_kg=number(row, "co2e_kg"),
            power_w=number(row, "power_w"),
            basis=row["basis"],
            counts=row["counts"],
            date=row["date"],
            source=row["source"],
            note=row["note"],
        )
        for row in read_rows("training_energy.csv")
    )


@dataclass(frozen=True)
class Prediction:
    """Energy of a run from first principles, beside the reported one.

    Attributes
    ----------
    run : TrainingEnergyRun
    device_hours, energy_kwh : float
        Predicted.
    co2e_kg : float or None
        Of the predicted energy, at the published carbon intensity; None without one.
    hours_from, power_from, pue_from : str
        Where the three factors come from, in words.
    """

    run: TrainingEnergyRun
    device_hours: float
    energy_kwh: float
    co2e_kg: float | None
    hours_from: str
    power_from: str
    pue_from: str

    @property
    def ratio(self) -> float | None:
        """Predicted over reported energy; None where none is reported."""
        return self.energy_kwh / self.run.energy_kwh if self.run.energy_kwh else None


def predicted_energy(
    run: TrainingEnergyRun,
    *,
    from_flops: bool = False,
    utilisation: float | None = None,
    host_power_w: float = 0.0,
    power_fraction: float = 1.0,
) -> Prediction:
    """Energy of a run as hours times power times PUE, none of it taken from the reported energy.

    - Hours: as published. Where they are not, or with ``from_flops``, FLOPs over the peak of the accelerator
      times the utilisation: the published one, else ``utilisation``, else that of `default`.
    - Power: that of the board as its maker states it, times ``power_fraction``, and ``host_power_w``. Of an
      accelerator that the table lacks, as published, and neither of the two.
    - PUE: as published, else that of `default`.

    Parameters
    ----------
    from_flops : bool
        Whether hours follow from FLOPs even where both are published.
    utilisation : float, optional
        Share of the peak where none is published. Above 0, at most 1.
    host_power_w, power_fraction : float
        As in `device_footprint`.

    Raises
    ------
    ValueError
        If a number is out of its range, or too little is published of the run.
    """
    chip = next((known for known in accelerators() if known.name == run.accelerator), None)
    hours, hours_from = _hours(run, chip, from_flops=from_flops, utilisation=utilisation)
    if chip is not None and chip.power_w is not None:
        power_w, power_from = chip.power_w, f"{chip.power_w:g} W of the board"
    elif run.power_w is not None:
        power_w, power_from = run.power_w, f"{run.power_w:g} W as published"
        host_power_w, power_fraction = 0.0, 1.0
    else:
        raise ValueError(f"run must have a known accelerator or a power_w; got {run.name} with neither")
    known = default("pue")
    footprint = device_footprint(
        device_hours=hours,
        power_w=power_w,
        pue=known.value if run.pue is None else run.pue,
        carbon_intensity=run.carbon_intensity or 0.0,
        host_power_w=host_power_w,
        power_fraction=power_fraction,
    )
    return Prediction(
        run=run,
        device_hours=hours,
        energy_kwh=footprint.energy_kwh,
        co2e_kg=None if run.carbon_intensity is None else footprint.co2e_kg,
        hours_from=hours_from,
        power_from=power_from,
        pue_from="published" if run.pue is not None else f"assumed ({known.value:g})",
    )


@dataclass(frozen=True)
class Comparison:
    """Predictions of all runs that report energy, and how far off they are."""

    predictions: tuple[Prediction, ...]  #: One for each run that reports energy.

    @property
    def ratios(self) -> tuple[float, ...]:
        """Predicted over reported energy, run by run."""
        return tuple(p.ratio for p in self.predictions if p.ratio is not None)

    @property
    def median(self) -> float:
        """Median of the ratios."""
        return median(self.ratios)

    @property
    def worst(self) -> Prediction:
        """The prediction whose ratio is farthest from 1, up or down alike."""
        return max(self.predictions, key=lambda p: abs(log(p.ratio or 1.0)))

    def on(self, basis: str) -> Comparison:
        """Only the runs whose energy is ``"measured"``, ``"rated"`` or ``"modelled"``; else `ValueError`."""
        if basis not in BASES:
            raise ValueError(f"basis must be one of {BASES}; got {basis!r}")
        return Comparison(tuple(p for p in self.predictions if p.run.basis == basis))


def compare_with_reported(
    runs: Iterable[TrainingEnergyRun] | None = None,
    *,
    from_flops: bool = False,
    utilisation: float | None = None,
    host_power_w: float = 0.0,
    power_fraction: float = 1.0,
) -> Comparison:
    """Predictions beside the reported energy of every run that reports one.

    Reports that multiplied hours by the rated power of the board are matched by construction if the hours
    are the published ones: look at those `Comparison.on` ``"measured"``, or set ``from_flops``.

    Parameters
    ----------
    runs : iterable of TrainingEnergyRun, optional
        Default `training_energy_runs`.
    from_flops, utilisation, host_power_w, power_fraction
        As in `predicted_energy`.

    Raises
    ------
    ValueError
        If a number is out of its range, or no run reports energy.
    """
    reported = [
        run for run in (training_energy_runs() if runs is None else runs) if run.energy_kwh is not None
    ]
    if not reported:
        raise ValueError("runs must hold at least one that reports its energy; got none")
    return Comparison(
        tuple(
            predicted_energy(
                run,
                from_flops=from_flops,
                utilisation=utilisation,
                host_power_w=host_power_w,
                power_fraction=power_fraction,
            )
            for run in reported
        )
    )


def _hours(
    run: TrainingEnergyRun, chip: Accelerator | None, *, from_flops: bool, utilisation: float | None
) -> tuple[float, str]:
    countable = run.flops is not None and chip is not None
    if run.device_hours is not None and not (from_flops and countable):
        return run.device_hours, "published"
    if run.flops is None or chip is None:
        raise ValueError(
            f"run must have device_hours, or flops and a known accelerator; got {run.name} with neither"
        )
    if run.utilisation is not None:
        share, whose = run.utilisation, "published"
    else:
        share, whose = (utilisation, "given") if utilisation is not None else (_assumed(), "assumed")
    return hours_of(run.flops, chip, share), f"FLOPs at {whose} utilisation {share:g}"


def _assumed() -> float:
    return default("utilisation").value
