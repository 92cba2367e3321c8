"""What an interactive figure promises to the reader of a built page."""

import itertools
import json
import math
import shutil
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from ipywidgets.embed import embed_data
from playwright.sync_api import expect

from scaling_transformers.explorers import (
    attention_explorer,
    budget_explorer,
    cost_explorer,
    footprint_explorer,
    mesh_explorer,
    router_explorer,
    scaling_explorer,
    sparsity_explorer,
    thresholds_explorer,
)

EXPLORERS = {  # of a page with several: the page, a # and which of them, from 0
    "chapters/attention.html": attention_explorer,
    "chapters/complexity.html": cost_explorer,
    "chapters/power_laws.html#0": scaling_explorer,
    "chapters/power_laws.html#1": budget_explorer,
    "chapters/sparsity.html#0": sparsity_explorer,
    "chapters/sparsity.html#1": router_explorer,
    "chapters/sustainability.html": footprint_explorer,
    "chapters/ethics.html": thresholds_explorer,
    "chapters/parallelism.html": mesh_explorer,
}
# Every setting of the controls, the last fastest, and what the reader sees under it.
SHOW_EVERY_SETTING = """(explorer) => {
  const inputs = [...explorer.querySelectorAll("input[type=range]")];
  const texts = (selector) => [...explorer.querySelectorAll(selector)].map((part) => part.textContent);
  const shown = [];
  const moveFrom = (control) => {
    if (control === inputs.length) {
      shown.push({
        summary: explorer.querySelector(".explorer-summary").textContent,
        texts: texts(".explorer-value"),
        bars: [...explorer.querySelectorAll("rect")].map((bar) => Number(bar.getAttribute("width"))),
        labels: texts("rect + text"),
        notes: texts("text.strong"),
        lines: [...explorer.querySelectorAll("path[fill=none]")].map((line) => line.getAttribute("d")),
        dots: [...explorer.querySelectorAll("circle")]
          .map(({ cx, cy }) => [cx.baseVal.value, cy.baseVal.value]),
      });
      return;
    }
    for (let position = 0; position <= Number(inputs[control].max); position++) {
      inputs[control].value = position;
      inputs[control].dispatchEvent(new Event("input"));
      moveFrom(control + 1);
    }
  };
  moveFrom(0);
  return shown;
}"""


@pytest.fixture(params=EXPLORERS, ids=lambda entry: entry.replace(".html", "").split("/")[-1])
def entry(request):
    """Each interactive figure of the book."""
    return request.param


@pytest.fixture
def chapter(entry):
    """The page of the figure."""
    return entry.split("#")[0]


@pytest.fixture
def place(entry):
    """Which of the figures of its page it is, from 0."""
    return int(entry.partition("#")[2] or 0)


@pytest.fixture
def made_for(entry, made):
    """The figure as the package makes it."""
    return made if EXPLORERS[entry] is attention_explorer else EXPLORERS[entry]()


@pytest.fixture(scope="module")
def made():
    """One of the figures, for small pages of our own."""
    return attention_explorer()


@pytest.fixture
def page_of(serve, read, book, tmp_path):
    """Open a small page with the book's host script and any states and views."""

    def page_of(states, views):
        shutil.copy(book.root / "chapters" / "_static" / "explorer-host.js", tmp_path)
        shutil.copy(book.root / "chapters" / "_static" / "favicon.svg", tmp_path)
        scripts = [("state", json.dumps({"state": states}) if isinstance(states, dict) else states)]
        scripts += [("view", json.dumps({"model_id": model})) for model in views]
        body = "".join(
            f'<script type="application/vnd.jupyter.widget-{kind}+json">{text}</script>'
            for kind, text in scripts
        )
        (tmp_path / "page.html").write_text(
            '<!DOCTYPE html><html lang="en"><link rel="icon" href="favicon.svg">'
            f'<script defer src="explorer-host.js"></script><h1>A page</h1>{body}<p>The end.</p>'
        )
        return read(f"{serve(tmp_path)}/page.html").page

    return page_of


def state_of(*explorers):
    return embed_data(views=explorers)["manager_state"]["state"]


def as_javascript_writes(weight):
    """Two decimals as toFixed rounds them: to the nearest, and up where two are as near."""
    return str(Decimal(weight).quantize(Decimal("0.01"), ROUND_HALF_UP))


def three_digits(value):
    """As the drawing writes a number: three digits that count, ties go up, no zeros behind the point."""
    written = Decimal(repr(float(value)))  # JavaScript rounds the shortest decimal, too
    last = Decimal(1).scaleb(written.adjusted() - 2)
    text = f"{written.quantize(last, ROUND_HALF_UP):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def weights_are_drawn(seen, frame, explorer):
    assert seen["labels"] == [as_javascript_writes(weight) for weight in frame["weights"]]
    largest = max(frame["weights"])
    assert [width / max(seen["bars"]) for width in seen["bars"]] == pytest.approx(
        [weight / largest for weight in frame["weights"]]
    )


