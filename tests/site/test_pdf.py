"""The book on paper: the PDF of the whole book, and each page of the site as it is printed."""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import book_pdf
import pytest
import yaml
from pypdf import PdfReader

ROOT = Path(__file__).parents[2]
PAPER = 645  # CSS pixels: A4 between margins of about 20 mm, somewhat less than US letter has

# What reaches beyond the paper, or is cut off by a box; not the parts of formulas that are meant to be.
BEYOND = """([within, width]) => [...document.querySelectorAll(within + " *")].flatMap((element) => {
  const unseen = "mjx-assistive-mml, mjx-ext, [hidden]";
  if (element.closest(unseen) || element.parentElement.closest("svg")) return [];
  const box = element.getBoundingClientRect();
  if (!box.width || !box.height || getComputedStyle(element).visibility === "hidden") return [];
  const cut = getComputedStyle(element).overflowX !== "visible"
    && element.scrollWidth > element.clientWidth + 1;
  const beyond = box.left < -1 || box.right > width + 1;
  return (cut && element.tagName !== "svg") || beyond
    ? [`${beyond ? "beyond" : "cut"} ${Math.round(box.right)}: ${element.outerHTML.slice(0, 120)}`] : [];
})"""


@dataclass
class Edition:
    """The PDF, the text of every page, the lines of its contents, and what reached beyond the paper."""

    path: Path
    reader: PdfReader
    texts: list[str]
    beyond: list[str]
    entries: list[tuple[str, str]]  # number and target of each line of the contents


@pytest.fixture(scope="session")
def edition(book, browser, tmp_path_factory) -> Edition:
    path = tmp_path_factory.mktemp("pdf") / book_pdf.NAME
    beyond, entries = [], []

    def look(page):
        beyond.extend(page.evaluate(BEYOND, ["body", page.viewport_size["width"]]))
        entries.extend(
            page.evaluate(
                "[...document.querySelectorAll('nav.contents a')]"
                ".map(link => [link.querySelector('.number').textContent, link.hash.slice(1)])"
            )
        )

    book_pdf.write_pdf(book.folder, book.root, path, browser, look)
    reader = PdfReader(path)
    return Edition(path, reader, [page.extract_text() for page in reader.pages], beyond, entries)


def words(text: str) -> str:
    """Text without what line breaks and fonts change."""
    return re.sub(r"[\W_]+", "", text.replace("ﬁ", "fi").replace("ﬂ", "fl"))


def printed_pages(book) -> list[str]:
    contents = yaml.safe_load((book.root / "_toc.yml").read_text("utf-8"))
    names = [contents["root"], *(entry["file"] for part in contents["parts"] for entry in part["chapters"])]
    return [f"{name}.html" for name in names if not name.startswith("chapters/api")]


def heading(book, path: str) -> str:
    title = book.html(path).select_one("article h1")
    return "".join(part for part in title.strings if part != "#")


def test_the_outline_names_every_chapter_in_its_order(edition, book):
    outline = [item["/Title"] for item in edition.reader.outline if not isinstance(item, list)]
    expected = ["Contents", *(heading(book, path) for path in printed_pages(book))]
    assert [words(title) for title in outline] == [words(title) for title in expected]


def test_every_chapter_begins_on_the_page_that_the_contents_name(edition, book):
    numbers = {target: int(number) for number, target in edition.entries}
    for path in printed_pages(book):
        target = path.removesuffix(".html").replace("/", "-")
        assert words(heading(book, path)) in words(edition.texts[numbers[target] - 1]), path


def test_every_line_of_the_contents_has_the_number_of_the_page_where_it_leads(edition):
    assert len(edition.entries) > 100
    for number, target in edition.entries:
        lands = edition.reader.named_destinations[f"/{target}"]
        assert int(number) == edition.reader.get_destination_page_number(lands) + 1, target


def links(reader: PdfReader) -> list[Any]:
    notes = [note.get_object() for page in reader.pages for note in page.get("/Annots", [])]
    return [note for note in notes if note["/Subtype"] == "/Link"]


def test_every_link_lands_in_the_book_or_leads_to_the_web(edition):
    known = edition.reader.named_destinations
    inside = [note["/Dest"] for note in links(edition.reader) if "/Dest" in note]
    outside = [note["/A"]["/URI"] for note in links(edition.reader) if "/A" in note]
    assert len(inside) > 1000
    assert sorted({target for target in inside if target not in known}) == []
    assert [address for address in outside if not re.match(r"https?://(?!127\.|localhost)", address)] == []


def test_no_page_is_blank_and_each_bears_its_number(edition):
    for number, text in enumerate(edition.texts, 1):
        lines = text.split()
        assert len(lines) > 5 or "/XObject" in edition.reader.pages[number - 1].get("/Resources", {}), number
        assert number == 1 or str(number) in lines, number


def test_figures_tables_and_equations_have_the_numbers_of_the_site_each_once(edition, book):
    text = words("".join(edition.texts))
    numbered = Counter()
    for path in printed_pages(book):
        for tag in book.html(path).select("article :is(figcaption, caption, .exercise) .caption-number"):
            numbered[" ".join(tag.get_text().split())] += 1
    assert len(numbered) > 100
    assert {number: count for number, count in numbered.items() if count > 1} == {}
    assert [number for number in numbered if words(number) not in text] == []


