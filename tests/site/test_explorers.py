"""What an interactive figure promises to the reader of a built page."""

import itertools
import math
import shutil
from decimal import ROUND_HALF_UP, Decimal
from urllib.parse import parse_qsl, urlsplit

import explorer_files as files
import numpy as np
import pytest
from bs4 import BeautifulSoup
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
    spikes_explorer,
    surprisal_explorer,
    thresholds_explorer,
    variants_explorer,
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
    "chapters/evolution.html": variants_explorer,
    "chapters/cognition.html": surprisal_explorer,
    "chapters/frontiers.html": spikes_explorer,
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
def lay(tmp_path):
    return lambda stem, text: f"files/{files.lay_file(tmp_path, 'files', stem, text)}"


@pytest.fixture
def page_of(serve, read, book, lay, tmp_path):
    """Open a small page with the book's host script and figures: explorers, or the script of one."""

    def page_of(*figures, lost="", query="", **options):
        for name in ("explorer-host.js", "favicon.svg"):
            shutil.copy(book.root / "chapters" / "_static" / name, tmp_path)
        states, body = {}, ""
        for figure in figures:
            if isinstance(figure, str):
                states["a"] = {name: [] for name in files._NEEDED} | {"_esm": figure}
                body += '<div class="explorer" data-explorer="a" data-view="a"><p>The picture.</p></div>'
            else:
                states[figure.model_id] = figure.get_state()
                body += figure.still()
        body = files.with_files(body, states, lay)
        for attribute in BeautifulSoup(body, "html.parser").select(f"[{lost}]" if lost else "nothing"):
            (tmp_path / attribute[lost]).unlink()
        (tmp_path / "page.html").write_text(
            '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><link rel="icon" href="favicon.svg">'
            f'<script defer src="explorer-host.js"></script><h1>A page</h1>{body}<p>The end.</p>'
        )
        return read(f"{serve(tmp_path)}/page.html{query}", **options).page

    return page_of


def alive(page, place=0):
    """An interactive figure of a page, when its script has come."""
    explorer = page.locator("div.explorer").nth(place)
    expect(explorer.locator("input").first).to_be_enabled()
    return explorer


def values_of(explorer):
    return explorer.locator(".explorer-value").all_text_contents()


def query_of(page):
    return dict(parse_qsl(urlsplit(page.evaluate("location.href")).query))


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


def variants_are_drawn(seen, frame, explorer):
    """Ten times the cache stands a fifth of 204 to the right; a billion parameters fill a seventh of it."""
    assert seen["labels"] == [three_digits(part) for part in frame["parts"]]
    assert np.allclose(seen["bars"], 204 * np.array(frame["parts"]) / 7, atol=0.01)
    expected = 108 + 204 * np.log10(np.array(frame["kept"]) / 0.001) / 5
    assert np.allclose([x for x, _ in seen["dots"]], expected, atol=0.1)
    assert seen["notes"] == [three_digits(frame["kept"][frame["chosen"]])]


def words_are_drawn(seen, frame, explorer):
    """A bit is 6 wide, a millisecond 3; the word of most surprise has a triangle in place of the dot."""
    marks = ["◀ " if place == frame["top"] else "" for place in range(len(frame["words"]))]
    assert seen["labels"] == [
        mark + three_digits(bits) for mark, bits in zip(marks, frame["bits"], strict=True)
    ]
    assert np.allclose(seen["bars"], 6 * np.array(frame["bits"]), atol=0.01)
    others = np.delete(frame["milliseconds"], frame["top"])
    assert np.allclose([x for x, _ in seen["dots"]], 92 + 3 * (others - 320), atol=0.01)