def costs_are_noted(seen, frame, explorer):
    limits = [
        "memory" if intensity < explorer.fixed["ridge"] else "arithmetic" for intensity in frame["intensity"]
    ]
    assert seen["notes"] == [f"{three_digits(held)} GB" for held in frame["gigabytes"]] + [
        f"{three_digits(time)} ms, {limit} limits"
        for time, limit in zip(frame["milliseconds"], limits, strict=True)
    ]


def splits_are_drawn(seen, frame, explorer):
    """A size ten times as large stands 60 to the right, ten times the tokens 300/7 higher."""
    decades = np.log10([frame["best"], frame["life"]]) - np.log10([1e8, 1e9])
    expected = decades * [60, -300 / 7] + [62, 0]
    assert np.allclose(seen["dots"][:2], expected, atol=0.1)


def footprints_are_noted(seen, frame, explorer):
    noted = [
        f"{three_digits(energy)} MWh, {three_digits(carbon)} t CO2e"
        for energy, carbon in zip(frame["megawatthours"], frame["tonnes"], strict=True)
    ]
    assert seen["notes"] == noted + ["none", "training alone"][: 3 - len(noted)]


def plans_are_drawn(seen, frame, explorer):
    """A run ten times as large stands a ninth of 316 to the right, ten times the dollars a tenth."""
    expected = [
        14 + 316 * np.log10(frame["operations"][1] / 1e19) / 9,
        14 + 316 * np.log10(frame["cost"][1] / 1e2) / 10,
    ]
    assert np.allclose([x for x, _ in seen["dots"]], expected, atol=0.1)
    assert seen["notes"] == [f"chance to be above: {frame['chance']}"]


def parts_are_drawn(seen, frame, explorer):
    """Seconds fill the first scale, of 210; gigabytes stand on the second, up to twice an H100."""
    seconds, held = sum(frame["seconds"]), sum(frame["gigabytes"])
    if not seconds:
        assert seen["notes"] == ["no such mesh"] * 2
        return
    assert seen["notes"] == [
        f"{three_digits(seconds)} s{'' if frame['fits'] else ', if it fitted'}",
        f"{three_digits(held)} GB: {'fits' if frame['fits'] else 'does not fit'}",
    ]
    assert np.allclose(seen["bars"][:3], 210 * np.array(frame["seconds"]) / seconds, atol=0.01)
    ends = np.minimum(np.cumsum([0, *frame["gigabytes"]]), 2 * explorer.fixed["limit"])
    assert np.allclose(seen["bars"][3:], 210 * np.diff(ends) / (2 * explorer.fixed["limit"]), atol=0.01)


def laws_are_drawn(seen, frame, explorer):
    """A tenth of a nat is 290 / 6.8 high, for the runs and for the law at their sizes."""
    assert seen["notes"] == [
        f"misses its runs by {three_digits(frame['miss'])} %",
        f"largest budget: {three_digits(abs(frame['off']))} % too {'low' if frame['off'] >= 0 else 'high'}",
    ]
    measured = np.array([dot for dot in seen["dots"] if dot[1] < 0])
    losses = np.concatenate([budget["losses"] for budget in explorer.fixed["budgets"][:-1]])
    assert np.allclose(measured[:, 1], -290 * (losses - 0.65) / 0.68, atol=0.05)
    for line, said in zip(seen["lines"], frame["losses"], strict=True):
        heights = [float(point.split(",")[1]) for point in line[1:].split("L")]
        assert np.allclose(heights, -290 * (np.array(said) - 0.65) / 0.68, atol=0.06)


def patterns_are_drawn(seen, frame, explorer):
    """A per cent is 3 wide."""
    allowed, computed, _ = frame["shares"]
    saved = (
        "more than dense"
        if frame["saved"] < 0
        else f"{three_digits(frame['saved'])} % saved"
        if frame["saved"]
        else "nothing saved"
    )
    layers = f"{frame['layers']} layer{'s' if frame['layers'] > 1 else ''}"
    assert seen["notes"] == [
        f"{three_digits(allowed)} %",
        f"{three_digits(computed)} %: {saved}",
        f"{three_digits(frame['connected'])} %",
        f"all connected after {layers}" if frame["layers"] else "never all connected",
    ]
    assert np.allclose(seen["bars"][-3:], 3 * np.array([allowed, computed, frame["connected"]]), atol=0.01)


def queues_are_drawn(seen, frame, explorer):
    """A token is 290 / 64 wide, and in the second panel 1.16 times narrower."""
    queues = []
    for asked, served in zip(frame["asked"], frame["served"], strict=True):
        queues += [served * 290 / 64] + ([(asked - served) * 290 / 64 - 2] if asked > served else [])
    tokens = np.array(frame["tokens"]) * 290 / 64 / 1.16
    assert np.allclose(seen["bars"], [*queues, 22, 20, *tokens], atol=0.01)
    assert seen["notes"] == [
        f"{three_digits(frame['dropped'])} % of the choices dropped",
        f"{frame['tokens'][0]} of {explorer.fixed['n']} tokens get no expert",
    ]


