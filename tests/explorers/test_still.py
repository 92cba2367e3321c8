"""What the picture without scripts promises: it is what the script draws, and nothing in it moves."""

import pytest
from bs4 import BeautifulSoup
from py_mini_racer import JSEvalException

from scaling_transformers.explorers.still import still_html

SCRIPT = """
function render({ model, el, link }) {
  const make = (tag, ...children) => {
    const made = document.createElement(tag);
    made.append(...children);
    return made;
  };
  el.classList.add("figure");
  const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  circle.setAttribute("r", model.get("radius"));
  const slider = make("input");
  Object.assign(slider, { type: "range", max: 3, value: 2 });
  const button = make("button", "Copy");
  button.type = "button";
  button.hidden = true;
  const title = make("p", "old");
  title.textContent = model.get("title");
  el.replaceChildren(title, make("svg", circle), slider);
  if (link) el.append(button);
}
export default { render };
"""


@pytest.fixture(scope="module")
def html():
    return still_html(SCRIPT, {"title": 'a < "b" & c', "radius": 7}, {"class": "box", "data-name": "x&y"})


def test_it_is_what_the_script_draws(html):
    root = BeautifulSoup(html, "html.parser").div
    assert root["class"] == ["box", "figure"]
    assert root["data-name"] == "x&y"
    assert [child.name for child in root.find_all(recursive=False)] == ["p", "svg", "input", "button", "p"]
    assert root.p.text == 'a < "b" & c'
    assert root.circle["r"] == "7"
    assert root.input["value"] == "2"
    assert root.button.has_attr("hidden")


def test_nothing_in_it_moves_and_it_says_what_it_takes(html):
    root = BeautifulSoup(html, "html.parser").div
    assert all(part.has_attr("disabled") for part in root.select("input, button"))
    assert root.find_all("p")[-1].text == "Moving this figure needs JavaScript."


def test_a_script_that_cannot_draw_is_an_error():
    with pytest.raises(JSEvalException, match="no such thing"):
        still_html("export default { render() { throw new Error('no such thing'); } };", {}, {})


def test_a_script_without_an_export_is_refused():
    with pytest.raises(ValueError, match="must end in 'export default"):
        still_html("function render() {}", {}, {})
