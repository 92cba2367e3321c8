"""The verdict of a claim on its way from the cell that decides it into the ledger at the end of the book."""

from __future__ import annotations

import json
import math

from scaling_transformers._names import unknown_name
from scaling_transformers._tables import read_rows

#: What can be said of a claim.
VERDICTS = ("holds", "holds with a correction", "does not hold", "open")


def decide(
    claim: str,
    verdict: str,
    *,
    measure: str,
    value: float,
    low: float | None = None,
    high: float | None = None,
    interval: str = "counted",
    spec: str = ".2f",
) -> None:
    """Decide a claim of the essay, from the cell that has measured what decides it.

    The verdict is stored for the prose of the chapter, ``{glue:text}`verdict-NAME```, and with its number for
    the ledger of the book, which links to this cell.

    Parameters
    ----------
    claim : a name in ``data/claims.csv``
    verdict : one of `VERDICTS`
    measure : what the number is, with its unit: "loss added by half the heads, nats per byte"
    value, low, high : the number and its interval; both ends or none
    interval : what the interval is, such as "95 %" or "3 seeds, least to greatest"; without one, why there is
        none, such as "counted"
    spec : how to write the number, as in an f-string

    Raises
    ------
    ValueError
        If the claim or the verdict is unknown, if a number is not finite, if one end of the interval is
        missing, or if the interval does not hold the value.
    """
    from myst_nb import glue  # only chapters need it

    names = [row["name"] for row in read_rows("claims.csv")]
    if claim not in names:
        raise unknown_name(claim, names, what="a claim")
    if verdict not in VERDICTS:
        raise ValueError(f"verdict must be one of {VERDICTS}; got {verdict!r}")
    if (low is None) != (high is None):
        raise ValueError(f"low and high must both be given, or neither; got {low!r} and {high!r}")
    ends = () if low is None or high is None else (float(low), float(high))
    if not all(map(math.isfinite, (value, *ends))):
        raise ValueError(f"value, low and high must be finite; got {value}, {low} and {high}")
    if ends and not ends[0] <= value <= ends[1]:
        raise ValueError(f"low and high must hold the value {value}; got {low} and {high}")
    number = " to ".join(format(end, spec) for end in ends)
    glue(f"verdict-{claim}", verdict, display=False)
    entry = {
        "claim": claim,
        "verdict": verdict,
        "measure": measure,
        "number": format(float(value), spec),
        "interval": f"{number} ({interval})" if ends else interval,
    }
    glue(f"ledger-{claim}", json.dumps(entry), display=False)
