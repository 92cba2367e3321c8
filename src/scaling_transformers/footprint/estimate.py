"""Energy, carbon, water and money of training and of use, from FLOPs, a machine, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypedDict, Unpack

from scaling_transformers.accelerators import Accelerator
from scaling_transformers.accelerators import accelerator as named_accelerator
from scaling_transformers.footprint._inputs import (
    require_carbon_intensity,
    require_number,
    require_power,
    require_pue,
    require_share,
    require_whole,
)
from scaling_transformers.footprint.defaults import default

if TYPE_CHECKING:
    from scaling_transformers.config import TransformerConfig

HOURS_PER_YEAR = 24 * 365.25


@dataclass(frozen=True)
class Footprint:
    """What some hours on some accelerators take from the world. Footprints add up: ``training + use``.

    Attributes
    ----------
    device_hours : float
        Hours that one accelerator would have to run.
    energy_kwh : float
        Electricity of the whole site: of the machines, times PUE.
    it_energy_kwh : float
        Electricity of the machines alone.
    co2e_kg : float
        Greenhouse gases of that electricity, as kg of CO2 (operational). Makers report this figure.
    embodied_co2e_kg : float
        Share of what it took to make the machines, not in ``co2e_kg``.
    on_site_water_l, off_site_water_l : float
        Litres consumed by cooling, and by the making of the electricity.
    cost : float
        US dollars, as the rent of the accelerators.
    """

    device_hours: float
    energy_kwh: float
    it_energy_kwh: float
    co2e_kg: float
    embodied_co2e_kg: float
    on_site_water_l: float
    off_site_water_l: float
    cost: float

    @property
    def total_co2e_kg(self) -> float:
        """Operational and embodied greenhouse gases, kg of CO2e."""
        return self.co2e_kg + self.embodied_co2e_kg

    @property
    def water_l(self) -> float:
        """Litres of water, on and off site."""
        return self.on_site_water_l + self.off_site_water_l

    def __add__(self, other: Footprint) -> Footprint:
        if not isinstance(other, Footprint):
            return NotImplemented
        names = [field.name for field in fields(self)]
        return Footprint(*(getattr(self, name) + getattr(other, name) for name in names))


class Assumptions(TypedDict, total=False):
    """Arguments of `device_footprint` that are None if not given; described there."""

    power_w: float | None  #: See `device_footprint`.
    embodied_kg_per_device: float | None  #: See `device_footprint`.
    device_life_years: float | None  #: See `device_footprint`.
    device_use: float | None  #: See `device_footprint`.
    wue_l_per_kwh: float | None  #: See `device_footprint`.
    grid_water_l_per_kwh: float | None  #: See `device_footprint`.
    usd_per_device_hour: float | None  #: See `device_footprint`.


class Conditions(Assumptions, total=False):
    """All arguments of `device_footprint` that have a default; described there."""

    host_power_w: float  #: See `device_footprint`.
    power_fraction: float  #: See `device_footprint`.


def device_footprint(
    *,
    device_hours: float,
    accelerator: str | Accelerator = "A100",
    pue: float,
    carbon_intensity: float,
    host_power_w: float = 0.0,
    power_fraction: float = 1.0,
    power_w: float | None = None,
    embodied_kg_per_device: float | None = None,
    device_life_years: float | None = None,
    device_use: float | None = None,
    wue_l_per_kwh: float | None = None,
    grid_water_l_per_kwh: float | None = None,
    usd_per_device_hour: float | None = None,
) -> Footprint:
    """Energy, carbon, water and money of ``device_hours`` hours on an accelerator.

    Energy is ``device_hours * (board power * power_fraction + host_power_w) * pue``. An argument that is None
    is the value of that name in ``data/footprint_defaults.csv``, which `default` shows with its source.

    Parameters
    ----------
    device_hours : float
        Not negative.
    accelerator : str or Accelerator
        A name of ``data/accelerators.csv``, or any accelerator; for its board power.
    pue : float
        Power usage effectiveness: energy of the site over energy of its machines. From 1 to 5.
    carbon_intensity : float
        Grams of CO2e per kWh of electricity, at most 2000.
    host_power_w : float
        Watts of processors, memory and network beside each accelerator. Not negative.
    power_fraction : float
        Share of the board power that is drawn. Above 0, at most 1.
    power_w : float, optional
        Watts of the board, in place of the maker's; needed where the maker states none.
    embodied_kg_per_device : float, optional
        Kilograms of CO2e to make one accelerator and its share of the machine around it.
    device_life_years, device_use : float, optional
        Years until it is replaced, and the share of these hours in which it works for someone: the embodied
        carbon is spread over their product.
    wue_l_per_kwh : float, optional
        Water usage effectiveness: litres of cooling water per kWh of the machines.
    grid_water_l_per_kwh : float, optional
        Litres consumed to make a kWh of electricity.
    usd_per_device_hour : float, optional
        Rent of an accelerator, US dollars an hour.

    Raises
    ------
    ValueError
        If a number is out of its range, no accelerator has that name, or no power is known.

    Examples
    --------
    >>> day = device_footprint(device_hours=24, accelerator="A100", pue=1.1, carbon_intensity=400)
    >>> round(day.energy_kwh, 2), round(day.co2e_kg, 2)
    (10.56, 4.22)

    Source: Strubell et al. 2019 and Patterson et al. 2021 for energy and carbon; Luccioni et al.
    2023 for the embodied share; Li et al. 2023 (Making AI less thirsty) for water on and off site.
    """
    hours = require_number(device_hours, name="device_hours", unit="hours")
    fraction = require_share(power_fraction, name="power_fraction")
    host = require_number(host_power_w, name="host_power_w", most=1e5, unit="watts")
    overhead, grams = require_pue(pue), require_carbon_intensity(carbon_intensity)
    board = _board_power(accelerator, power_w)
    embodied = _given(embodied_kg_per_device, "embodied_kg_per_device")
    life = _given(device_life_years, "device_life_years", above=True)
    use = require_share(default("device_use").value if device_use is None else device_use, name="device_use")
    cooling = _given(wue_l_per_kwh, "wue_l_per_kwh")
    grid_water = _given(grid_water_l_per_kwh, "grid_water_l_per_kwh")
    price = _given(usd_per_device_hour, "usd_per_device_hour")

    it_energy = hours * (board * fraction + host) / 1000
    energy = it_energy * overhead
    return Footprint(
        device_hours=hours,
        energy_kwh=energy,
        it_energy_kwh=it_energy,
        co2e_kg=energy * grams / 1000,
        embodied_co2e_kg=embodied * hours / (life * HOURS_PER_YEAR * use),
        on_site_water_l=it_energy * cooling,
        off_site_water_l=energy * grid_water,
        cost=hours * price,
    )


def training_footprint(
    *,
    flops: float,
    accelerator: str | Accelerator = "A100",
    utilisation: float,
    pue: float,
    carbon_intensity: float,
    host_power_w: float = 0.0,
    power_fraction: float = 1.0,
    **assumptions: Unpack[Assumptions],
) -> Footprint:
    """Energy, carbon, water and money of a training run of ``flops`` FLOPs.

    It takes ``flops / (peak FLOP/s * utilisation)`` seconds of the accelerator; the rest is
    `device_footprint`, which also describes the arguments left out here.

    Parameters
    ----------
    flops : float
        Of the whole run, a multiply-add as 2. Positive.
    accelerator : str or Accelerator
        A name of ``data/accelerators.csv``, or any accelerator; for its peak FLOP/s and board power.
    utilisation : float
        Share of the peak that the run reaches, its model FLOPs utilisation. Above 0, at most 1.
    pue : float
        Energy of the site over energy of its machines. From 1 to 5.
    carbon_intensity : float
        Grams of CO2e per kWh of electricity, at most 2000.
    host_power_w, power_fraction : float
        Watts beside each accelerator, and share of its board power that is drawn.

    Raises
    ------
    ValueError
        If a number is out of its range, no accelerator has that name, or no power is known.

    Examples
    --------
    >>> run = training_footprint(flops=3.14e23, utilisation=0.4, pue=1.1, carbon_intensity=400)
    >>> f"{run.device_hours:,.0f} hours, {run.energy_kwh / 1000:,.0f} MWh, {run.co2e_kg / 1000:,.0f} t CO2e"
    '698,896 hours, 308 MWh, 123 t CO2e'

    Source: Patterson et al. 2021; Chowdhery et al. 2022 for the utilisation.
    """
    work = require_number(flops, name="flops", above=True, unit="FLOPs")
    return device_footprint(
        device_hours=hours_of(work, accelerator, utilisation),
        accelerator=accelerator,
        pue=pue,
        carbon_intensity=carbon_intensity,
        host_power_w=host_power_w,
        power_fraction=power_fraction,
        **assumptions,
    )


def inference_footprint(
    *,
    queries_per_day: float,
    days: float,
    flops_per_query: float | None = None,
    seconds_per_query: float | None = None,
    accelerator: str | Accelerator = "A100",
    utilisation: float | None = None,
    pue: float,
    carbon_intensity: float,
    host_power_w: float = 0.0,
    power_fraction: float = 1.0,
    **assumptions: Unpack[Assumptions],
) -> Footprint:
    """Energy, carbon, water and money of answering queries over a lifetime.

    Writing is limited by memory, so that FLOPs say little of its time: give ``seconds_per_query``, from
    `query_seconds` or measured, or else ``flops_per_query`` and the ``utilisation`` reached. Accelerators
    that wait for queries are not counted. Other arguments: `device_footprint`.

    Parameters
    ----------
    queries_per_day, days : float
        Positive.
    flops_per_query, seconds_per_query : float
        One of the two: FLOPs, or seconds of one accelerator. Positive.
    utilisation : float, optional
        Share of the peak; only with ``flops_per_query``.

    Raises
    ------
    ValueError
        As `device_footprint`; or if not exactly one of the two ways is given.

    Examples
    --------
    >>> year = inference_footprint(
    ...     queries_per_day=1e6, days=365, seconds_per_query=2.0, pue=1.1, carbon_intensity=400
    ... )
    >>> f"{year.energy_kwh / 1000:.0f} MWh"
    '89 MWh'
    """
    n_query = require_number(queries_per_day, name="queries_per_day", above=True)
    n_query *= require_number(days, name="days", above=True)
    if (flops_per_query is None) == (seconds_per_query is None):
        raise ValueError(
            "flops_per_query or seconds_per_query must be given, and only one of them; "
            f"got {flops_per_query!r} and {seconds_per_query!r}"
        )
    if flops_per_query is not None:
        work = require_number(flops_per_query, name="flops_per_query", above=True, unit="FLOPs")
        hours = n_query * hours_of(work, accelerator, utilisation)
    elif utilisation is not None:
        raise ValueError(f"utilisation must be None with seconds_per_query; got {utilisation!r}")
    else:
        seconds = require_number(seconds_per_query, name="seconds_per_query", above=True, unit="seconds")
        hours = n_query * seconds / 3600
    return device_footprint(
        device_hours=hours,
        accelerator=accelerator,
        pue=pue,
        carbon_intensity=carbon_intensity,
        host_power_w=host_power_w,
        power_fraction=power_fraction,
        **assumptions,
    )


def query_seconds(
    config: TransformerConfig,
    *,
    tokens_in: int,
    tokens_out: int,
    accelerator: str | Accelerator = "A100",
    batch: int = 1,
    utilisation: float = 1.0,
    bytes_per_element: float = 2,
) -> float:
    """Seconds of one accelerator that a query takes: to read ``tokens_in`` tokens and write ``tokens_out``.

    Each pass takes as long as the roofline says, over ``utilisation``. Reading yields the first token; every
    further one is a step of decoding, whose time grows with the text by straight lines, so that the first
    and the last step tell the mean. A batch shares the weights that a step reads. Where a model needs
    several accelerators these are the seconds of all, if they lose none to each other.

    Parameters
    ----------
    tokens_in, tokens_out : int
        At least 1; the text must fit ``n_ctx``.
    batch : int
        Queries answered at the same time.
    utilisation : float
        Share of the roofline that is reached. Above 0, at most 1.
    bytes_per_element : float
        Of weights, activations and cache.

    Raises
    ------
    ValueError
        If a number is out of range or the model writes no text.

    Source: Williams, Waterman and Patterson 2009 (Roofline), by way of `least_seconds`.
    """
    from scaling_transformers.accounting import arithmetic_intensity, least_seconds  # NumPy only if asked for

    n_in, n_out = require_whole(tokens_in, name="tokens_in"), require_whole(tokens_out, name="tokens_out")
    share, chip = require_share(utilisation, name="utilisation"), resolve(accelerator)

    def seconds(seq_len: int, n_new: int | None) -> float:
        traffic = arithmetic_intensity(
            config, batch=batch, seq_len=seq_len, n_new=n_new, bytes_per_element=bytes_per_element
        )
        return float(least_seconds(traffic, chip))

    total = seconds(n_in, None)
    if n_out > 1:
        total += (n_out - 1) * (seconds(n_in + 1, 1) + seconds(n_in + n_out - 1, 1)) / 2
    return total / share / batch


def break_even_days(*, training: Footprint, inference: Footprint, days: float) -> float:
    """Days until use has taken as much energy as training, if ``inference`` is the use of ``days`` days.

    Raises `ValueError` if ``days`` is not positive, or nothing was used.
    """
    length = require_number(days, name="days", above=True)
    a_day = require_number(inference.energy_kwh, name="inference.energy_kwh", above=True) / length
    return training.energy_kwh / a_day


def resolve(accelerator: str | Accelerator) -> Accelerator:
    """The accelerator itself, or that of the name; `ValueError` if there is none."""
    return accelerator if isinstance(accelerator, Accelerator) else named_accelerator(accelerator)


def hours_of(flops: float, accelerator: str | Accelerator, utilisation: float | None) -> float:
    """Hours that one accelerator takes for ``flops`` FLOPs at a share of its peak."""
    return flops / (resolve(accelerator).peak_flops * require_share(utilisation, name="utilisation")) / 3600


def _board_power(accelerator: str | Accelerator, power_w: float | None) -> float:
    chip = resolve(accelerator)
    if power_w is None and chip.power_w is None:
        raise ValueError(f"power_w must be given for the {chip.name}, whose maker states no power; got None")
    return require_power(chip.power_w if power_w is None else power_w)


def _given(value: float | None, name: str, *, above: bool = False) -> float:
    known = default(name)
    return require_number(known.value if value is None else value, name=name, above=above, unit=known.unit)
