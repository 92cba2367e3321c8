"""What a figure of the book promises to its reader."""

import itertools
import json
import re
import warnings
import xml.etree.ElementTree as ElementTree

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from colorspacious import cspace_convert

from scaling_transformers.figures import (
    COLORS,
    decide,
    heatmap,
    keep,
    label_line,
    label_lines,
    log_axes,
    show,
    use_style,
)
from scaling_transformers.figures.colors import DARK_COLORS, INK

LIGHT_PAGE, DARK_PAGES = "#ffffff", ("#121212", "#14181e")  # sphinx-book-theme 1.3, pydata-sphinx-theme 0.17

# Least distance of two colours in CAM02-UCS, where about 1 can just be told. Blue and green come close for
# those few who lack the cones for blue: where they stand together, a shape or a label tells them apart too.
APART = {"usual": 20, "protanomaly": 7.5, "deuteranomaly": 15, "tritanomaly": 5}
# IEC 61966-2-1: linear sRGB to XYZ.
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


@pytest.fixture(autouse=True)
def style():
    with matplotlib.rc_context():
        matplotlib.use("agg")
        use_style()
        yield
    plt.close("all")


def linear(color):
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """WCAG 2.2 contrast ratio."""
    dark, light = sorted((XYZ @ linear(color))[1] for color in (one, other))
    return (light + 0.05) / (dark + 0.05)


