"""Published accelerators by name, read from ``data/accelerators.csv``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from scaling_transformers._names import by_name
from scaling_transformers._tables import read_rows


@dataclass(frozen=True)
class Accelerator:
    """One chip or board, as its maker describes it.

    Attributes
    ----------
    name : str
    peak_flops : float
        Most FLOP/s in dense products of 16-bit numbers: bfloat16, or float16 where the ``source`` says so.
    bandwidth : float
        Bytes/s between the memory and the chip.
    memory_bytes : float
        A maker's GB taken as 1e9 bytes, GiB as 2**30.
    power_w : float or None
        Most watts that the maker states; None where the maker states none.
    source : str
        The document.
    year : int
        Of the announcement.
    """

    name: str
    peak_flops: float
    bandwidth: float
    memory_bytes: float
    power_w: float | None
    source: str
    year: int

    @property
    def ridge(self) -> float:
        """FLOP per byte from which on arithmetic is the limit, and below which memory is."""
        return self.peak_flops / self.bandwidth


def accelerator(name: str) -> Accelerator:
    """The accelerator of that name, in capitals or not.

    Parameters
    ----------
    name : str
        One of the column ``name`` of ``data/accelerators.csv``: ``"V100"``, ``"H100"``, ``"TPU v5e"``, ...

    Raises
    ------
    ValueError
        If none has that name; the message lists the nearest ones, or all where none is near.

    Examples
    --------
    >>> round(accelerator("A100").ridge)
    153

    Source: the column ``source`` of ``data/accelerators.csv``, row by row.
    """
    return by_name(accelerators(), name, what="an accelerator")


@cache
def accelerators() -> tuple[Accelerator, ...]:
    """All accelerators of the table, in its order.

    Examples
    --------
    >>> max(accelerators(), key=lambda chip: chip.bandwidth).name
    'B200'
    """
    return tuple(
        Accelerator(
            row["name"],
            float(row["peak_flops"]),
            float(row["bandwidth"]),
            float(row["memory_bytes"]),
            float(row["power_w"]) if row["power_w"] else None,
            row["source"],
            int(row["year"]),
        )
        for row in read_rows("accelerators.csv")
    )
