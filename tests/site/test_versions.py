"""Several versions of the book side by side: two small sites, laid out as the workflow lays them."""

import json
from pathlib import Path

import pytest
import versions

ROOT = Path(__file__).parents[2]
PLACE = "<!-- versions: begin --><!-- versions: end -->"
CONTENT_POLICY = '<meta http-equiv="Content-Security-Policy" content="default-src \'self\'; img-src data:">'


def built(folder, pages, says):
    """A site such as the book's: a page that leads to the first, and pages with a place for the menu."""
    for page in pages:
        path = folder / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'<!DOCTYPE html><html lang="en"><head><title>{says}</title>{CONTENT_POLICY}'
            f'<link rel="icon" href="data:,"></head><body><h1>{says}</h1>{PLACE}</body></html>'
        )
    (folder / "index.html").write_text(
        '<html><head><link rel="icon" href="data:,">'
        f'<meta http-equiv="refresh" content="0; url={pages[0]}"></head></html>'
    )
    return folder


@pytest.fixture
def site(tmp_path):
    old = built(tmp_path / "old", ["chapters/index.html", "chapters/gone.html"], "the old")
    new = built(tmp_path / "new", ["chapters/index.html", "chapters/more.html"], "the new")
    versions.assemble(old, tmp_path / "site", "v1.0")
    alone = (tmp_path / "site/v1.0/chapters/index.html").read_text()
    assert "<nav" not in alone  # one version needs no menu
    versions.assemble(new, tmp_path / "site", "latest")
    return tmp_path / "site"


def test_the_menu_lists_both_and_leads_by_the_keyboard_to_the_same_page(site, serve, read):
    address = serve(site)
    reading = read(f"{address}/latest/chapters/index.html")
    page = reading.page
    menu = page.get_by_role("navigation", name="Versions")
    assert menu.get_by_role("link").count() == 0  # folded
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert menu.get_by_role("link").all_inner_texts() == ["latest", "v1.0"]
    assert menu.locator("[aria-current]").inner_text() == "latest"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/v1.0/chapters/index.html")
    assert page.locator("h1").inner_text() == "the old"
    assert reading.problems == []  # under a content security policy, and with no file asked for in vain


def test_a_page_that_another_version_lacks_leads_to_its_first(site, serve, read):
    address = serve(site)
    page = read(f"{address}/v1.0/chapters/gone.html").page
    page.locator(".book-versions summary").click()
    page.get_by_role("link", name="latest").click()
    page.wait_for_url(f"{address}/latest/chapters/index.html")


def test_the_menu_works_without_scripts(site, serve, read):
    page = read(f"{serve(site)}/latest/chapters/index.html", javascript=False).page
    page.locator(".book-versions summary").click()
    assert page.get_by_role("link").count() == 2


def test_the_address_of_all_versions_leads_to_the_newest_that_has_a_tag(site, serve, read):
    address = serve(site)
    read(f"{address}/").page.wait_for_url(f"{address}/v1.0/chapters/index.html")
    listed = json.loads((site / "versions.json").read_text())
    assert listed == [{"version": "latest", "url": "latest/"}, {"version": "v1.0", "url": "v1.0/"}]


def test_a_version_laid_again_replaces_what_was_there_and_leaves_the_others(site, tmp_path):
    kept = (site / "v1.0/chapters/gone.html").read_bytes()
    versions.assemble(built(tmp_path / "newer", ["chapters/index.html"], "the newer"), site, "latest")
    assert not (site / "latest/chapters/more.html").exists()
    assert "the newer" in (site / "latest/chapters/index.html").read_text()
    assert (site / "v1.0/chapters/gone.html").read_bytes() == kept


def test_versions_are_ordered_by_their_numbers(tmp_path):
    for name in ("v1.9", "v1.10", "latest", "v1.10-rc1", "v2", "assets"):
        (tmp_path / name).mkdir()
    assert versions.versions_in(tmp_path) == ["latest", "v2", "v1.10", "v1.10-rc1", "v1.9"]


def test_a_name_that_is_no_version_and_a_folder_without_a_book_are_refused(tmp_path):
    book = built(tmp_path / "book", ["chapters/index.html"], "a book")
    for name in ("../elsewhere", "main", "v1/../.."):
        with pytest.raises(ValueError, match="version must be"):
            versions.assemble(book, tmp_path / "site", name)
    with pytest.raises(ValueError, match=r"has no index\.html"):
        versions.assemble(tmp_path / "nothing", tmp_path / "site", "latest")


def test_every_page_of_the_book_has_the_place_for_the_menu(path, book):
    assert (book.folder / path).read_text("utf-8").count(PLACE) == 1
