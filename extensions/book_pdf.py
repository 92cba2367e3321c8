"""The whole book as one PDF: the built pages in their order, printed by Chromium, with numbered contents.

``python extensions/book_pdf.py`` writes it into the site and then names it on the home page and in every
page's download menu. The links are there only where the file is, so none of them leads nowhere.

A printed book cannot be unfolded, moved or searched, so three things differ from the site. The code that
only draws a figure is left out: it is one click away on the page and in the notebook, and on paper it would
part the text from the figures; where a cell decides a claim of the book, its code stays. Solutions stand
open, after the exercises of their chapter. The reference of the package is left out: it is looked up by
search, beside the version that is installed, and would double the number of pages.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import posixpath
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from html import escape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, ByteStringObject, NameObject, TextStringObject

NAME = "scaling-transformers.pdf"
BROWSERS = ("chromium", "google-chrome", "chromium-browser")
LEFT_OUT = ("chapters/api/",)  # see above

_HERE = Path(__file__).parent
_PAGE_WIDTH = 635  # CSS pixels between the margins that book_pdf.css sets: 168 mm
_UNPRINTED = (
    "script, noscript, button, input, select, .headerlink, .toctree-wrapper, .book-pdf, .d-print-none, "
    ".explorer-foot, .explorer-unmoved, "
    'div.cell:not([id^="decides-"]) > details.above-input'
)
_MENU = re.compile(r'(<div class="dropdown dropdown-download-buttons">.*?)(\s*</ul>)', re.DOTALL)
_MENU_ENTRY = re.compile(r'<li class="book-pdf">.*?</li>', re.DOTALL)
_HOME_LINE = re.compile(r'<p class="book-pdf"[^>]*>.*?</p>', re.DOTALL)


# The pages, and what a printed book takes from each.


def pages_in_order(contents: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The parts of the book by caption, each with its pages; the first part is the home page alone."""
    parts: list[tuple[str, list[str]]] = [("", [contents["root"]])]
    for part in contents.get("parts", [{"chapters": contents.get("chapters", [])}]):
        found = [entry["file"] for entry in part["chapters"]]
        parts.append(
            (part.get("caption", ""), [name for name in found if not f"{name}/".startswith(LEFT_OUT)])
        )
    return parts


def anchor(page: str, fragment: str = "") -> str:
    """The id in the document of a page, or of an element of it."""
    return "-".join(re.sub(r"[^\w.]+", "-", text) for text in (page, fragment) if text)


def print_edition(article: Tag, page: str, pages: set[str]) -> Tag:
    """An article as it is printed: no machinery, solutions open, page links made links of one document."""
    for unprinted in article.select(_UNPRINTED):
        unprinted.decompose()
    for folded in article.select("details"):  # what is left of them: outputs, and the code that decides
        folded.summary.decompose()
        folded.unwrap()
    for cell in article.select("div.cell"):
        if not cell.get("id") and not cell.get_text(strip=True) and not cell.select("svg, img"):
            cell.decompose()
    gather_solutions(article)
    for line in article.select("div.highlight pre"):
        split_lines(line)

    for tag in article.find_all(True):
        for name in ("id", "for", "aria-labelledby", "aria-describedby", "headers"):
            if value := tag.get(name):
                tag[name] = " ".join(anchor(page, part) for part in value.split())
        for name, value in list(tag.attrs.items()):
            if isinstance(value, str) and "url(#" in value:
                tag[name] = re.sub(r"url\(#([^)]*)\)", lambda found: f"url(#{anchor(page, found[1])})", value)
        for name in ("href", "xlink:href"):
            if name in tag.attrs:
                turn_link(tag, name, page, pages)
    article["id"] = anchor(page)
    article["class"] = ["bd-article", "chapter"]
    return article


def turn_link(tag: Tag, name: str, page: str, pages: set[str]) -> None:
    """Make a link of the site one of the document; what is not in the document keeps its words alone."""
    parts = urlsplit(tag[name])
    if parts.scheme:
        return
    target = posixpath.normpath(posixpath.join(posixpath.dirname(page), parts.path)) if parts.path else page
    if (target := target.removesuffix(".html")) in pages:
        tag[name] = f"#{anchor(target, unquote(parts.fragment))}"
    elif tag.name == "a":
        tag.name = "span"
        del tag[name]