def as_seen(color, sight):
    """A colour in CAM02-UCS, where distances are those that an eye sees, after Machado et al. (2009)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    if sight != "usual":
        worst = {"name": "sRGB1+CVD", "cvd_type": sight, "severity": 100}
        channels = np.clip(cspace_convert(channels, worst, "sRGB1"), 0, 1)
    return cspace_convert(channels, "sRGB1", "CAM02-UCS")


def lines(title="A message", **kwargs):
    fig, ax = plt.subplots(**kwargs)
    for power in (1, 2):
        ax.plot([1, 2, 3], [1, 2**power, 3**power], label=f"power {power}")
    ax.fill_between([1, 2, 3], 0, [1, 2, 3], alpha=0.3)
    ax.set(title=title, xlabel="length (tokens)", ylabel="cost (FLOPs)")
    return fig, ax


def attention():
    fig, ax = plt.subplots(figsize=(4, 4))
    heatmap(ax, np.tril(np.ones((3, 3))) / 3, xticks=list("abc"), yticks=list("abc"), title="Causal")
    return fig


@pytest.mark.parametrize("page", [LIGHT_PAGE, *DARK_PAGES])
def test_every_colour_is_legible_as_text_in_both_themes(page):
    palette = COLORS if page == LIGHT_PAGE else DARK_COLORS
    assert palette.keys() == COLORS.keys()
    assert min(contrast(color, page) for color in palette.values()) >= 4.5  # WCAG 2.2, 1.4.3


@pytest.mark.parametrize("palette", [COLORS, DARK_COLORS])
@pytest.mark.parametrize("sight", APART)
def test_colours_stay_apart_for_the_colour_blind(palette, sight):
    seen = [as_seen(color, sight) for color in palette.values()]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= APART[sight]


@pytest.mark.parametrize("alt", ["", "  \n", None])
def test_a_figure_without_words_is_refused(alt):
    with pytest.raises(ValueError, match="alt must be a sentence"):
        show(lines()[0], alt=alt)


def test_the_words_are_escaped_and_read_aloud():
    root = ElementTree.fromstring(show(lines()[0], alt='a < b & "c"').svg)
    assert (root.get("role"), root.get("aria-label")) == ("img", 'a < b & "c"')


def test_the_same_figure_gives_the_same_bytes():
    first, second = (show(lines()[0], alt="Two lines.")._repr_html_() for _ in range(2))
    assert first == second
    assert show(attention(), alt="A triangle.").svg == show(attention(), alt="A triangle.").svg


def test_no_colour_is_left_that_a_theme_cannot_change():
    fig, ax = lines()
    ax.axhline(2, color="black")
    ax.boxplot([1, 2, 3])
    ax.text(1, 1, "note", color="black")
    ax.legend()
    svg = show(fig, alt="Two lines.").svg
    loose = re.sub(r"var\(--book-\w+,#[0-9a-f]{6}\)", "", svg)
    assert INK not in svg
    assert re.findall(r"#[0-9a-f]{6}\b(?!-)", re.sub(r'(href="|url\()#[^")]*', "", loose)) == []
    assert 'fill="currentColor"' in svg
    assert "#ffffff" not in svg


def test_text_stays_text():
    svg = ElementTree.fromstring(show(lines("Cost grows")[0], alt="Two lines.").svg)
    assert "Cost grows" in {text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")}


def test_two_figures_on_a_page_share_no_id_and_every_reference_holds():
    first, second = show(lines()[0], alt="Two lines.").svg, show(lines("Other")[0], alt="Two lines.").svg
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg, known in zip((first, second), ids, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) == known


def test_a_figure_is_shown_once():
    show(lines()[0], alt="Two lines.")
    assert plt.get_fignums() == []


def test_default_text_is_at_least_nine_pixels_on_a_phone():
    fig, ax = lines()
    sizes = [text.get_fontsize() for text in (ax.xaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels())]
    column = 312  # CSS pixels for a cell's output in the theme, on a phone of 360
    assert min(sizes) * column / (72 * fig.get_size_inches()[0]) >= 8.5
    assert min(sizes[:1]) * column / (72 * fig.get_size_inches()[0]) >= 9


def test_a_wide_figure_scrolls_in_its_own_box_and_can_be_reached_by_keyboard():
    html = show(lines(figsize=(8, 3))[0], alt="Two lines.")._repr_html_()
    assert "min-width:490px" in html
    assert 'tabindex="0"' in html
    assert "tabindex" not in show(lines()[0], alt="Two lines.")._repr_html_()


def test_text_that_the_edge_would_cut_is_refused():
    with pytest.raises(ValueError, match="runs over the edge"):
        show(lines("A title that is far too long to be read in one line of a narrow figure")[0], alt="Lines.")


def test_a_matrix_keeps_one_pixel_a_cell_and_its_scale_starts_at_zero():
    fig, ax = plt.subplots()
    image = heatmap(ax, np.array([[0.2, 0.4]]))
    assert image.get_clim() == (0.0, 0.4)
    svg = show(fig, alt="Two cells.").svg
    assert 'width="2" height="1"' in svg
    assert "image-rendering:pixelated" in svg


def test_rows_of_a_matrix_run_down():
    fig, ax = plt.subplots()
    heatmap(ax, np.eye(3), xticks=list("abc"), yticks=list("def"))
    fig.draw_without_rendering()
    ys = [ax.transData.transform((0, row))[1] for row in range(3)]
    assert ys == sorted(ys, reverse=True)
    assert [label.get_text() for label in ax.get_yticklabels()] == list("def")


@pytest.mark.parametrize(
    ("weights", "names", "message"),
    [
        (np.ones(3), None, "weights must be a matrix"),
        (np.array([[np.nan]]), None, "weights must be finite"),
        (-np.ones((2, 2)), None, "not negative"),
        (np.ones((2, 2)), ["a"], "xticks must hold 2 names; got 1"),
    ],
)
def test_a_bad_matrix_is_named(weights, names, message):
    with pytest.raises(ValueError, match=message):
        heatmap(plt.subplots()[1], weights, xticks=names)


def test_names_of_lines_that_end_together_do_not_overlap():
    fig, ax = plt.subplots()
    for index in range(4):
        ax.plot([0, 1], [0, 1 + 1e-3 * index], label=f"line {index}")
    label_lines(ax)
    fig.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 4
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    show(fig, alt="Four lines.")


def test_a_name_stands_at_the_last_finite_point_in_the_colour_of_its_line():
    _, ax = plt.subplots()
    (line,) = ax.plot([1, 2, 3], [4, 5, np.nan], color=COLORS["green"])
    text = label_line(ax, line, "measured")
    assert (text.xy, text.get_color()) == ((2.0, 5.0), COLORS["green"])


def test_a_line_without_a_finite_point_is_refused():
    _, ax = plt.subplots()
    (line,) = ax.plot([1, 2], [np.nan, np.nan])
    with pytest.raises(ValueError, match="line must have a finite point"):
        label_line(ax, line, "nothing")


def test_drawing_warns_of_nothing(caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        show(lines()[0], alt="Two lines.")
        show(attention(), alt="A triangle.")
    assert caplog.text == ""


def test_log_ticks_are_plain_numbers_and_nothing_else():
    fig, ax = plt.subplots()
    log_axes(ax, x=[1, 10, 1000], y=[0.5, 2])
    ax.set(xlim=(0.5, 2000), ylim=(0.1, 5))
    fig.draw_without_rendering()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "10", "1,000"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0.5", "2"]
    assert len(ax.get_xticks(minor=True)) == 0


def test_a_tick_that_has_no_logarithm_is_refused():
    with pytest.raises(ValueError, match="y must hold positive numbers; got 0"):
        log_axes(plt.subplots()[1], y=[0, 1])


def test_numbers_for_the_prose_are_stored_as_plain_python(monkeypatch):
    stored = {}
    monkeypatch.setattr("myst_nb.glue", lambda name, value, display: stored.update({name: value}))
    keep(slope=np.float64(0.5), count=np.int64(3), name="code")
    assert stored == {"slope": 0.5, "count": 3, "name": "code"}
    assert [type(value) for value in stored.values()] == [float, int, str]


@pytest.mark.parametrize("bad", [float("nan"), np.inf, [1.0], None, True])
def test_a_number_that_prose_cannot_say_is_refused_by_name(bad):
    with pytest.raises(ValueError, match="slope must be"):
        keep(slope=bad)


def test_a_verdict_is_stored_for_the_prose_and_with_its_number_for_the_ledger(monkeypatch):
    stored = {}
    monkeypatch.setattr("myst_nb.glue", lambda name, value, display: stored.update({name: value}))
    decide(
        "cost-exponential",
        "does not hold",
        measure="degree of the FLOPs in the parameters",
        value=np.float64(0.9876),
        low=0.97,
        high=1.0,
        interval="95 %",
        spec=".3f",
    )
    assert stored.pop("verdict-cost-exponential") == "does not hold"
    assert json.loads(stored.pop("ledger-cost-exponential")) == {
        "claim": "cost-exponential",
        "verdict": "does not hold",
        "measure": "degree of the FLOPs in the parameters",
        "number": "0.988",
        "interval": "0.970 to 1.000 (95 %)",
    }
    assert stored == {}


@pytest.mark.parametrize(
    ("claim", "verdict", "numbers", "message"),
    [
        (
            "cost-exponentail",
            "holds",
            {"value": 1},
            "a claim; got 'cost-exponentail'; did you mean 'cost-exp",
        ),
        ("cost-exponential", "true", {"value": 1}, "verdict must be one of .*'open'.*; got 'true'"),
        ("cost-exponential", "holds", {"value": np.nan}, "must be finite; got nan"),
        ("cost-exponential", "holds", {"value": 1, "low": 0}, "low and high must both be given"),
        (
            "cost-exponential",
            "holds",
            {"value": 1, "low": 2, "high": 3},
            "must hold the value 1; got 2 and 3",
        ),
    ],
)
def test_a_decision_that_the_ledger_cannot_say_is_refused_by_name(claim, verdict, numbers, message):
    with pytest.raises(ValueError, match=message):
        decide(claim, verdict, measure="any", **numbers)
