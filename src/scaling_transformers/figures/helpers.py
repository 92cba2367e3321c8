"""The few kinds of drawing that the book repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.ticker import NullLocator


def heatmap(
    ax: Any,
    weights: Any,
    *,
    xticks: Sequence[str] | None = None,
    yticks: Sequence[str] | None = None,
    xlabel: str = "key",
    ylabel: str = "query",
    label: str = "weight",
    title: str = "",
) -> Any:
    """Draw a matrix as coloured cells with a scale from 0 to its largest entry: rows down, columns across.

    Parameters
    ----------
    ax : matplotlib Axes
    weights : array, shape (n_row, n_column), finite and not negative
        For attention the rows are queries and the columns keys.
    xticks, yticks : names of the columns and of the rows, optional
    label : what the colour stands for, with its unit

    Returns
    -------
    matplotlib AxesImage

    Raises
    ------
    ValueError
        If ``weights`` is not such a matrix, or a list of names has another length than its side.
    """
    weights = np.asarray(weights)
    if weights.ndim != 2 or 0 in weights.shape:
        raise ValueError(f"weights must be a matrix with rows and columns; got shape {weights.shape}")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("weights must be finite and not negative")
    image = ax.imshow(weights, vmin=0.0, vmax=float(weights.max()) or 1.0, aspect="equal")
    sides = (("xticks", xticks, weights.shape[1], ax.xaxis), ("yticks", yticks, weights.shape[0], ax.yaxis))
    for name, names, length, axis in sides:
        if names is None:
            axis.get_major_locator().set_params(integer=True)
            continue
        if len(names) != length:
            raise ValueError(f"{name} must hold {length} names; got {len(names)}")
        axis.set_ticks(range(length), labels=list(names))
    if xticks is not None and max(map(len, xticks)) * len(xticks) > 36:
        ax.tick_params(axis="x", labelrotation=90)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(image, ax=ax, label=label, shrink=0.9, pad=0.03)
    bar.outline.set_visible(False)
    return image


def log_axes(ax: Any, *, x: Sequence[float] | None = None, y: Sequence[float] | None = None) -> None:
    """Make axes logarithmic, with plain numbers at the given ticks and no others.

    Parameters
    ----------
    ax : matplotlib Axes
    x, y : positive numbers, optional
        The ticks; an axis without ticks stays as it is.

    Raises
    ------
    ValueError
        If a tick is not positive.
    """
    for name, axis, ticks in (("x", ax.xaxis, x), ("y", ax.yaxis, y)):
        if ticks is None:
            continue
        if min(ticks) <= 0:
            raise ValueError(f"{name} must hold positive numbers; got {min(ticks)}")
        ax.set(**{f"{name}scale": "log"})
        axis.set_ticks(ticks, labels=[f"{tick:,g}" for tick in ticks])
        axis.set_minor_locator(NullLocator())


def label_line(ax: Any, line: Any, text: str, *, dy: float = 0.0) -> Any:
    """Write the name of a line at its right end, in its colour; ``dy`` moves the name up, in points.

    Raises
    ------
    ValueError
        If the line has no finite point.
    """
    x, y = _right_end(line)
    return ax.annotate(
        text,
        (x, y),
        xytext=(5, dy),
        textcoords="offset points",
        va="center",
        color=line.get_color(),
        annotation_clip=False,
    )


def label_lines(ax: Any) -> None:
    """Name every labelled line of ``ax`` at its right end, in place of a legend; no two names overlap.

    Call it when the lines and the limits of the axes are final.
    """
    lines = [line for line in ax.get_lines() if not line.get_label().startswith("_")]
    ax.figure.draw_without_rendering()  # the layout, and with it the places of the ends, is now known
    points = 72.0 / ax.figure.dpi
    ends = [ax.transData.transform(_right_end(line))[1] * points for line in lines]
    gap, place = 1.2 * matplotlib.rcParams["font.size"], -np.inf
    for index in np.argsort(ends):
        place = max(ends[index], place + gap)
        label_line(ax, lines[index], lines[index].get_label(), dy=place - ends[index])


def _right_end(line: Any) -> tuple[float, float]:
    """The last finite point of a line, in data coordinates."""
    x, y = (np.asarray(values, dtype=float) for values in line.get_data(orig=False))
    finite = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if finite.size == 0:
        raise ValueError(f"line must have a finite point; {line.get_label()!r} has none")
    last = finite[np.argmax(x[finite])]
    return float(x[last]), float(y[last])