def gather_solutions(article: Tag) -> None:
    """Stand the solutions of a section behind its exercises, under a heading of their own."""
    groups: dict[int, tuple[Tag, list[Tag]]] = {}
    for solution in article.select("div.solution"):
        section = solution.find_parent("section")
        groups.setdefault(id(section), (section, []))[1].append(solution)
    for section, solutions in groups.values():
        depth = int(section.find(re.compile("^h[1-6]$")).name[1])
        heading = BeautifulSoup(f'<h{depth + 1} class="solutions">Solutions</h{depth + 1}>', "html.parser")
        after = [
            *heading.contents,
            *(solution.extract() for solution in solutions),
        ]
        subsections = section.find_all("section", recursive=False)
        for tag in after:
            subsections[0].insert_before(tag) if subsections else section.append(tag)


def split_lines(block: Tag) -> None:
    """Put every line of a block of code into an element of its own, so that one that wraps can be marked."""
    lines: list[Tag] = []
    maker = BeautifulSoup("", "html.parser")

    def line() -> Tag:
        lines.append(maker.new_tag("span", attrs={"class": "line"}))
        return lines[-1]

    line()
    for child in list(block.children):
        text = child.get_text()
        for number, part in enumerate(text.split("\n")):
            if number:
                line()
            if not part and text:
                continue
            piece = copy.copy(child)
            if isinstance(piece, Tag):
                if "\n" in text:
                    piece.string = part
            else:
                piece = maker.new_string(part)
            lines[-1].append(piece)
    while lines and not lines[-1].get_text():
        lines.pop()
    block.clear()
    for one in lines:
        if not one.get_text():
            one.string = " "
        block.append(one)


# The document.


def name_of_authors(config: dict[str, Any]) -> str:
    """As at the start of a line: on the pages it stands in a sentence."""
    name: str = config["author"]
    return name[:1].upper() + name[1:]


def document(site: Path, root: Path) -> str:
    """The whole book as one page of HTML, its contents still without page numbers."""
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    parts = pages_in_order(yaml.safe_load((root / "_toc.yml").read_text("utf-8")))
    pages = [page for _, names in parts for page in names]
    articles: dict[str, Tag] = {}
    sheets: dict[str, None] = {}
    for page in pages:
        soup = BeautifulSoup((site / f"{page}.html").read_text("utf-8"), "html.parser")
        for link in soup.select("link[rel=stylesheet]"):
            address = posixpath.normpath(posixpath.join(posixpath.dirname(page), link["href"]))
            sheets.setdefault(f'<link rel="stylesheet" href="/{escape(address)}">')
        sheets.update(dict.fromkeys(map(str, soup.select("head > style"))))
        articles[page] = print_edition(soup.find("article"), page, set(pages))
    known = {tag["id"] for article in articles.values() for tag in article.select("[id]")}
    known.update(anchor(page) for page in pages)
    for article in articles.values():
        for link in article.select('a[href^="#"]'):
            if link["href"][1:] not in known:
                raise ValueError(f"link must lead to an element of the book; got {link['href']!r}: {link}")

    title, author = escape(config["title"]), escape(name_of_authors(config))
    running = "".join(
        f'@page {anchor(page)} {{ @top-left {{ content: "{heading_text(article.h1)}"; }} }}\n'
        f"#{anchor(page)} {{ page: {anchor(page)}; }}\n"
        for page, article in articles.items()
        if page != pages[0]
    )
    drawing = dict.fromkeys(
        style.extract().string or "" for article in articles.values() for style in article.select("style")
    )
    body = "".join(str(article) for article in articles.values())
    return f"""<!DOCTYPE html>
<html lang="{config["sphinx"]["config"].get("language", "en")}" data-theme="light" data-mode="light">
<head><meta charset="utf-8"><title>{title}</title><meta name="author" content="{author}">
{"".join(sheets)}
<style>{"".join(drawing)}</style>
<style>{(_HERE / "book_pdf.css").read_text("utf-8")}{running}</style>
<script>window.MathJax = {{options: {{processHtmlClass: "math", enableMenu: false}}}}</script>
<script defer src="/_static/{config["sphinx"]["config"]["mathjax_path"]}"></script>
</head>
<body>
<section class="cover"><p class="title">{title}</p><p class="author">{author}</p>
<p class="edition">Edition of {date_of_edition(root):%-d %B %Y}</p>
<div class="about">
<p>This is the book as its site has it, printed. The code that draws the figures is left out; it is on the
site and in the notebook of each chapter. Figures with sliders stand as they are before anyone moves them.
Solutions follow the exercises of their chapter. The reference of the package is on the site alone.</p>
<p>{escape(config.get("html", {}).get("extra_footer", ""))}</p>
</div></section>
<nav class="contents" id="contents"><h1>Contents</h1>{contents_list(parts, articles)}</nav>
{body}
</body></html>
"""