DRAWN = {
    attention_explorer: weights_are_drawn,
    budget_explorer: splits_are_drawn,
    cost_explorer: costs_are_noted,
    footprint_explorer: footprints_are_noted,
    thresholds_explorer: plans_are_drawn,
    mesh_explorer: parts_are_drawn,
    router_explorer: queues_are_drawn,
    scaling_explorer: laws_are_drawn,
    sparsity_explorer: patterns_are_drawn,
}


def frame_at(explorer, positions):
    """The frame that the package computed for a position of each control."""
    index = 0
    for control, position in zip(explorer.controls, positions, strict=True):
        index = index * len(control["texts"]) + position
    return explorer.frames[index]


def initial_positions(explorer):
    return [explorer.state[control["name"]] for control in explorer.controls]


def test_an_explorer_shows_what_was_computed_for_every_setting(book, read, entry, chapter, place, made_for):
    page = read(f"{book.address}/{chapter}").page
    explorer = page.locator("div.explorer").nth(place)
    expect(explorer.locator("svg").first).to_be_visible()
    shown = explorer.evaluate(SHOW_EVERY_SETTING)
    settings = itertools.product(*(control["texts"] for control in made_for.controls))
    for seen, frame, texts in zip(shown, made_for.frames, settings, strict=True):
        assert seen["summary"] == frame["summary"]
        assert seen["texts"] == list(texts)
        DRAWN[EXPLORERS[entry]](seen, frame, made_for)


def test_an_explorer_moves_by_keyboard_alone(book, read, chapter, place, made_for):
    page = read(f"{book.address}/{chapter}").page
    explorer = page.locator("div.explorer").nth(place)
    positions = initial_positions(made_for)
    for number, control in enumerate(made_for.controls):
        slider = explorer.get_by_role("slider", name=control["label"], exact=True)
        before = explorer.locator(".explorer-picture").inner_html()
        last = len(control["texts"]) - 1
        step = -1 if positions[number] == last else 1
        slider.focus()
        page.keyboard.press("ArrowRight" if step > 0 else "ArrowLeft")
        positions[number] += step
        now = control["texts"][positions[number]]
        expect(explorer.locator(".explorer-value").nth(number)).to_have_text(now)
        expect(slider).to_have_attribute("aria-valuetext", now)
        assert explorer.locator(".explorer-picture").inner_html() != before
    assert len(made_for.frames) == math.prod(len(control["texts"]) for control in made_for.controls)
    expect(explorer.locator(".explorer-summary")).to_have_text(frame_at(made_for, positions)["summary"])


def test_an_explorer_needs_no_server(book, read, chapter, place, made_for):
    page = read((book.folder / chapter).as_uri()).page
    expect(page.locator("div.explorer").nth(place).locator("svg").first).to_be_visible()
    assert (
        page.locator("div.explorer").nth(place).evaluate(SHOW_EVERY_SETTING)[-1]["summary"]
        == (made_for.frames[-1]["summary"])
    )


def test_without_scripts_the_title_and_the_sentence_are_there_to_read(book, read, chapter, place, made_for):
    stand_in = (
        read(f"{book.address}/{chapter}", javascript=False).page.locator("noscript .explorer").nth(place)
    )
    expect(stand_in).to_be_visible()
    first = frame_at(made_for, initial_positions(made_for))
    assert {made_for.title, first["summary"]} <= set(stand_in.inner_text().splitlines())


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        ({}, "its state is not in the page"),
        ("{ cut off", "its state is not in the page"),
        ({"a": {"state": {"_esm": "export default { render() { throw new Error('no data') } }"}}}, "no data"),
        ({"a": {"state": {"_esm": "this is no script"}}}, "Unexpected identifier"),
    ],
)
def test_an_explorer_that_cannot_be_shown_says_so_and_why(page_of, states, reason):
    page = page_of(states, ["a"])
    message = page.locator("div.explorer .explorer-error")
    expect(message).to_contain_text("This interactive figure could not be shown")
    expect(message).to_contain_text(reason)
    expect(page.get_by_text("The end.")).to_be_visible()


def test_a_broken_explorer_leaves_the_next_one_alone(page_of, made):
    page = page_of(state_of(made), ["missing", made.model_id])
    expect(page.locator("div.explorer")).to_have_count(2)
    expect(page.locator("div.explorer").nth(1).locator("svg").first).to_be_visible()


def test_two_explorers_on_a_page_move_apart(page_of):
    one, other = attention_explorer(), attention_explorer()
    page = page_of(state_of(one, other), [one.model_id, other.model_id])
    first, second = (page.locator("div.explorer").nth(index) for index in range(2))
    before = second.inner_html()
    first.locator("input").first.fill("0")
    expect(first.locator(".explorer-summary")).to_contain_text("Query at 0°")
    assert second.inner_html() == before


def test_two_views_of_one_explorer_move_together(page_of, made):
    page = page_of(state_of(made), [made.model_id, made.model_id])
    first, second = (page.locator("div.explorer").nth(index) for index in range(2))
    first.locator("input").first.fill("0")
    expect(second.locator(".explorer-summary")).to_contain_text("Query at 0°")
    expect(second.locator("input").first).to_have_value("0")
