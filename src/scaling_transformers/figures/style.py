"""The style of every figure, in one place."""

from __future__ import annotations

from typing import Any

import matplotlib
from cycler import cycler

from scaling_transformers.figures.colors import COLORS, INK

STYLE: dict[Any, Any] = {
    # 5 inches at 10 points: on a phone of 360 pixels the smallest text is still 9 pixels high.
    "figure.figsize": (5.0, 3.1),
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "savefig.dpi": 144,  # what is rasterised is stored at twice its size on the page
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.labelsize": 10.5,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.0,
    "lines.markersize": 5.0,
    "axes.prop_cycle": cycler(color=list(COLORS.values())),
    "image.cmap": "viridis",
    "image.interpolation": "none",  # cells stay crisp at every size
    "image.composite_image": False,
    **dict.fromkeys(
        (
            *("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "grid.color"),
            *("xtick.color", "ytick.color", "xtick.labelcolor", "ytick.labelcolor", "patch.edgecolor"),
            *("hatch.color", "boxplot.boxprops.color", "boxplot.whiskerprops.color"),
            *("boxplot.capprops.color", "boxplot.flierprops.color", "boxplot.flierprops.markeredgecolor"),
        ),
        INK,
    ),
}


def use_style() -> None:
    """Draw every figure from here on in the style of the book. Called in the first cell of a chapter."""
    matplotlib.rcParams.update(STYLE)
