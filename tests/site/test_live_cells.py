"""A reader's own code in the page: Python served by the site, with no other host in reach."""

import json
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

CHAPTERS = ("complexity", "power_laws", "sustainability")
SECONDS = 120_000  # until Python is there, on a busy machine
POLICY = (
    "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'"
)
BEHIND_THE_CLICK = ("/pyodide/", "/live/", "live-worker.js", "service-worker.js")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


# Some stand in solutions, which are folded.
UNFOLD = """() => {
  for (const box of document.querySelectorAll("details")) box.open = true;
  for (const hidden of document.querySelectorAll(".toggle-hidden")) hidden.classList.remove("toggle-hidden");
}"""


def data_of(book, chapter):
    """What the page holds of its live cells, and how much each printed at the build."""
    page = book.html(f"chapters/{chapter}.html")
    found = page.select_one("script#live-cells")
    if found is None:
        pytest.skip("Pyodide is not installed: npm ci")
    notebook = json.loads((book.folder / f"_sources/chapters/{chapter}.ipynb").read_text("utf-8"))
    cells = json.loads(found.string)["cells"]
    printed = {}
    outputs_of = {"".join(cell["source"]): cell.get("outputs") for cell in notebook["cells"]}
    for index, cell in cells.items():
        outputs = outputs_of[cell["source"]]
        texts = (each.get("text") or each.get("data", {}).get("text/plain", "") for each in outputs)
        printed[index] = "".join("".join(text) for text in texts)
    return cells, printed


def open_cell(page, index):
    """Press the button of a cell and wait until it has run."""
    cell = page.locator(f".live-cell[data-cell='{index}']")
    cell.locator(".live-start").click()
    expect(cell.locator(".live-status")).to_contain_text("Done", timeout=SECONDS)
    return cell


def run_again(cell, code):
    cell.get_by_role("textbox").fill(code)
    cell.get_by_role("button", name="Run", exact=True).click()


class Watched(SimpleHTTPRequestHandler):
    """Sends the policy with every page, and can be told to have lost some files."""

    policy, lost, asked = POLICY, (), []

    def log_message(self, *args):
        pass

    def end_headers(self):
        self.send_header("Content-Security-Policy", self.policy)
        super().end_headers()

    def do_GET(self):
        self.asked.append(self.path)
        if any(part in self.path for part in self.lost):
            self.send_error(503)
        else:
            super().do_GET()