def contents_list(parts: list[tuple[str, list[str]]], articles: dict[str, Tag]) -> str:
    """The chapters and their sections, each a link with room for the number of its page."""

    def entry(target: str, heading: Tag) -> str:
        return f'<a href="#{target}"><span>{heading_text(heading)}</span><span class="number">000</span></a>'

    made = ""
    for caption, pages in parts:
        made += f'<p class="part">{escape(caption)}</p>' if caption else ""
        for page in pages:
            made += f'<div class="chapter-entry">{entry(anchor(page), articles[page].h1)}'
            sections = [h2.find_parent("section") for h2 in articles[page].select("h2")]
            made += "".join(f'<div class="section-entry">{entry(s["id"], s.h2)}</div>' for s in sections if s)
            made += "</div>"
    return made


def heading_text(heading: Tag) -> str:
    return escape(" ".join(heading.get_text().split()))


# The browser.


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a folder on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def printable(site: Path, root: Path, browser: Any) -> Iterator[Any]:
    """The book open in a browser: typeset, fitted to the width of the paper, ready to be printed."""
    with (
        serving(site) as address,
        browser.new_context(viewport={"width": _PAGE_WIDTH, "height": 900}) as context,
    ):
        made = document(site, root)
        page = context.new_page()
        page.set_default_timeout(0)  # a long document, on whatever machine
        page.emulate_media(media="print", color_scheme="light")
        page.route(f"{address}/book.html", lambda route: route.fulfill(body=made, content_type="text/html"))
        page.goto(f"{address}/book.html", wait_until="load")
        page.evaluate((_HERE / "book_pdf.js").read_text("utf-8") + "; fit()")
        yield page


def print_pages(page: Any) -> bytes:
    """The PDF as Chromium makes it."""
    made: bytes = page.pdf(prefer_css_page_size=True, outline=True, tagged=True, print_background=True)
    return made


def number_contents(page: Any) -> None:
    """Write the numbers of the pages into the contents: print once, and look where each link lands."""
    reader = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))  # the same pages, for less work
    numbers = {
        name.removeprefix("/"): reader.get_destination_page_number(destination) + 1
        for name, destination in reader.named_destinations.items()
    }
    page.evaluate((_HERE / "book_pdf.js").read_text("utf-8") + "; numbers => number(numbers)", numbers)


def date_of_edition(root: Path) -> datetime:
    """When the source was committed, so that the same source makes the same PDF; else now."""
    asked = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=root, capture_output=True, text=True, check=False
    )
    stamp = asked.stdout.strip() if asked.returncode == 0 else ""
    return datetime.fromtimestamp(int(stamp), UTC) if stamp else datetime.now(UTC)


def headings_of(page: Any) -> list[str]:
    """The headings of the document in their order."""
    texts: list[str] = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(heading => heading.textContent)"
    )
    return [" ".join(text.split()) for text in texts]