def test_nothing_reaches_beyond_the_paper_or_is_cut_off(edition):
    assert edition.beyond == []


def test_the_pdf_says_what_it_is_and_in_which_language(edition, book):
    config = yaml.safe_load((book.root / "_config.yml").read_text("utf-8"))
    about, catalog = edition.reader.metadata, edition.reader.root_object
    assert (about.title, about.author.lower()) == (config["title"], config["author"].lower())
    assert about.author[0].isupper()
    assert catalog["/Lang"] == "en"
    assert catalog["/MarkInfo"]["/Marked"]  # it has the structure that a screen reader needs


def test_the_pdf_is_small_enough_to_carry(edition):
    assert edition.path.stat().st_size < 60e6


def test_the_pdf_has_no_controls_and_no_code_of_figures(edition, book):
    text = words("".join(edition.texts))
    folded = book.html("chapters/attention.html").select_one("details.above-input .cell_input").get_text()
    assert words(folded) not in text
    assert words("Show code cell source") not in text
    assert words("needs JavaScript") not in text


@pytest.fixture
def small_site(tmp_path):
    """Two pages with the theme's download menu, the first with the line that the PDF is named in."""
    menu = '<div class="dropdown dropdown-download-buttons">\n<ul>\n<li>a</li>\n</ul>\n</div>'
    for name, line in (("index", '<p class="book-pdf" hidden></p>'), ("api/one", "")):
        page = tmp_path / f"chapters/{name}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(f"<html><body>{menu}{line}</body></html>")
    return tmp_path


def test_a_site_names_its_pdf_where_it_has_one_and_only_there(small_site):
    from bs4 import BeautifulSoup
    from pypdf import PdfWriter

    def hrefs(name):
        soup = BeautifulSoup((small_site / f"chapters/{name}.html").read_text(), "html.parser")
        return [link["href"] for link in soup.select(".book-pdf a")]

    before = (small_site / "chapters/index.html").read_text()
    book_pdf.offer(small_site)
    assert (small_site / "chapters/index.html").read_text() == before

    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    writer.write(small_site / book_pdf.NAME)
    for _ in range(2):  # once more changes nothing
        book_pdf.offer(small_site)
        assert hrefs("index") == [f"../{book_pdf.NAME}"] * 2
        assert hrefs("api/one") == [f"../../{book_pdf.NAME}"]

    (small_site / book_pdf.NAME).unlink()
    book_pdf.offer(small_site)
    assert (small_site / "chapters/index.html").read_text() == before


def test_the_lines_of_a_block_of_code_stay_what_they_were():
    from bs4 import BeautifulSoup

    source = '<pre><span></span><b>def</b> f():\n\n    <i>"""Two\n    lines."""</i>\n    return 1\n</pre>'
    block = BeautifulSoup(source, "html.parser").pre
    before = block.get_text()
    book_pdf.split_lines(block)
    lines = [line.get_text() for line in block.select(".line")]
    assert [line.rstrip() for line in lines] == before.rstrip("\n").split("\n")
    assert [mark.get_text() for mark in block.select("i")] == ['"""Two', '    lines."""']


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "name", ["attention", "evolution", "frontiers", "conclusion", "notation", "references"]
)
def test_a_page_prints_in_the_light_theme_without_its_menus_and_within_the_paper(name, theme, book, browser):
    with browser.new_context(viewport={"width": PAPER, "height": 900}) as context:
        context.add_init_script(f"for (const key of ['mode', 'theme']) localStorage.setItem(key, '{theme}');")
        page = context.new_page()
        page.goto(f"{book.address}/chapters/{name}.html", wait_until="networkidle")
        page.evaluate(
            "Promise.allSettled([window.MathJax?.startup?.promise, document.fonts.ready]).then(() => 0)"
        )
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        page.emulate_media(media="print")
        page.wait_for_function("document.documentElement.dataset.theme === 'light'")
        left = page.evaluate(
            "[...document.querySelectorAll('button, input, select, nav, .headerlink, dialog')]"
            ".filter(element => element.checkVisibility()).map(element => element.outerHTML.slice(0, 100))"
        )
        assert left == []
        assert page.locator("h1:visible").count() == 1
        assert page.evaluate(BEYOND, [".bd-article", PAPER]) == []
        page.emulate_media(media="screen")
        page.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")


def test_a_printed_page_is_a_pdf_with_white_ground(book, browser):
    """In the dark theme too: the script hears of printing, not only of the emulation above."""
    with browser.new_context() as context:
        context.add_init_script("for (const key of ['mode', 'theme']) localStorage.setItem(key, 'dark');")
        page = context.new_page()
        page.goto(f"{book.address}/chapters/reading.html", wait_until="networkidle")
        page.evaluate(
            "addEventListener('beforeprint', () => { window.seen = document.documentElement.dataset.theme; })"
        )
        made = page.pdf()
        assert page.evaluate("window.seen") == "light"
        assert "Reading list" in PdfReader(io.BytesIO(made)).pages[0].extract_text()
