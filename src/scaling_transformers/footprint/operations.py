"""Where energy goes inside a chip: published energy of an operation and of a byte, times what is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from scaling_transformers._names import unknown_name
from scaling_transformers._tables import read_rows
from scaling_transformers.footprint._inputs import require_number


@dataclass(frozen=True)
class Operation:
    """Energy of one operation: a row of ``data/operation_energy.csv``.

    Attributes
    ----------
    operation : str
        ``"multiply float16"``, ``"access HBM2"``, ...
    node_nm : int
        Of the chip, nanometres.
    picojoule : float
    low, high : float or None
        Where the source gives a range, of which ``picojoule`` is then the middle.
    bytes : int
        Moved by an access; 0 of arithmetic.
    source : str
    """

    operation: str
    node_nm: int
    picojoule: float
    low: float | None
    high: float | None
    bytes: int
    source: str


@dataclass(frozen=True)
class ChipEnergy:
    """Joules of a pass, by part of the model: of arithmetic, and of moving bytes between memory and chip."""

    arithmetic_by_part: dict[str, float]  #: J of the products of each part.
    memory_by_part: dict[str, float]  #: J of the bytes moved for each part.

    @property
    def arithmetic(self) -> float:
        """Joules of all multiplications and additions."""
        return sum(self.arithmetic_by_part.values())

    @property
    def memory(self) -> float:
        """Joules of all bytes moved."""
        return sum(self.memory_by_part.values())

    @property
    def total(self) -> float:
        """Joules of both."""
        return self.arithmetic + self.memory

    @property
    def memory_share(self) -> float:
        """Share of the total that moving bytes takes; 0 where nothing is done."""
        return self.memory / self.total if self.total else 0.0


@cache
def operations() -> tuple[Operation, ...]:
    """Published energies, in the order of the table."""
    return tuple(
        Operation(
            row["operation"],
            int(row["node_nm"]),
            float(row["picojoule"]),
            float(row["low"]) if row["low"] else None,
            float(row["high"]) if row["high"] else None,
            int(row["bytes"]),
            row["source"],
        )
        for row in read_rows("operation_energy.csv")
    )


def operation(name: str, *, node_nm: int = 7) -> Operation:
    """The published energy of an operation at a node; `ValueError` if the table has none.

    Examples
    --------
    >>> operation("multiply float32", node_nm=45).picojoule
    3.7
    """
    nodes = sorted({row.node_nm for row in operations()})
    if node_nm not in nodes:
        raise ValueError(f"node_nm must be one of {', '.join(map(str, nodes))}; got {node_nm!r}")
    rows = [row for row in operations() if row.node_nm == node_nm]
    for row in rows:
        if row.operation == name:
            return row
    raise unknown_name(name, [row.operation for row in rows], what=f"an operation at {node_nm} nm")


def operation_energy(
    *,
    flops_by_part: Mapping[str, float],
    bytes_by_part: Mapping[str, float],
    multiply: str = "bfloat16",
    add: str = "float32",
    memory: str = "HBM2",
    node_nm: int = 7,
) -> ChipEnergy:
    """Joules of the arithmetic and of the memory traffic of a pass, from published energies.

    Two FLOPs are one multiplication and one addition. What a chip spends besides, on instructions, registers,
    caches, clocks and leakage, is not in it, so that the sum is a floor and not what a board draws.

    Parameters
    ----------
    flops_by_part, bytes_by_part : mapping of str to float
        As `arithmetic_intensity` counts them. The same parts in both; not negative.
    multiply, add : str
        Number formats of the products and of their sums.
    memory : str
        ``"HBM2"``, ``"DRAM"``, ``"SRAM 1 MB"``, ...
    node_nm : int
        45 or 7. At 45 nm neither bfloat16 nor HBM2 is published.

    Raises
    ------
    ValueError
        If the parts differ, a number is negative, or the table has no such operation.

    Examples
    --------
    >>> from scaling_transformers import preset
    >>> from scaling_transformers.accounting import arithmetic_intensity
    >>> step = arithmetic_intensity(preset("llama-2-7b"), batch=1, seq_len=2048, n_new=1)
    >>> energy = operation_energy(flops_by_part=step.flops_by_part, bytes_by_part=step.bytes_by_part)
    >>> f"{energy.memory_share:.1%} of {energy.total:.2f} J a token moves bytes"
    '99.3% of 0.63 J a token moves bytes'

    Source: Horowitz 2014 (45 nm); Jouppi et al. 2021, table 2 (7 nm).
    """
    if set(flops_by_part) != set(bytes_by_part):
        odd = sorted(set(flops_by_part) ^ set(bytes_by_part))
        raise ValueError(f"flops_by_part and bytes_by_part must have the same parts; got {odd} in one only")
    pair = sum(operation(name, node_nm=node_nm).picojoule for name in (f"multiply {multiply}", f"add {add}"))
    access = operation(f"access {memory}", node_nm=node_nm)
    per_flop, per_byte = pair / 2 * 1e-12, access.picojoule / access.bytes * 1e-12
    return ChipEnergy(
        arithmetic_by_part={
            part: require_number(flops, name="flops_by_part") * per_flop
            for part, flops in flops_by_part.items()
        },
        memory_by_part={
            part: require_number(moved, name="bytes_by_part") * per_byte
            for part, moved in bytes_by_part.items()
        },
    )
