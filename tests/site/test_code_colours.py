"""The colours of code, on any page: looked at once for each kind of word."""

import pytest
from conftest import THEMES
from page_promises import AXE, violations

CODE = "div.highlight pre"
CONTRAST = AXE | {"runOnly": {"type": "rule", "values": ["color-contrast"]}, "rules": {}}
EVERY_KIND = """(kinds) => {
  const box = document.querySelector("main div.highlight pre");
  box.scrollIntoView();
  box.replaceChildren(...kinds.map((kind) => {
    const word = document.createElement("span");
    word.className = kind;
    word.textContent = "word ";
    return word;
  }));
}"""


@pytest.mark.parametrize("theme", THEMES)
def test_every_kind_of_word_in_code_is_legible(book, read, theme):
    spans = (span for path in book.pages for span in book.html(path).select(f"{CODE} span[class]"))
    kinds = sorted({" ".join(span["class"]) for span in spans})
    assert len(kinds) > 10
    page = read(f"{book.address}/chapters/attention.html", theme=theme).page
    page.evaluate(EVERY_KIND, kinds)
    assert violations(page, CONTRAST, {"include": [[f"main {CODE}"]]}) == ""


@pytest.mark.parametrize("theme", THEMES)
def test_every_word_of_a_signature_is_legible(book, read, theme):
    page = read(f"{book.address}/chapters/api/package.html", theme=theme).page
    assert page.locator("em.sig-param span").count() > 10
    assert violations(page, CONTRAST, {"include": [["dt.sig"]]}) == ""
