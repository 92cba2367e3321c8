"""Energy of what runs on this machine, and a plain statement of what could not be read of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling_transformers.footprint._inputs import require_number

JOULES_PER_KWH = 3.6e6
SHORTEST_SECONDS = 0.05
"""codecarbon looks no more often than this."""


@dataclass
class MeasuredEnergy:
    """Joules of a block of code by component, filled when the block ends.

    Attributes
    ----------
    seconds : float
        That the block took.
    joules : dict of str to float
        Of ``"cpu"``, ``"gpu"`` and ``"memory"``: of the whole machine over that time, with all that ran
        beside. 0 of a component that is not there; empty if nothing could be measured.
    read : dict of str to bool
        Whether the joules of a component come from the hardware; False where they are estimated.
    statements : tuple of str
        What could not be read, and what was assumed instead, in plain sentences.
    """

    seconds: float = 0.0
    joules: dict[str, float] = field(default_factory=dict)
    read: dict[str, bool] = field(default_factory=dict)
    statements: tuple[str, ...] = ()

    @property
    def total_joules(self) -> float:
        """Joules of all components."""
        return sum(self.joules.values())

    @property
    def energy_kwh(self) -> float:
        """The same in kWh, without the PUE of the place."""
        return self.total_joules / JOULES_PER_KWH


@contextmanager
def measured_energy(*, interval_seconds: float = 1.0) -> Iterator[MeasuredEnergy]:
    """Measure the energy of a block of code, as far as this machine tells it.

    Through codecarbon, offline: no network call, no file, no message. The counters of GPUs (NVML) are read,
    and those of processors (RAPL) where the kernel allows it. Memory is always a model of codecarbon's, and
    so is a processor without a counter; ``statements`` say so. Looking for the hardware takes some seconds
    the first time, which are not in the block.

    Parameters
    ----------
    interval_seconds : float
        Between two looks at the hardware. Positive.

    Yields
    ------
    MeasuredEnergy
        Empty until the block has ended; filled also where it ends by an exception.

    Raises
    ------
    ValueError
        If the interval is not positive.
    ModuleNotFoundError
        If codecarbon is not installed.

    Notes
    -----
    Around a run of the training loop::

        with measured_energy() as energy:
            train(...)
        print(energy.joules, *energy.statements)

    Source: codecarbon, class ``OfflineEmissionsTracker``.
    """
    interval = require_number(interval_seconds, name="interval_seconds", above=True, unit="seconds")
    record = MeasuredEnergy()
    with _silent_logger():
        tracker = _start(interval)
        start = time.perf_counter()
        try:
            yield record
        finally:
            record.seconds = time.perf_counter() - start
            with _no_warnings():
                tracker.stop()
            _fill(record, tracker)


@contextmanager
def _silent_logger() -> Iterator[None]:
    """codecarbon's logger says nothing meanwhile, and afterwards is as it was."""
    import logging

    logger = logging.getLogger("codecarbon")
    before = logger.disabled, logger.level, list(logger.handlers)
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled, level, handlers = before
        logger.setLevel(level)
        logger.handlers[:] = handlers


@contextmanager
def _no_warnings() -> Iterator[None]:
    """What codecarbon's own calls warn of is not the reader's; where his code runs, warnings stay."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _start(interval: float) -> Any:
    """A tracker at work. Its carbon is not used, so that any country does."""
    with _no_warnings():
        from codecarbon import OfflineEmissionsTracker  # here, for it is slow and optional

        # all that a file of settings or the environment might turn on is turned off
        tracker = OfflineEmissionsTracker(
            country_iso_code="USA",
            measure_power_secs=interval,
            output_methods=[],
            emissions_endpoint=None,
            electricitymaps_api_token=None,
            allow_multiple_runs=True,
            tracking_mode="machine",
            force_cpu_power=None,
            force_ram_power=None,
            force_mode_cpu_load=False,
            pue=1.0,
            log_level="critical",
        )
        tracker.start()
    return tracker


def _fill(record: MeasuredEnergy, tracker: Any) -> None:
    """Joules by component, whether they were read, and what is to be said of them."""
    data = getattr(tracker, "final_emissions_data", None)
    if data is None:  # codecarbon swallows its own errors
        record.statements = ("codecarbon could not be set up here: nothing was measured.",)
        return
    record.joules = {
        "cpu": data.cpu_energy * JOULES_PER_KWH,
        "gpu": data.gpu_energy * JOULES_PER_KWH,
        "memory": data.ram_energy * JOULES_PER_KWH,
    }
    hardware = {type(part).__name__: part for part in getattr(tracker, "_hardware", ())}
    mode = getattr(hardware.get("CPU"), "_mode", None)
    record.read = {
        "cpu": "AppleSiliconChip" in hardware or mode in ("intel_rapl", "intel_power_gadget", "windows_emi"),
        "gpu": bool(data.gpu_count),
        "memory": False,
    }
    statements = []
    if not record.read["cpu"]:
        statements += _of_processor(hardware.get("CPU"), mode)
    if not record.read["gpu"]:
        statements.append("No GPU was found through NVML or AMD SMI: none is counted.")
    statements.append(
        f"Memory has no counter that was read: codecarbon assumes {data.ram_power:.1f} W for its "
        f"{data.ram_total_size:.0f} GB, at work or idle."
    )
    if record.seconds < SHORTEST_SECONDS:
        statements.append(
            f"The block took {record.seconds:.3f} s, less than the {SHORTEST_SECONDS} s between two looks at "
            "the hardware: its energy may be missing."
        )
    statements.append(
        "The joules are those of the whole machine, of all that ran meanwhile; disks, network, fans, losses "
        "of the power supply and the cooling of the room are not in them."
    )
    record.statements = tuple(statements)


def _of_processor(processor: Any, mode: str | None) -> list[str]:
    """What to say of a processor whose counter was not read."""
    if processor is None:
        return ["The energy of the processor could not be read, and nothing was assumed for it."]
    model, watts = getattr(processor, "_model", None) or "unknown model", getattr(processor, "_tdp", None)
    guess = "a power that codecarbon guessed" if watts is None else f"{watts:g} W, which codecarbon guessed"
    how = f"its load and {guess}" if mode == "cpu_load" else guess
    lines = [
        f"The energy of the processor could not be read ({_why_no_rapl()}): it was estimated from {how} "
        f"for the {model} at full load."
    ]
    if _is_virtual():
        lines.append(
            "This is a virtual machine: it sees its own load only, and the guess need not fit the hardware."
        )
    return lines


def _why_no_rapl(folder: Path = Path("/sys/class/powercap")) -> str:
    if not folder.exists():
        return "no RAPL counter: /sys/class/powercap is not there"
    return "the RAPL counter in /sys/class/powercap is not readable"


def _is_virtual(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    try:
        return "hypervisor" in cpuinfo.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
