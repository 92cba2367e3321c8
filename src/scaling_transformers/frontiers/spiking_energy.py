"""Energy of a spiking net and of the dense one by counted operations, and the rate at which they are even."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_transformers._names import unknown_name
from scaling_transformers._tables import read_rows
from scaling_transformers.footprint._inputs import require_number
from scaling_transformers.footprint.operations import operation

FORMATS = {"float32": ("float32", "float32", 4), "int8": ("int8", "int32", 1)}
"""Number formats: of a product, of the sum that it is added to, and bytes of a number that is kept."""


@dataclass(frozen=True)
class Work:
    """What one pass over one input does, as counts; means over inputs need not be whole.

    Attributes
    ----------
    products : multiplications of a weight by a number, each with its addition
    accumulates : additions of a weight, or of a count, because a spike arrived
    updates : leaks and comparisons of a neuron, one each time step; of a dense neuron, one
    weights_shared : weights read from memory where one reading serves all tokens, and all time steps
    weights_each : weights read where every product and every accumulate reads its own
    state : numbers of potentials or activations that are read or written
    """

    products: float = 0.0
    accumulates: float = 0.0
    updates: float = 0.0
    weights_shared: float = 0.0
    weights_each: float = 0.0
    state: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            require_number(getattr(self, field.name), name=field.name)

    def __add__(self, other: Work) -> Work:
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


class Prices(NamedTuple):
    """Picojoules of each operation.

    Attributes
    ----------
    product : a multiplication with the addition of its result
    accumulate : an addition
    update : a neuron's leak, input and comparison
    access : a number read or written
    """

    product: float
    accumulate: float
    update: float
    access: float


def prices(*, number: str = "float32", memory: str | None = None, node_nm: int = 45) -> Prices:
    """Prices of the operations from the book's table of published energies.

    An update is a multiplication (the leak) and two additions (the input, and the comparison with the
    threshold). Weights, activations and potentials are kept in the format of the products.

    Parameters
    ----------
    number : one of `FORMATS`
    memory : ``"SRAM 8 KB"``, ``"SRAM 32 KB"``, ``"SRAM 1 MB"`` or ``"DRAM"``
        Where they are kept; None charges no memory access, as most papers do.
    node_nm : 45 or 7

    Raises
    ------
    ValueError
        If the format is unknown, or the table lacks an operation.

    Examples
    --------
    >>> paid = prices()
    >>> round(paid.product, 1), paid.accumulate
    (4.6, 0.9)

    Source: Horowitz 2014 (45 nm); Jouppi et al. 2021, table 2 (7 nm).
    """
    if number not in FORMATS:
        raise unknown_name(number, list(FORMATS), what="a number format")
    factor, total, kept_bytes = FORMATS[number]
    multiply, add = (
        operation(f"{name} {kind}", node_nm=node_nm).picojoule
        for name, kind in (("multiply", factor), ("add", total))
    )
    kept = 0.0
    if memory is not None:
        access = operation(f"access {memory}", node_nm=node_nm)
        kept = access.picojoule / access.bytes * kept_bytes
    return Prices(multiply + add, add, multiply + 2 * add, kept)


def energy_pj(work: Work, paid: Prices, *, shared: bool = True) -> float:
    """Picojoules of a pass: each count times its price.

    ``shared`` charges ``weights_shared``, and without it ``weights_each``.
    """
    weights = work.weights_shared if shared else work.weights_each
    return (
        work.products * paid.product
        + work.accumulates * paid.accumulate
        + work.updates * paid.update
        + (weights + work.state) * paid.access
    )


def break_even_spikes(
    paid: Prices, *, fan_out: ArrayLike, n_time: ArrayLike = 1, reuse: float = 1.0
) -> NDArray[np.float64]:
    """Spikes of a neuron in one pass, summed over the time steps, at which it costs what a dense one does.

    A dense neuron with ``fan_out`` weights pays for each a product and the reading of the weight, which
    serves ``reuse`` tokens, and once an update and the writing and reading of its activation. A spiking one
    pays for each spike and weight an accumulate and a reading, and in every time step an update and the
    writing and reading of its potential. Below the result, spiking is cheaper; at 0 or less it never is.

    Parameters
    ----------
    fan_out, n_time : array_like, at least 1, shapes that broadcast
    reuse : at least 1

    Returns
    -------
    array
        Firing rate times time steps; negative where the updates alone cost more.
    """
    fan = np.asarray(fan_out, dtype=float)
    steps = np.asarray(n_time, dtype=float)
    if fan.size and fan.min() < 1:
        raise ValueError(f"fan_out must be at least 1; got {fan.min():g}")
    if steps.size and steps.min() < 1:
        raise ValueError(f"n_time must be at least 1; got {steps.min():g}")
    require_number(reuse, name="reuse", least=1.0)
    neuron = (paid.update + 2 * paid.access) / fan
    dense = paid.product + paid.access / reuse + neuron
    result: NDArray[np.float64] = (dense - steps * neuron) / (paid.accumulate + paid.access)
    return result


@dataclass(frozen=True)
class Chip:
    """Published energy of a neuromorphic chip: a row of ``data/neuromorphic_chips.csv``.

    Attributes
    ----------
    name, year, node_nm : which chip
    quantity : what is priced
    picojoule : float
    basis : ``"simulated"`` or ``"measured"``, and of what
    source : str
    """

    name: str
    year: int
    node_nm: int
    quantity: str
    picojoule: float
    basis: str
    source: str


@cache
def neuromorphic_chips() -> tuple[Chip, ...]:
    """Published energies of neuromorphic chips, in the order of the table."""
    return tuple(
        Chip(
            row["name"],
            int(row["year"]),
            int(row["node_nm"]),
            row["quantity"],
            float(row["picojoule"]),
            row["basis"],
            row["source"],
        )
        for row in read_rows("neuromorphic_chips.csv")
    )
