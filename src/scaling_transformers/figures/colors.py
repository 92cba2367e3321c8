"""The colours of the book: after Okabe and Ito, made darker for white pages and lighter for dark ones."""

from __future__ import annotations

COLORS = {
    "blue": "#0072b2",
    "orange": "#b84e00",
    "green": "#00805e",
    "purple": "#9c3a7c",
    "grey": "#4a4a4a",
}
"""What a figure is drawn with, in the order of the line cycle. The dark theme swaps each for its twin."""

DARK_COLORS = {
    "blue": "#56b4e9",
    "orange": "#f0883e",
    "green": "#2fbf93",
    "purple": "#eea6d0",
    "grey": "#808080",
}

INK = "#0a0b0c"
"""Stands for the colour of the page's text while a figure is drawn; `show` puts that colour in its place."""


def css_color(name: str) -> str:
    """CSS that gives a colour of the book in the theme of the page."""
    return f"var(--book-{name},{COLORS[name]})"


def theme_css(selector: str) -> str:
    """Style rule that swaps the colours inside ``selector`` where the page, or JupyterLab, is dark."""
    twins = ";".join(f"--book-{name}:{value}" for name, value in DARK_COLORS.items())
    return f"html[data-theme=dark] {selector},[data-jp-theme-light=false] {selector}{{{twins}}}"


def panel_css(selector: str) -> str:
    """Style rule that takes away the light panel that the dark theme puts behind HTML output."""
    output = "html[data-theme=dark] .bd-content div.cell_output .text_html"
    return f"{output}:has({selector}){{background:none;color:inherit;padding:0}}"
