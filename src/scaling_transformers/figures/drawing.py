"""From a matplotlib figure to one picture that follows the theme of the page it stands on."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.text import Text

from scaling_transformers.figures.colors import COLORS, INK, css_color, panel_css, theme_css

_FONTS = "'DejaVu Sans',Verdana,system-ui,sans-serif"  # Verdana is as wide, so the layout holds
_PHONE_WIDTH = 368.0  # points: up to here a figure shrinks to a phone and stays legible
_LEAST_SCALE = 0.85  # CSS pixels a point: text of 10.5 points is then 9 pixels high
_STYLE = (
    ".book-figure{overflow-x:auto}"
    ".book-figure svg{display:block;margin:0 auto;height:auto;width:100%}"
    ".book-figure svg *{stroke-linejoin:round;stroke-linecap:butt}"
    f"{theme_css('.book-figure')}{panel_css('div.book-figure')}"
)


@dataclass(frozen=True, repr=False)
class Drawing:
    """A finished figure: ``alt`` in words, ``svg`` as markup. Notebooks show it; ``glue`` stores it."""

    alt: str
    svg: str
    wide: bool  #: Whether it takes the width of the page.

    def _repr_html_(self) -> str:
        focus = f' tabindex="0" role="group" aria-label="{escape(self.alt)}"' if self.wide else ""
        return f'<div class="book-figure"{focus}><style>{_STYLE}</style>{self.svg}</div>'

    def __repr__(self) -> str:
        return f"Figure: {self.alt}"


def show(fig: Any, *, alt: str) -> Drawing:
    """Finish a figure: the last line of a cell. Text and axes take the page's text colour in both themes.

    The same figure gives the same bytes. The figure is closed, so that it is shown once.

    Parameters
    ----------
    fig : matplotlib Figure
    alt : str
        What the figure says, for readers who do not see it: its message, not its looks.

    Raises
    ------
    ValueError
        If ``alt`` is empty, or a title, label or note would be cut off at the edge of the figure.
    """
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"alt must be a sentence that says what the figure shows; got {alt!r}")
    alt = " ".join(alt.split())
    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "book", "svg.image_inline": True}
    with matplotlib.rc_context(settings), io.StringIO() as file:
        _require_text_inside(fig)
        fig.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
        raw = file.getvalue()
    plt.close(fig)
    width, height = (72.0 * float(inches) for inches in fig.get_size_inches())
    body = _with_page_colors(_compact(raw[raw.index(">", raw.index("<svg")) + 1 : raw.rindex("</svg>")]))
    wide = width > _PHONE_WIDTH
    limits = f"max-width:{width * 4 / 3:.0f}px" + (f";min-width:{width * _LEAST_SCALE:.0f}px" if wide else "")
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(alt)}" fill="currentColor" '
        f'font-family="{_FONTS}" style="{limits}">'
    )
    return Drawing(alt=alt, svg=_with_own_ids(f"{head}{body}</svg>"), wide=wide)


def _require_text_inside(fig: Any) -> None:
    """Refuse a title, axis label or note that the edge of the figure would cut."""
    fig.draw_without_rendering()
    edge = fig.bbox.padded(2.0 * fig.dpi / 72.0)
    texts = [child for ax in fig.axes for child in ax.get_children() if isinstance(child, Text)]
    texts += [axis.label for ax in fig.axes for axis in (ax.xaxis, ax.yaxis)]
    texts += [text for text in fig.findobj(Text) if text in fig.texts or text is fig._suptitle]
    for text in texts:
        if not text.get_visible() or not text.get_text().strip():
            continue
        box = text.get_window_extent()
        if box.x0 < edge.x0 or box.x1 > edge.x1 or box.y0 < edge.y0 or box.y1 > edge.y1:
            raise ValueError(
                f"fig must hold all of its text; {text.get_text()!r} runs over the edge: "
                "break the line, shorten it, or enlarge the figure"
            )


def _compact(svg: str) -> str:
    """Leave out comments, what the page's style or the root says, and digits that no screen can show."""
    svg = re.sub(
        r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>|font-family: 'DejaVu Sans'; ",
        "",
        svg,
        flags=re.DOTALL,
    )
    svg = re.sub(
        r'(?<= d=")[^"]*', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", " ".join(path[0].split())), svg
    )
    return re.sub(r">\s+<", "><", svg.strip())


def _with_page_colors(svg: str) -> str:
    """Text colour for ink and black, and theme colours for the book's own."""
    svg = re.sub(rf"{INK}|#000000\b", "currentColor", svg)
    for name, value in COLORS.items():
        svg = svg.replace(value, css_color(name))
    return svg


def _with_own_ids(svg: str) -> str:
    """Keep the ids that are referred to, under a prefix that comes from the content: no two figures clash."""
    prefix = "f" + hashlib.sha256(svg.encode()).hexdigest()[:8]
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", svg)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", svg)