def energies_are_drawn(seen, frame, explorer):
    """The larger sum fills the scale of 222; a ratio ten times as high stands 200 / lg(20 / 0.003) higher."""
    values = [
        value for parts, total in zip(frame["parts"], frame["all"], strict=True) for value in (*parts, total)
    ]
    assert seen["labels"][0] == three_digits(values[0])
    assert np.allclose(seen["bars"], 222 * np.array(values) / max(values), atol=0.01)
    rate, ratio = np.log([frame["rate"] / 0.01, frame["ratio"] / 0.003]) / np.log([50, 20 / 0.003])
    assert np.allclose(seen["dots"], [[52 + 320 * rate, 192 - 200 * ratio]], atol=0.1)
    assert seen["notes"][:2] == [three_digits(total) for total in frame["all"]]
    assert seen["notes"][2].startswith(
        f"{three_digits(frame['ratio'])} at {three_digits(100 * frame['rate'])} %"
    )


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
    variants_explorer: variants_are_drawn,
    surprisal_explorer: words_are_drawn,
    spikes_explorer: energies_are_drawn,
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


def drawn(frame):
    """What the picture shows of a frame: all but the sentence below it."""
    return {name: value for name, value in frame.items() if name != "summary"}


def initial_positions(explorer):
    return [explorer.state[control["name"]] for control in explorer.controls]


def test_an_explorer_shows_what_was_computed_for_every_setting(book, read, entry, chapter, place, made_for):
    page = read(f"{book.address}/{chapter}").page
    explorer = alive(page, place)
    expect(explorer.locator("svg").first).to_be_visible()
    shown = explorer.evaluate(SHOW_EVERY_SETTING)
    settings = itertools.product(*(control["texts"] for control in made_for.controls))
    for seen, frame, texts in zip(shown, made_for.frames, settings, strict=True):
        assert seen["summary"] == frame["summary"]
        assert seen["texts"] == list(texts)
        DRAWN[EXPLORERS[entry]](seen, frame, made_for)


def test_an_explorer_moves_by_keyboard_alone(book, read, chapter, place, made_for):
    page = read(f"{book.address}/{chapter}").page
    explorer = alive(page, place)
    positions = initial_positions(made_for)
    for number, control in enumerate(made_for.controls):
        slider = explorer.get_by_role("slider", name=control["label"], exact=True)
        before = explorer.locator(".explorer-picture").inner_html()
        was = drawn(frame_at(made_for, positions))
        last = len(control["texts"]) - 1
        step = -1 if positions[number] == last else 1
        slider.focus()
        page.keyboard.press("ArrowRight" if step > 0 else "ArrowLeft")
        positions[number] += step
        now = control["texts"][positions[number]]
        expect(explorer.locator(".explorer-value").nth(number)).to_have_text(now)
        expect(slider).to_have_attribute("aria-valuetext", now)
        if drawn(frame_at(made_for, positions)) != was:
            assert explorer.locator(".explorer-picture").inner_html() != before
    assert len(made_for.frames) == math.prod(len(control["texts"]) for control in made_for.controls)
    expect(explorer.locator(".explorer-summary")).to_have_text(frame_at(made_for, positions)["summary"])


def test_an_explorer_needs_no_server(book, read, chapter, place, made_for):
    page = read((book.folder / chapter).as_uri()).page
    shown = alive(page, place).evaluate(SHOW_EVERY_SETTING)
    assert shown[-1]["summary"] == made_for.frames[-1]["summary"]


def test_without_scripts_the_whole_figure_is_there_to_see(book, read, chapter, place, made_for):
    page = read(f"{book.address}/{chapter}", javascript=False).page
    still = page.locator("div.explorer").nth(place)
    assert still.locator("svg").count() > 0
    for picture in still.locator("svg").all():
        expect(picture).to_be_visible()
    positions = initial_positions(made_for)
    expect(still.locator(".explorer-title")).to_have_text(made_for.title)
    expect(still.locator(".explorer-summary")).to_have_text(frame_at(made_for, positions)["summary"])
    assert values_of(still) == [
        control["texts"][position] for control, position in zip(made_for.controls, positions, strict=True)
    ]
    expect(still.get_by_text("Moving this figure needs JavaScript.")).to_be_visible()
    assert still.locator("input:enabled, button:enabled").count() == 0


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_stays_where_it_is_when_a_figure_comes_to_life(book, read, chapter, place, width):
    box = """(explorer) => [...explorer.querySelectorAll("*")]
      .filter((part) => part.matches("svg, p:not(.explorer-unmoved), label, input"))
      .map((part) => [part.offsetTop ?? 0, part.clientWidth, part.clientHeight])"""
    address = f"{book.address}/{chapter}"
    still = read(address, width=width, javascript=False).page.locator("div.explorer").nth(place)
    before = still.evaluate(box)
    after = alive(read(address, width=width).page, place).evaluate(box)
    assert np.allclose(before, after, atol=1)


