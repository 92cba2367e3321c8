"""The colours of code, on any page: looked at once for each kind of word that any page has."""

import pytest
from conftest import THEMES
from page_promises import AXE, violations

CONTRAST = AXE | {"runOnly": {"type": "rule", "values": ["color-contrast"]}, "rules": {}}
EVERY_KIND = """([code, kinds]) => {
  const box = document.querySelector(code);
  box.scrollIntoView();
  box.replaceChildren(...kinds.map((kind) => {
    const word = document.createElement("span");
    word.className = kind;
    word.textContent = "word ";
    return word;
  }));
}"""


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(
    ("code", "shown_on", "least"),
    [("div.highlight pre", "attention", 10), ("em.sig-param", "api/package", 4)],
    ids=["cells", "signatures"],
)
def test_every_kind_of_word_in_code_is_legible(book, read, code, shown_on, least, theme):
    spans = (span for path in book.pages for span in book.html(path).select(f"{code} span[class]"))
    kinds = sorted({" ".join(span["class"]) for span in spans})
    assert len(kinds) > least
    page = read(f"{book.address}/chapters/{shown_on}.html", theme=theme).page
    page.evaluate(EVERY_KIND, [f"main {code}", kinds])
    assert violations(page, CONTRAST, {"include": [[f"main {code}"]]}) == ""
