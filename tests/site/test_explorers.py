"""What an interactive figure promises to the reader of a built page."""

import json
import shutil
from decimal import ROUND_HALF_UP, Decimal

import pytest
from ipywidgets.embed import embed_data
from playwright.sync_api import expect

from scaling_transformers.explorers import attention_explorer

CHAPTER = "chapters/attention.html"
# Every setting of the controls, the last fastest, and what the reader sees under it.
SHOW_EVERY_SETTING = """(explorer) => {
  const [first, second] = explorer.querySelectorAll("input[type=range]");
  const move = (input, position) => { input.value = position; input.dispatchEvent(new Event("input")); };
  const shown = [];
  for (let i = 0; i <= Number(first.max); i++) {
    move(first, i);
    for (let j = 0; j <= Number(second.max); j++) {
      move(second, j);
      shown.push({
        summary: explorer.querySelector(".explorer-summary").textContent,
        texts: [...explorer.querySelectorAll(".explorer-value")].map((output) => output.textContent),
        bars: [...explorer.querySelectorAll("rect")].map((bar) => Number(bar.getAttribute("width"))),
        labels: [...explorer.querySelectorAll("rect + text")].map((label) => label.textContent),
      });
    }
  }
  return shown;
}"""


@pytest.fixture(scope="module")
def made():
    """The figure as the package makes it."""
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


def test_an_explorer_shows_what_was_computed_for_every_setting(book, read, made):
    page = read(f"{book.address}/{CHAPTER}").page
    explorer = page.locator("div.explorer").first
    expect(explorer.locator("svg").first).to_be_visible()
    shown = explorer.evaluate(SHOW_EVERY_SETTING)
    assert len(shown) == len(made.frames)
    texts = [control["texts"] for control in made.controls]
    for index, (seen, frame) in enumerate(zip(shown, made.frames, strict=True)):
        assert seen["summary"] == frame["summary"]
        assert seen["texts"] == [texts[0][index // len(texts[1])], texts[1][index % len(texts[1])]]
        assert seen["labels"] == [as_javascript_writes(weight) for weight in frame["weights"]]
        largest = max(frame["weights"])
        assert [width / max(seen["bars"]) for width in seen["bars"]] == pytest.approx(
            [weight / largest for weight in frame["weights"]]
        )


def test_an_explorer_moves_by_keyboard_alone(book, read, made):
    page = read(f"{book.address}/{CHAPTER}").page
    explorer = page.locator("div.explorer").first
    for position, control in enumerate(made.controls):
        slider = explorer.get_by_role("slider", name=control["label"])
        before = explorer.locator(".explorer-picture").inner_html()
        slider.focus()
        page.keyboard.press("ArrowRight")
        now = control["texts"][made.state[control["name"]] + 1]
        expect(explorer.locator(".explorer-value").nth(position)).to_have_text(now)
        expect(slider).to_have_attribute("aria-valuetext", now)
        assert explorer.locator(".explorer-picture").inner_html() != before
    directions, temperatures = (len(control["texts"]) for control in made.controls)
    moved = (made.state["direction"] + 1) * temperatures + made.state["temperature"] + 1
    assert len(made.frames) == directions * temperatures
    expect(explorer.locator(".explorer-summary")).to_have_text(made.frames[moved]["summary"])


def test_an_explorer_needs_no_server(book, read, made):
    page = read((book.folder / CHAPTER).as_uri()).page
    expect(page.locator("div.explorer svg").first).to_be_visible()
    assert (
        page.locator("div.explorer").first.evaluate(SHOW_EVERY_SETTING)[-1]["summary"]
        == (made.frames[-1]["summary"])
    )


def test_without_scripts_the_title_and_the_sentence_are_there_to_read(book, read, made):
    stand_in = read(f"{book.address}/{CHAPTER}", javascript=False).page.locator("noscript .explorer").first
    expect(stand_in).to_be_visible()
    temperatures = len(made.controls[1]["texts"])
    first = made.frames[made.state["direction"] * temperatures + made.state["temperature"]]
    assert {made.title, first["summary"]} <= set(stand_in.inner_text().splitlines())


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