@pytest.fixture
def watched(book):
    """The site on a server that sends the policy."""
    handler = type("Handler", (Watched,), {"asked": [], "lost": ()})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(book.folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_cell_prints_in_the_page_what_it_printed_at_the_build(chapter, book, read):
    cells, printed = data_of(book, chapter)
    assert len(cells) >= 3
    reading = read(f"{book.address}/chapters/{chapter}.html")
    page = reading.page
    before = [address for address in reading.requests if any(part in address for part in BEHIND_THE_CLICK)]
    assert before == []
    for place in page.locator(".live-start").all():
        expect(place).to_have_text(re.compile(r"^Run this here: loads Python, 1\d\.\d MB, from this site$"))
    page.evaluate(UNFOLD)
    for index, text in printed.items():
        cell = open_cell(page, index)
        assert cell.locator(".live-said").inner_text().rstrip("\n") == text.rstrip("\n")
        expect(page.locator(".live-start").last).not_to_contain_text("MB")
    own = (f"{book.address}/", f"blob:{book.address}/", "data:")
    assert [address for address in reading.requests if not address.startswith(own)] == []
    assert reading.problems == []


def test_changed_code_gives_a_new_answer_an_error_its_traceback_and_an_endless_loop_is_stopped(book, read):
    cells, _ = data_of(book, "complexity")
    index = next(i for i, found in cells.items() if "my_model" in found["source"])
    page = read(f"{book.address}/chapters/complexity.html").page
    cell = open_cell(page, index)
    said, status = cell.locator(".live-said"), cell.locator(".live-status")
    assert "1.61 GB of cache" in said.inner_text()
    run_again(cell, cells[index]["source"].replace("n_kv_head=4", "n_kv_head=16"))
    expect(said).to_contain_text("6.44 GB of cache")

    run_again(cell, "print('before')\nfor name in ('gpt2', 'gpt-nothing'):\n    preset(name)")
    expect(status).to_contain_text("error")
    text = said.inner_text()
    assert text.startswith("before\nTraceback (most recent call last):\n")
    assert 'File "<this cell>", line 3, in <module>' in text
    assert "preset(name)" in text
    assert "ValueError: name must be that of a preset; got 'gpt-nothing'" in text
    assert "live_runner" not in text

    run_again(cell, "while True:\n    print('again')")
    expect(said).to_contain_text("only the first 100,000 characters")
    page.evaluate("1")  # the page answers
    cell.get_by_role("button", name="Stop").click()
    expect(status).to_contain_text("Stopped")
    run_again(cell, "print(2 + 2)")
    expect(said).to_have_text("4\n", timeout=SECONDS)

    cell.get_by_role("button", name="Reset").click()
    expect(cell.get_by_role("textbox")).to_be_hidden()
    expect(cell.locator(".live-start")).to_be_focused()
    built = page.locator(".cell:has(.live-cell)", has=cell)
    expect(built.locator(".cell_input")).to_be_visible()
    expect(built.locator(".cell_output").first).to_contain_text("1.61 GB of cache")


def test_by_the_keyboard_alone(book, read):
    _, printed = data_of(book, "power_laws")
    page = read(f"{book.address}/chapters/power_laws.html").page
    cell = page.locator(f".live-cell[data-cell='{next(iter(printed))}']")
    cell.locator(".live-start").focus()
    page.keyboard.press("Enter")
    area = cell.get_by_role("textbox")
    expect(area).to_be_focused()
    expect(cell.locator(".live-status")).to_contain_text("Done", timeout=SECONDS)
    page.keyboard.press("Control+A")
    page.keyboard.type("for k in (1, 2):")
    page.keyboard.press("Enter")
    page.keyboard.type("print(k)")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("print(-k)")
    assert area.input_value() == "for k in (1, 2):\n    print(k)\n        print(-k)"
    page.keyboard.press("Control+A")
    page.keyboard.type("print(7)")
    page.keyboard.press("Control+Enter")
    expect(cell.locator(".live-said")).to_have_text("7\n")
    page.keyboard.type("  # and more")
    page.keyboard.press("Shift+Enter")
    expect(cell.locator(".live-status")).to_contain_text("Done")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(cell.get_by_role("button", name="Run", exact=True)).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    expect(area).not_to_be_focused()


def test_it_works_under_the_policy_and_the_second_time_with_none_of_its_files_on_the_server(
    watched, book, browser
):
    data_of(book, "sustainability")
    address, handler = watched
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        broken = []
        own = re.compile("pyodide|live-|worker|WebAssembly|string as JavaScript")
        page.on("console", lambda line: own.search(line.text) and broken.append(line.text))
        url = f"{address}/chapters/sustainability.html"
        page.goto(url)
        button = page.locator(".live-start").first
        index = page.locator(".live-cell").first.get_attribute("data-cell")
        expect(button).to_be_visible()
        open_cell(page, index)
        asked = [path for path in handler.asked if "/pyodide/" in path]
        assert len(asked) == len(set(asked)) == 5  # once, by the service worker

        handler.lost = ("/pyodide/", "/live/", "live-worker.js", "service-worker.js")
        handler.asked.clear()
        page.goto(url)
        open_cell(page, index)
        assert not any("/pyodide/" in path or "/live/" in path for path in handler.asked)
        assert broken == []


def test_a_file_that_is_missing_is_named_in_words(watched, book, browser):
    data_of(book, "sustainability")
    address, handler = watched
    handler.lost = ("/pyodide/", "service-worker.js")
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{address}/chapters/sustainability.html")
        cell = page.locator(".live-cell").first
        cell.locator(".live-start").click()
        expect(cell.locator(".live-status")).to_contain_text("did not load", timeout=SECONDS)
        handler.lost = ()
        cell.get_by_role("button", name="Run", exact=True).click()
        expect(cell.locator(".live-status")).to_contain_text("Done", timeout=SECONDS)


def test_from_a_file_the_cell_says_in_words_that_it_must_be_served(book, browser):
    data_of(book, "sustainability")
    with browser.new_context() as context:
        page = context.new_page()
        page.goto((book.folder / "chapters/sustainability.html").as_uri())
        cell = page.locator(".live-cell").first
        cell.locator(".live-start").click()
        expect(cell.locator(".live-status")).to_contain_text("must be served")
        expect(cell.locator(".live-status")).to_contain_text("make serve")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_opened_cell_is_accessible_and_no_wider_than_a_phone(theme, book, read):
    data_of(book, "complexity")
    page = read(f"{book.address}/chapters/complexity.html", theme=theme, width=360).page
    cell = open_cell(page, page.locator(".live-cell").first.get_attribute("data-cell"))
    run_again(cell, "1 / 0")
    expect(cell.locator(".live-status")).to_contain_text("error")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    options = {"resultTypes": ["violations"], "preload": False, "runOnly": {"type": "tag", "values": TAGS}}
    results = Axe().run(page, context=".live-opened", options=options)
    assert results.response["violations"] == [], results.generate_report()


def test_with_a_distribution_named_the_button_names_its_host_and_the_packages_are_asked_of_it(
    watched, book, browser
):
    """The page as `live_cells_distribution` makes it; what stands for the other host has nothing to give."""
    cells, _ = data_of(book, "complexity")
    address, handler = watched
    index = next(iter(cells))

    def with_distribution(route):
        html = (book.folder / "chapters/complexity.html").read_text("utf-8")
        head, rest = html.split('id="live-cells">')
        found, rest = rest.split("</script>", 1)
        data = json.loads(found) | {"host": "packages.example", "distribution": f"{address}/elsewhere/"}
        data["cells"][index]["packages"] = ["numpy"]
        route.fulfill(
            body=f'{head}id="live-cells">{json.dumps(data)}</script>{rest}', content_type="text/html"
        )

    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/chapters/complexity.html", with_distribution)
        page.goto(f"{address}/chapters/complexity.html")
        cell = page.locator(f".live-cell[data-cell='{index}']")
        expect(cell.locator(".live-start")).to_have_text(
            re.compile(
                r"^Run this here: loads Python, [\d.]+ MB, from this site, and numpy from packages.example$"
            )
        )
        assert not any("elsewhere" in path for path in handler.asked)
        cell.locator(".live-start").click()
        expect(cell.locator(".live-status")).to_contain_text("did not load", timeout=SECONDS)
    asked = [path for path in handler.asked if "elsewhere" in path]
    assert asked
    assert all(path.startswith("/elsewhere/numpy-") for path in asked)
