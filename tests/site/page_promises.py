"""What the built book promises to its reader, whatever page is open.

By conftest.py a test that asks for a `path` runs on every page; one that asks for a `reading`, in each
theme. The pages are shared out among three files, so that several processes read them: see the test_pages_
beside this one.
"""

import itertools
import posixpath
from urllib.parse import unquote, urlsplit

from axe_playwright_python.sync_playwright import Axe

MAX_BYTES = 1_500_000  # of a page's own markup
# What a click would unfold is part of the page; it fades in, and is pale until then. Code is read as plain
# text, for its words are half of all elements; test_code_colours.py looks at their few colours.
UNFOLD = """async () => {
  const near = document.createElement("style"); // what a reader would scroll to is laid out
  near.textContent = ".bd-article * { content-visibility: visible !important }";
  document.head.append(near);
  for (const box of document.querySelectorAll("details")) box.open = true;
  for (const hidden of document.querySelectorAll(".toggle-hidden")) hidden.classList.remove("toggle-hidden");
  for (const code of document.querySelectorAll("div.highlight pre, em.sig-param")) {
    if (!code.querySelector("a, button, [id], [role], [tabindex]")) code.textContent = code.textContent;
  }
  await Promise.allSettled(document.getAnimations().map((animation) => animation.finished));
  // Two frames: what watches the sizes of boxes has been told.
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return null;
}"""
BEYOND_THE_SCREEN = """() => [...document.querySelectorAll("main *")]
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
  .map((element) => `${element.tagName}.${element.className}: ${element.textContent.trim().slice(0, 60)}`)"""
ANYWHERE_ELSE = ("http", "https", "mailto", "data", "javascript")
# Level AA of the guidelines, and what axe advises beyond them. Of its own accord it does not measure targets.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AXE = {
    "runOnly": TAGS,
    "rules": {"target-size": {"enabled": True}},
    "resultTypes": ["violations"],
    "preload": False,  # with a preload axe would fetch style sheets on its own, from the wrong folder
}
# Colours are those of the wide screen, and half of the time.
ON_A_PHONE = AXE | {"rules": AXE["rules"] | {"color-contrast": {"enabled": False}}}


def violations(page, options=AXE, context=None):
    results = Axe().run(page, context=context, options=options)
    return results.generate_report() if results.response["violations"] else ""


def test_a_page_opens_without_an_error(reading):
    assert reading.problems == []


def test_a_page_asks_nothing_of_another_host(reading, book):
    own = (f"{book.address}/", "data:")
    assert [address for address in reading.requests if not address.startswith(own)] == []


def test_a_page_stands_in_the_theme_that_the_reader_chose(reading):
    assert reading.page.locator("html").get_attribute("data-theme") == reading.theme


def test_every_formula_is_typeset_with_the_fonts_of_the_site(reading, book):
    page, formulas = reading.page, book.html(reading.path).select(".math")
    assert page.locator("mjx-container").count() == len(formulas)
    # A command that MathJax does not know comes out in red.
    wrong = page.locator("mjx-merror, [data-mjx-error], mjx-container [style*='color: red']")
    assert wrong.all_inner_texts() == []
    assert "\\(" not in page.locator("body").inner_text()
    asked = [address for address in reading.requests if address.endswith(".woff")]
    fonts = [address for address in asked if "/fontawesome/" not in address]
    assert all(address.startswith(f"{book.address}/_static/mathjax/") for address in fonts)
    assert bool(fonts) == bool(formulas)


def test_a_page_is_accessible_in_both_themes(reading):
    reading.page.evaluate(UNFOLD)
    assert violations(reading.page) == ""


def test_a_page_fits_on_a_phone_and_is_accessible_there(path, book, read):
    page = read(f"{book.address}/{path}", width=360).page
    page.evaluate(UNFOLD)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360, page.evaluate(BEYOND_THE_SCREEN)
    assert violations(page, ON_A_PHONE) == ""


def test_a_page_is_light(path, book):
    assert (book.folder / path).stat().st_size <= MAX_BYTES


def targets(soup, path):
    """What a page links to or shows within the site: file, fragment."""
    for tag in soup.select("[href], [src]"):
        parts = urlsplit(tag.get("href") or tag.get("src"))
        if parts.scheme not in ANYWHERE_ELSE and not parts.netloc:
            file = posixpath.normpath(posixpath.join(posixpath.dirname(path), unquote(parts.path)))
            yield (file if parts.path else path), unquote(parts.fragment)


def test_every_link_image_and_download_leads_somewhere(path, book):
    broken = []
    for file, fragment in set(targets(book.html(path), path)):
        if not (book.folder / file).is_file():
            broken.append(file)
        elif fragment and not book.html(file).find(id=fragment):
            broken.append(f"{file}#{fragment}")
    assert broken == []


def test_no_two_elements_of_a_page_share_an_id(path, book):
    ids = [tag["id"] for tag in book.html(path).select("[id]")]
    assert sorted(ids) == sorted(set(ids))


def test_a_page_has_one_title_headings_in_order_and_its_landmarks(path, book):
    page = book.html(path)
    assert page.html["lang"] == "en"
    main = page.select_one("main article") or page.select_one("main")
    levels = [int(heading.name[1]) for heading in main.select("h1, h2, h3, h4, h5, h6")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(deeper <= level + 1 for level, deeper in itertools.pairwise(levels))
    for landmark in ("main", "nav", "footer"):
        assert page.select(landmark), landmark


def test_every_table_has_heads_with_their_scope(path, book):
    for table in book.html(path).select("main article table"):
        heads = table.select("th")
        assert heads, table.get_text(" ")[:80]
        assert {head.get("scope") for head in heads} <= {"col", "row", "colgroup", "rowgroup"}