def test_a_figure_is_printed_with_its_values_and_no_sliders(book, read, chapter, place):
    page = read(f"{book.address}/{chapter}").page
    page.emulate_media(media="print")
    explorer = alive(page, place)
    expect(explorer.locator(".explorer-value").first).to_be_visible()
    expect(explorer.locator("svg").first).to_be_visible()
    expect(explorer.locator(".explorer-summary")).to_be_visible()
    assert explorer.locator("input, button").locator("visible=true").count() == 0


def test_no_page_carries_the_state_of_widgets_and_no_file_lies_unused(book):
    used = set()
    for path in book.pages:
        assert book.html(path).select("script[type*=widget]") == []
        for figure in book.html(path).select("div.explorer"):
            used |= {figure[name].split("/")[-1] for name in ("data-script", "data-values")}
    assert used == {file.name for file in (book.folder / "_static" / "explorers").iterdir()}


@pytest.mark.parametrize(
    ("script", "lost", "reason"),
    [
        ("export default { render() { throw new Error('no data') } };", "", "no data"),
        ("this is no script\nexport default {};", "", "Unexpected identifier"),
        ("export default {};", "data-script", "could not be loaded"),
        ("export default {};", "data-values", "could not be loaded"),
    ],
)
def test_an_explorer_that_cannot_be_shown_says_so_and_why(page_of, script, lost, reason):
    page = page_of(script, lost=lost)
    message = page.locator("div.explorer .explorer-error")
    expect(message).to_contain_text("This interactive figure could not be shown")
    expect(message).to_contain_text(reason)
    expect(page.get_by_text("The picture.")).to_be_visible()
    expect(page.get_by_text("The end.")).to_be_visible()


def test_a_broken_explorer_leaves_the_next_one_alone(page_of, made):
    page = page_of("export default {};", made)
    expect(page.locator("div.explorer .explorer-error")).to_have_count(1)
    alive(page, 1)


def test_a_figure_whose_state_is_lost_fails_the_build(made, lay):
    with pytest.raises(KeyError, match=made.model_id):
        files.with_files(made.still(), {}, lay)


def test_a_script_that_needs_another_is_refused(made, lay):
    states = {made.model_id: made.get_state() | {"_esm": "import a from 'a';\nexport default a;\n"}}
    with pytest.raises(ValueError, match="import nothing"):
        files.with_files(made.still(), states, lay)


def test_equal_figures_share_their_files(lay, tmp_path):
    one, other = attention_explorer(), attention_explorer()
    states = {figure.model_id: figure.get_state() for figure in (one, other)}
    body = files.with_files(one.still() + other.still(), states, lay)
    assert len(list((tmp_path / "files").iterdir())) == 2
    assert body.count("<style>") == 1


def test_two_explorers_on_a_page_move_apart(page_of):
    page = page_of(attention_explorer(), attention_explorer())
    first, second = alive(page), alive(page, 1)
    before = second.inner_html()
    first.locator("input").first.fill("0")
    expect(first.locator(".explorer-summary")).to_contain_text("Query at 0°")
    assert second.inner_html() == before


def test_two_views_of_one_explorer_move_together(page_of, made):
    page = page_of(made, made)
    first, second = alive(page), alive(page, 1)
    first.locator("input").first.fill("0")
    expect(second.locator(".explorer-summary")).to_contain_text("Query at 0°")
    expect(second.locator("input").first).to_have_value("0")


