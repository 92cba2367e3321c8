"""One style for every figure of the book, drawn once and readable in the light and in the dark theme.

Figures draw; they never compute a result.
"""

from scaling_transformers.figures.colors import COLORS
from scaling_transformers.figures.drawing import Drawing, show
from scaling_transformers.figures.helpers import heatmap, label_line, label_lines, log_axes
from scaling_transformers.figures.prose import keep, scientific
from scaling_transformers.figures.style import use_style
from scaling_transformers.figures.verdicts import VERDICTS, decide

__all__ = [
    "COLORS",
    "VERDICTS",
    "Drawing",
    "decide",
    "heatmap",
    "keep",
    "label_line",
    "label_lines",
    "log_axes",
    "scientific",
    "show",
    "use_style",
]
