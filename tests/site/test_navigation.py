"""How a reader gets through the book: from page to page, by search, to a notebook, to the glossary."""

import json
import posixpath
from urllib.parse import urlsplit

import nbformat
import yaml
from page_promises import targets
from playwright.sync_api import expect


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


def test_the_first_use_of_a_term_leads_to_the_glossary_and_only_the_first(book):
    chapters = [path for path in chapters_in_order(book) if book.html(path).select("a.glossary-term")]
    assert len(chapters) >= 8
    for path in chapters:
        links = [link["href"] for link in book.html(path).select("a.glossary-term")]
        assert all(urlsplit(link).path == "glossary.html" for link in links)
        assert len(links) == len(set(links))


def test_every_page_has_a_title_of_its_own(book):
    titles = [book.html(path).title.get_text() for path in book.pages]
    assert sorted(titles) == sorted(set(titles))
