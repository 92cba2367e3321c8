"""What the built book promises to its reader, whatever page is open.

By conftest.py a test that asks for a `path` runs on every page; one that asks for a `reading`, in each theme.
"""

import importlib.util
import json
import posixpath
import sys
from urllib.parse import unquote, urlsplit

import nbformat
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from sphinx.util.inventory import InventoryFile

MAX_BYTES = 1_500_000  # of a page's own markup
# What a click would unfold is part of the page; it fades in, and is pale until then.
UNFOLD = """async () => {
  for (const box of document.querySelectorAll("details")) box.open = true;
  for (const hidden of document.querySelectorAll(".toggle-hidden")) hidden.classList.remove("toggle-hidden");
  await Promise.allSettled(document.getAnimations().map((animation) => animation.finished));
  // Two frames: what watches the sizes of boxes has been told.
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return null;
}"""
BEYOND_THE_SCREEN = """() => [...document.querySelectorAll("main *")]
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
  .map((element) => `${element.tagName}.${element.className}: ${element.textContent.trim().slice(0, 60)}`)"""
ANYWHERE_ELSE = ("http", "https", "mailto", "data", "javascript")


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
    fonts = [address for address in reading.requests if address.endswith(".woff")]
    assert all(address.startswith(f"{book.address}/_static/mathjax/") for address in fonts)
    assert bool(fonts) == bool(formulas)


def test_a_page_is_accessible_in_both_themes(reading):
    reading.page.evaluate(UNFOLD)
    # Without a preload axe would fetch style sheets on its own, from the wrong folder.
    options = {"resultTypes": ["violations"], "preload": False}
    results = Axe().run(reading.page, options=options)
    assert results.response["violations"] == [], results.generate_report()


def test_no_page_scrolls_sideways_on_a_phone(path, book, read):
    page = read(f"{book.address}/{path}", width=360).page
    page.evaluate(UNFOLD)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360, page.evaluate(BEYOND_THE_SCREEN)


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


def chapters_in_order(book):
    """The pages of the table of contents, first to last."""
    contents = yaml.safe_load((book.root / "_toc.yml").read_text("utf-8"))

    def below(entry):
        for child in [*entry.get("parts", []), *entry.get("chapters", []), *entry.get("sections", [])]:
            if "file" in child:
                yield f"{child['file']}.html"
            yield from below(child)

    return [f"{contents['root']}.html", *below(contents)]


def test_previous_and_next_lead_through_the_book(book):
    order = chapters_in_order(book)
    assert len(order) > 1

    def neighbour(path, side):
        link = book.html(path).select_one(f".prev-next-area a.{side}")
        return link and posixpath.normpath(posixpath.join(posixpath.dirname(path), link["href"]))

    assert [neighbour(path, "right-next") for path in order] == [*order[1:], None]
    assert [neighbour(path, "left-prev") for path in order] == [None, *order[:-1]]


def test_every_chapter_with_code_offers_its_notebook_with_what_it_printed(book):
    sources = [path.removesuffix(".html") + ".md" for path in chapters_in_order(book)]
    with_code = [source for source in sources if "\nkernelspec:" in (book.root / source).read_text("utf-8")]
    assert with_code
    for source in with_code:
        page, notebook = source.replace(".md", ".html"), f"_sources/{source.replace('.md', '.ipynb')}"
        assert (notebook, "") in set(targets(book.html(page), page))
        read = nbformat.reads((book.folder / notebook).read_text("utf-8"), as_version=nbformat.NO_CONVERT)
        nbformat.validate(read)
        assert "fingerprint" not in json.dumps(read.metadata)
        outputs = [output for cell in read.cells for output in cell.get("outputs", [])]
        assert outputs
        assert "error" not in {output.output_type for output in outputs}


def test_the_address_of_the_site_leads_to_its_first_page(book, read):
    reading = read(f"{book.address}/")
    reading.page.wait_for_url(f"{book.address}/{chapters_in_order(book)[0]}")
    reading.page.wait_for_load_state("networkidle")
    assert reading.problems == []


def test_search_finds_a_chapter_and_leads_to_it(book, read):
    page = read(f"{book.address}/search.html?q=attention").page
    found = page.locator("#search-results a[href*='chapters/attention.html']").first
    expect(found).to_be_visible()
    found.click()
    expect(page.locator("h1").locator("visible=true")).to_contain_text("Attention")
    assert urlsplit(page.url).path == "/chapters/attention.html"


def test_every_public_name_has_its_entry_in_the_reference(book):
    spec = importlib.util.spec_from_file_location(
        "api_reference", book.root / "extensions" / "api_reference.py"
    )
    reference = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = reference  # where a dataclass looks its module up
    spec.loader.exec_module(reference)
    with (book.folder / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", posixpath.join)
    python = (names for kind, names in inventory.items() if kind.startswith("py:"))
    found = {name: entry[2] for names in python for name, entry in names.items()}
    for package in reference.packages():
        for name in getattr(importlib.import_module(package), "__all__", ()):
            assert found[reference.home(package, name)].startswith("chapters/api/")
    assert set(reference.described()) <= set(found)
    assert len(found) > 500


def test_the_first_use_of_a_term_leads_to_the_glossary_and_only_the_first(book):
    chapters = [path for path in chapters_in_order(book) if book.html(path).select("a.glossary-term")]
    assert len(chapters) >= 8
    for path in chapters:
        links = [link["href"] for link in book.html(path).select("a.glossary-term")]
        assert all(urlsplit(link).path == "glossary.html" for link in links)
        assert len(links) == len(set(links))