def test_an_explorer_moves_by_touch_on_a_phone(page_of, made):
    page = page_of(made, width=360, touch=True)
    explorer = alive(page)
    slider = explorer.locator("input").nth(1)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    expect(explorer.locator(".explorer-value").nth(1)).to_have_text("10")
    expect(explorer.locator(".explorer-summary")).to_contain_text("temperature 10")


def test_a_drag_is_read_aloud_once_it_rests(page_of, made):
    page = page_of(made)
    explorer = alive(page)
    said = explorer.evaluate_handle(
        """(explorer) => {
          const said = [];
          const live = explorer.querySelector("[aria-live]");
          new MutationObserver(() => said.push(live.textContent)).observe(live, { childList: true });
          return said;
        }"""
    )
    assert explorer.locator("[aria-live]").inner_text() == ""
    explorer.locator("input").first.evaluate(
        """(slider) => {
          for (let position = 0; position < 20; position++) {
            slider.value = position;
            slider.dispatchEvent(new Event("input"));
          }
        }"""
    )
    summary = explorer.locator(".explorer-summary").inner_text()
    assert summary.startswith("Query at 190°")
    expect(explorer.locator("[aria-live]")).to_have_text(summary)
    assert said.json_value() == [summary]


def test_the_address_names_the_view_that_the_reader_chose_and_opens_it_again(page_of, made):
    page = page_of(made, query="?from=a#top")
    explorer = alive(page)
    assert query_of(page) == {"from": "a"}
    explorer.locator("input").first.press("ArrowRight")
    page.wait_for_function("location.search.includes('direction')")
    assert query_of(page) == {"from": "a", "direction": "40", "temperature": "0.3"}
    assert page.evaluate("[location.hash, history.length]") == ["#top", 2]
    page.reload()
    assert values_of(alive(page)) == ["40°", "0.3"]


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("?temperature=10&direction=350", ["350°", "10"]),
        ("?temperature=10.0", ["30°", "10"]),
        ("?temperature=0.31&direction=", ["30°", "0.3"]),
        ("?temperature=<b>&direction=NaN&other=1", ["30°", "0.3"]),
        ("?direction=50&direction=70", ["50°", "0.3"]),
        ("?attention.direction=50", ["30°", "0.3"]),
    ],
)
def test_an_address_sets_what_it_names_and_nothing_else(page_of, made, query, values):
    page = page_of(made, query=query)
    assert values_of(alive(page)) == values
    assert page.evaluate("decodeURI(location.search)") == query


def test_explorers_of_one_page_have_their_names_in_the_address(page_of):
    page = page_of(
        attention_explorer(),
        attention_explorer(),
        cost_explorer(),
        query="?attention-2.direction=100&cost.batch=64&direction=10",
    )
    assert [values_of(alive(page, place))[0] for place in range(2)] == ["30°", "100°"]
    assert "64" in values_of(alive(page, 2))
    alive(page).locator("input").first.press("ArrowRight")
    page.wait_for_function("location.search.includes('attention.direction=40')")
    assert query_of(page)["attention-2.direction"] == "100"


def test_a_button_copies_the_address_of_the_view(page_of, made):
    page = page_of(made)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    explorer = alive(page)
    explorer.locator("input").first.press("ArrowRight")
    button = explorer.get_by_role("button", name="Link to this view")
    button.focus()
    page.keyboard.press("Enter")
    expect(explorer.get_by_role("status")).to_have_text("The link is copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.endswith("/page.html?direction=40&temperature=0.3#explorer-attention")


def test_where_nothing_may_be_copied_the_address_is_shown(page_of, made):
    page = page_of(made)
    page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject(new Error('no leave')))")
    explorer = alive(page)
    explorer.get_by_role("button").click()
    expect(explorer.get_by_role("status")).to_contain_text("page.html?direction=30&temperature=0.3")