def name_outline(entry: Any, names: Iterator[str]) -> None:
    """Write the headings into the outline: Chromium makes its tree well, but puts every word there twice."""
    while entry is not None:
        entry = entry.get_object()
        entry[NameObject("/Title")] = TextStringObject(next(names))
        name_outline(entry.get("/First"), names)
        entry = entry.get("/Next")


def finish(made: bytes, target: Path, root: Path, headings: list[str]) -> int:
    """Give the PDF its outline and metadata and write it; answers the number of its pages."""
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    writer = PdfWriter(clone_from=io.BytesIO(made))
    date = f"{date_of_edition(root):D:%Y%m%d%H%M%SZ}"
    writer.metadata = {
        "/Title": config["title"],
        "/Author": name_of_authors(config),
        "/Subject": "A book in which every claim runs",
        "/Creator": "Chromium",
        "/CreationDate": date,
        "/ModDate": date,
    }
    catalog = writer.root_object
    name_outline(catalog["/Outlines"]["/First"], iter(headings))
    catalog[NameObject("/Lang")] = TextStringObject(config["sphinx"]["config"].get("language", "en"))
    catalog[NameObject("/PageMode")] = NameObject("/UseOutlines")
    writer._ID = ArrayObject([ByteStringObject(b"scaling-transfor"), ByteStringObject(b"scaling-transfor")])
    target.parent.mkdir(parents=True, exist_ok=True)
    writer.write(target)
    return len(writer.pages)


# The links of the site.


def offer(site: Path) -> None:
    """Name the PDF on the home page and in every download menu where it exists, and nowhere else."""
    target = site / NAME
    words = ""
    if target.exists():
        words = f"{len(PdfReader(target).pages)} pages, {target.stat().st_size / 1e6:.0f} MB"
    for path in sorted((site / "chapters").rglob("*.html")):
        text = path.read_text("utf-8")
        address = posixpath.relpath(NAME, path.parent.relative_to(site).as_posix())
        entry = (
            f'<li class="book-pdf"><a href="{address}" class="btn btn-sm dropdown-item"'
            f' title="The whole book, {words}" type="application/pdf">'
            '<span class="btn__icon-container"><i class="fas fa-file-pdf"></i></span>'
            '<span class="btn__text-container">the book, .pdf</span></a></li>'
        )
        line = (
            f'<p class="book-pdf">Or take all of it with you: <a href="{address}" type="application/pdf">'
            f"the book as a PDF</a> ({words}).</p>"
        )
        if not words:
            entry, line = "", '<p class="book-pdf" hidden></p>'
        changed = _HOME_LINE.sub(line, _MENU_ENTRY.sub("", text))
        changed = _MENU.sub(lambda found, entry=entry: found[1].rstrip() + entry + found[2], changed, count=1)
        if changed != text:
            path.write_text(changed, "utf-8")


def offer_when_built(app: Any, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        offer(Path(app.outdir))


def setup(app: Any) -> dict[str, Any]:
    app.connect("build-finished", offer_when_built)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pdf(
    site: Path, root: Path, target: Path, browser: Any, look: Callable[[Any], None] | None = None
) -> int:
    """Print a built site into one PDF, and return its number of pages.

    ``look`` is shown the page that is printed, with its contents numbered.
    """
    with printable(site, root, browser) as page:
        number_contents(page)
        if look:
            look(page)
        made, headings = print_pages(page), headings_of(page)
    return finish(made, target, root, headings)


def main() -> None:
    """Make the PDF of a built site."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--site", type=Path, default=_HERE.parent / "_build" / "html", help="the built site")
    parser.add_argument("--to", type=Path, help=f"where to write it; {NAME} in the site unless given")
    options = parser.parse_args()
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        sys.exit("The PDF needs Chromium. On Debian and Ubuntu: apt install chromium")
    if not (options.site / "index.html").exists():
        sys.exit("The book is not built: run `make book` first.")
    target = options.to or options.site / NAME
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        count = write_pdf(options.site, _HERE.parent, target, browser)
        browser.close()
    if options.to is None:
        offer(options.site)
    print(f"{target}: {count} pages, {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
