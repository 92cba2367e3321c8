"""The one mechanism behind every interactive figure of the book.

An explorer is a few controls, a function that computes, and a small script that draws. The function is
evaluated for every setting of the controls when the explorer is made, and the answers travel with the page:
a reader moves them with no server, and sees the first picture where no script runs. In a notebook the same
object is a widget, and `Explorer.panel` computes between the settings.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, cast

import anywidget
import ipywidgets
import numpy as np
import traitlets

from scaling_transformers.explorers.still import still_html
from scaling_transformers.figures.colors import COLORS, css_color, panel_css, theme_css

MAX_FRAMES = 4000
_DIGITS = 4  # significant digits of what travels with the page
_CSS_COLORS = json.dumps({name: css_color(name) for name in COLORS})


@dataclass(frozen=True)
class Control:
    """One thing that the reader sets: a slider over a short list of values.

    Parameters
    ----------
    name : argument of the explorer's function
    label : what the reader sees
    values : at least two different numbers in rising order, or names
    unit : written after the value
    format : how a number is written, as in ``format(value, format)``
    initial : the value to start from; the first unless given

    Raises
    ------
    ValueError
        If the values are not such a list, or ``initial`` is not one of them.
    """

    name: str
    label: str
    values: Sequence[Any]
    unit: str = ""
    format: str = ",g"
    initial: float | str | None = None

    def __post_init__(self) -> None:
        values = tuple(self.values)
        object.__setattr__(self, "values", values)
        if not self.name.isidentifier():
            raise ValueError(f"name must be a Python name; got {self.name!r}")
        if not self.label.strip():
            raise ValueError(f"label of control {self.name!r} must not be empty")
        names = all(isinstance(value, str) for value in values)
        if not names and not all(_is_number(value) and math.isfinite(value) for value in values):
            raise ValueError(f"values of control {self.name!r} must be all finite numbers or all names")
        if len(set(values)) < max(2, len(values)) or not (names or list(values) == sorted(values)):
            raise ValueError(
                f"values of control {self.name!r} must be two or more, different, rising; got {values}"
            )
        if self.initial is None:
            object.__setattr__(self, "initial", values[0])
        if self.initial not in values:
            raise ValueError(
                f"initial of control {self.name!r} must be one of {values}; got {self.initial!r}"
            )

    def text(self, value: float | str) -> str:
        """A value as the reader sees it, with its unit."""
        return (value if isinstance(value, str) else format(value, self.format)) + self.unit

    def word(self, value: float | str) -> str:
        """A value as it stands in the address of a page."""
        return value if isinstance(value, str) else f"{value:.12g}".replace("e+", "e")


class Explorer(anywidget.AnyWidget):
    """An interactive figure, computed over the whole grid of its controls when it is made.

    Parameters
    ----------
    title : str
        The message, in a line.
    controls : sequence of Control
    compute : callable
        Takes the controls by name; answers a dict of numbers, strings and lists (or arrays) of them. The
        entry ``"summary"`` is a sentence that says what the picture shows; it is read aloud.
    view : str
        Name of the script beside this module that draws an answer, ``<view>.js``.
    fixed : mapping, optional
        What the picture needs and no control changes.

    Raises
    ------
    ValueError
        If the grid has more than 4,000 points, or an answer is not finite or holds anything else.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    controls: Any = traitlets.List().tag(sync=True)
    fixed = traitlets.Dict().tag(sync=True)
    frames: Any = traitlets.List().tag(sync=True)  #: What ``compute`` answered, in the order of the grid.
    """The answers, one for each setting of the controls; the last control changes fastest."""
    state = traitlets.Dict().tag(sync=True)
    """The index of each control's present value."""
    frame = traitlets.Dict().tag(sync=True)
    """An answer between the settings, from a kernel; drawn in place of those of the grid unless empty."""

    def __init__(
        self,
        *,
        title: str,
        controls: Sequence[Control],
        compute: Callable[..., Mapping[str, Any]],
        view: str,
        fixed: Mapping[str, Any] | None = None,
    ) -> None:
        if not title.strip():
            raise ValueError("title must not be empty")
        names = [control.name for control in controls]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"controls must be one or more, with different names; got {names}")
        size = math.prod(len(control.values) for control in controls)
        if size > MAX_FRAMES:
            raise ValueError(f"controls must span at most {MAX_FRAMES:,} settings; got {size:,}")
        self._controls, self._compute, self._view = tuple(controls), compute, view
        settings = itertools.product(*(tuple(control.values) for control in controls))
        super().__init__(
            _esm=f"const COLORS = {_CSS_COLORS};\n{_read(f'{view}.js')}\n{_read('explorer.js')}",
            _css=theme_css(".explorer") + panel_css("div.explorer") + _read("explorer.css"),
            title=title,
            controls=[
                {
                    "name": c.name,
                    "label": c.label,
                    "texts": [c.text(value) for value in c.values],
                    "words": [c.word(value) for value in c.values],
                }
                for c in controls
            ],
            fixed=_plain(fixed or {}, "fixed"),
            frames=[self.evaluate(**dict(zip(names, values, strict=True))) for values in settings],
            state={c.name: list(c.values).index(c.initial) for c in controls},
        )

    def evaluate(self, **values: Any) -> dict[str, Any]:
        """What the picture shows for any values of the controls, rounded to four significant digits."""
        where = ", ".join(f"{name}={value!r}" for name, value in values.items())
        frame = _plain(dict(self._compute(**values)), f"compute({where})")
        if not isinstance(frame.get("summary"), str) or not frame["summary"].strip():
            raise ValueError(
                f"compute({where}) must answer a sentence under 'summary'; got {frame.get('summary')!r}"
            )
        return cast("dict[str, Any]", frame)

    def panel(self) -> ipywidgets.VBox:
        """The figure under sliders that a kernel answers, for any value from the least to the largest.

        Numbers get a slider: of whole numbers where all values are, else logarithmic where they are positive
        and span a factor of 100. Names get a menu. Needs a running notebook.
        """
        inputs = {control.name: _live_input(control) for control in self._controls}

        def update(_: Any = None) -> None:
            self.frame = self.evaluate(**{name: control.value for name, control in inputs.items()})

        for control in inputs.values():
            control.observe(update, names="value")
        update()
        return ipywidgets.VBox([*inputs.values(), self])

    def still(self) -> str:
        """The figure as HTML that needs no script, with the values that it has now.

        On a page of the book `chapters/_static/explorer-host.js` brings it to life in its place.
        """
        values = {
            name: getattr(self, name) for name in ("title", "controls", "fixed", "frames", "state", "frame")
        }
        attributes = {"class": "explorer", "data-explorer": self.model_id, "data-view": self._view}
        return f"<style>{self._css}</style>{still_html(self._esm, values, attributes)}"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """A widget; and the figure in HTML for a page that has no kernel, or no scripts."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        bundle[0]["text/html"] = self.still()
        return cast("tuple[dict[str, Any], dict[str, Any]]", bundle)


def _read(name: str) -> str:
    """Text of a file beside this module."""
    return files("scaling_transformers.explorers").joinpath(name).read_text("utf-8")


def _live_input(control: Control) -> Any:
    """The notebook's own input for a control."""
    common = {
        "description": control.label,
        "value": control.initial,
        "style": {"description_width": "initial"},
    }
    if any(isinstance(value, str) for value in control.values):
        return ipywidgets.Dropdown(options=list(control.values), **common)
    if all(isinstance(value, int) for value in control.values):
        return ipywidgets.IntSlider(min=control.values[0], max=control.values[-1], **common)
    least, largest = float(control.values[0]), float(control.values[-1])
    if least > 0 and largest / least >= 100:
        return ipywidgets.FloatLogSlider(min=math.log10(least), max=math.log10(largest), step=0.01, **common)
    return ipywidgets.FloatSlider(min=least, max=largest, step=(largest - least) / 200, **common)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _plain(value: Any, where: str) -> Any:
    """Numbers, strings, and lists and dicts of them, rounded; anything else is refused by its place."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, str | bool):
        return value
    if _is_number(value):
        if not math.isfinite(value):
            raise ValueError(f"{where} must be finite; got {value}")
        rounded = float(f"{value:.{_DIGITS}g}")
        return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    raise ValueError(
        f"{where} must be a number, a string, or a list or dict of them; got {type(value).__name__}"
    )
