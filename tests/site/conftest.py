"""A browser that reads the built book and can reach nothing but this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "google-chrome", "chromium-browser")
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
THEMES = ("light", "dark")
SHARES = 3  # of the pages, see page_promises.py


pytest.register_assert_rewrite("page_promises")


class Book:
    """The site as it was built; ``address`` is where it is served."""

    root = ROOT
    folder = ROOT / "_build" / "html"
    address = ""

    @property
    def pages(self) -> list[str]:
        """Every page; not the one at the root, which only leads to the first."""
        found = (path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*.html"))
        return sorted(path for path in found if not path.startswith("_") and path != "index.html")

    @cache  # noqa: B019  # there is one book
    def html(self, path: str) -> BeautifulSoup:
        """The markup of a page."""
        return BeautifulSoup((self.folder / path).read_text("utf-8"), "html.parser")


@dataclass
class Reading:
    """A page that is open, and what has happened since it was asked for."""

    path: str
    theme: str
    page: Page
    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for a ``path`` runs on every page; one that asks for a ``reading``, in both themes."""
    paths = Book().pages or ["the-book-is-not-built"]
    share = getattr(metafunc.module, "SHARE", None)  # of the pages, in a file that reads every third of them
    if share is not None:
        paths = paths[share::SHARES]
    if "path" in metafunc.fixturenames:
        metafunc.parametrize("path", paths)
    if "reading" in metafunc.fixturenames:
        readings = [(path, theme) for path in paths for theme in THEMES]
        metafunc.parametrize("reading", readings, ids=map("-".join, readings), indirect=True, scope="session")


class QuietHandler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, headers: Mapping[str, str], **kwargs: Any) -> None:
        self.more_headers = headers
        super().__init__(*args, **kwargs)

    def end_headers(self) -> None:
        for name, value in self.more_headers.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a folder, served as by any plain web server, with some headers more."""
    handler = partial(QuietHandler, directory=str(folder), headers=headers or {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    with contextlib.ExitStack() as stack:
        yield lambda folder, headers=None: stack.enter_context(serving(folder, headers))


@pytest.fixture(scope="session")
def book() -> Iterator[Book]:
    book = Book()
    if not book.pages:
        pytest.fail("The book is not built: run `make book` first.")
    with serving(book.folder) as book.address:
        yield book


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        words = f"None of {', '.join(BROWSERS)} is installed. On Debian and Ubuntu: apt install chromium"
        pytest.fail(words) if os.environ.get("CI") == "true" else pytest.skip(words)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextlib.contextmanager
def reading_of(
    browser: Browser,
    address: str,
    *,
    theme: str = "light",
    width: int = 1280,
    javascript: bool = True,
    touch: bool = False,
    script: str = "",
) -> Iterator[Reading]:
    """Open an address as a new reader would, and wait until the page is at rest."""
    with browser.new_context(
        viewport={"width": width, "height": 900}, java_script_enabled=javascript, has_touch=touch
    ) as context:
        # Where the theme keeps the reader's choice.
        context.add_init_script(f"for (const key of ['mode', 'theme']) localStorage.setItem(key, '{theme}');")
        context.add_init_script(script)
        page = context.new_page()
        reading = Reading(path=address, theme=theme, page=page)
        problems = reading.problems
        page.on("request", lambda request: reading.requests.append(request.url))
        page.on("requestfailed", lambda request: problems.append(f"{request.failure}: {request.url}"))
        page.on("response", lambda answer: answer.ok or problems.append(f"{answer.status}: {answer.url}"))
        page.on("pageerror", lambda error: problems.append(f"uncaught: {error}"))
        page.on("console", lambda line: line.type == "error" and problems.append(f"console: {line.text}"))
        page.goto(address)
        page.wait_for_load_state("networkidle")
        if javascript:
            page.evaluate("Promise.allSettled([window.formulas?.all(), document.fonts.ready]).then(() => 0)")
        yield reading


@pytest.fixture
def read(browser: Browser) -> Iterator[Callable[..., Reading]]:
    with contextlib.ExitStack() as stack:
        yield lambda address, **options: stack.enter_context(reading_of(browser, address, **options))


@pytest.fixture(scope="session")
def reading(browser: Browser, book: Book, request: pytest.FixtureRequest) -> Iterator[Reading]:
    """A page of the book in one of its themes, opened once for all the tests that only look at it."""
    path, theme = request.param
    with reading_of(browser, f"{book.address}/{path}", theme=theme) as reading:
        reading.path = path
        yield reading
