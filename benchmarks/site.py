"""How fast the built site opens and answers, beside the bare template of Jupyter Book in the same run.

Headless Chromium with its processor slowed four times and the network that Lighthouse calls slow 4G (150
ms, 1.6 Mbit/s down, 750 kbit/s up), with an empty cache. One plain server gives both sites, text compressed
by gzip as static hosts do, over HTTP/1.1. The template asks for MathJax and thebe from another host, which
is refused here: it is spared what they cost.

A page is read until it is at rest. Its figures: the largest contentful paint; the total blocking time,
which is what tasks last beyond 50 ms after the first paint; the cumulative layout shift, the worst session
window; the bytes that came over the wire. Each is the median over the runs, in which all pages take turns.
Home is compared with the template's intro, a chapter with its page of notebooks, which has code, formulas
and a figure.

    python benchmarks/site.py                                    # every page, both widths
    python benchmarks/site.py --runs 1 --only index evolution    # some
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from harness import header
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]
SITE = ROOT / "_build" / "html"
WIDTHS = {360: 740, 1280: 900}  # a phone's screen and a desk's
PEERS = ("intro", "markdown", "notebooks")
SLOWER = 4  # times, the processor
NETWORK = {"offline": False, "latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 93_750}
COMPRESSED = (".css", ".html", ".js", ".json", ".svg", ".txt")
HOME_KB, SHIFT, ANSWER_MS = 600, 0.02, 50

WATCH = """
globalThis.seen = { largest: 0, first: 0, tasks: [], shifts: [], since: 0 };
const watch = (type, tell) => new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) tell(entry);
}).observe({ type, buffered: true });
watch("largest-contentful-paint", (entry) => { seen.largest = entry.startTime; });
watch("paint", (entry) => { if (entry.name === "first-contentful-paint") seen.first = entry.startTime; });
watch("longtask", ({ startTime, duration }) => { seen.tasks.push([startTime, duration]); });
watch("layout-shift", (entry) => {
  if (!entry.hadRecentInput) seen.shifts.push([entry.startTime, entry.value]);
});
"""
# Nothing has been asked for, worked on or moved for as long as this many milliseconds.
AT_REST = """(quiet) => {
  const last = Math.max(
    ...performance.getEntries().map((entry) => entry.responseEnd ?? entry.loadEventEnd ?? 0),
    ...seen.tasks.map(([start, duration]) => start + duration),
    ...seen.shifts.map(([start]) => start),
    seen.first,
  );
  return document.readyState === "complete" && seen.first > 0 && performance.now() - last > quiet;
}"""
# Every control of an explorer through its positions: from the event to the end of the frame that shows it.
ANSWERS = """async (explorer) => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const painted = () => new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel(); // told after the frame's style, layout and paint
    channel.port1.onmessage = () => done(performance.now());
    channel.port2.postMessage(0);
  }));
  const times = [];
  explorer.scrollIntoView({ block: "center", behavior: "instant" });
  for (const input of explorer.querySelectorAll("input[type=range]")) {
    const before = input.value;
    for (let position = Number(input.min); position <= Number(input.max); position++) {
      await frame(); await frame();
      await new Promise((done) => setTimeout(done)); // not at the start of a frame: as a hand would
      const start = performance.now();
      input.value = position;
      input.dispatchEvent(new Event("input", { bubbles: true }));
      times.push((await painted()) - start);
    }
    input.value = before;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
  return times;
}"""


@cache
def compressed(path: str) -> bytes:
    return gzip.compress(Path(path).read_bytes(), 6)


class Handler(SimpleHTTPRequestHandler):
    """A plain server of files: text compressed, nothing kept."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        packed = path.suffix in COMPRESSED
        body = compressed(str(path)) if packed else path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Length", str(len(body)))
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextlib.contextmanager
def template() -> Iterator[Path]:
    """The site that `jupyter-book create` and `build` make."""
    program = str(Path(sys.executable).with_name("jupyter-book"))
    with tempfile.TemporaryDirectory() as folder:
        for words in (["create", "book"], ["build", "book"]):
            subprocess.run([program, *words], cwd=folder, check=True, capture_output=True)
        yield Path(folder) / "book" / "_build" / "html"


@contextlib.contextmanager
def slow_page(browser: Browser, width: int) -> Iterator[tuple[Any, Any]]:
    """A page as a new reader on a slow phone or computer has it, and its line to the browser."""
    with browser.new_context(viewport={"width": width, "height": WIDTHS[width]}) as context:
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.add_init_script(WATCH)
        line = context.new_cdp_session(page)
        line.send("Network.enable")
        line.send("Network.setCacheDisabled", {"cacheDisabled": False})
        line.send("Network.emulateNetworkConditions", NETWORK)
        line.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        yield page, line


def go(page: Any, address: str) -> None:
    """Open an address and wait for the page to be at rest, with no request on its way."""
    under_way: set[Any] = set()
    page.on("request", lambda request: under_way.add(request))
    for ended in ("requestfinished", "requestfailed"):
        page.on(ended, lambda request: under_way.discard(request))
    page.goto(address, wait_until="load")
    while under_way or not page.evaluate(AT_REST, 1500):
        page.wait_for_timeout(250)


def opened(browser: Browser, address: str, width: int) -> dict[str, float]:
    """What it took to open a page."""
    sizes: list[float] = []
    with slow_page(browser, width) as (page, line):
        line.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        go(page, address)
        seen = page.evaluate("seen")
    windows: list[list[float]] = []  # as web-vitals: gaps under a second, five seconds at most
    for start, value in seen["shifts"]:
        if not windows or start - windows[-1][1] > 1000 or start - windows[-1][0] > 5000:
            windows.append([start, start, 0.0])
        windows[-1][1:] = [start, windows[-1][2] + value]
    blocked = [start + duration - max(start, seen["first"]) - 50 for start, duration in seen["tasks"]]
    return {
        "largest": seen["largest"] / 1e3,
        "blocking": sum(filter(lambda excess: excess > 0, blocked)),
        "shift": max((value for *_, value in windows), default=0.0),
        "kilobytes": sum(sizes) / 1e3,
    }


def answers(browser: Browser, address: str) -> list[list[float]]:
    """Milliseconds of every move of every explorer of a page."""
    with slow_page(browser, 360) as (page, line):
        line.send("Network.emulateNetworkConditions", {**NETWORK, "latency": 0, "downloadThroughput": -1})
        go(page, address)
        explorers = page.locator("div.explorer:has(input[type=range])")
        return [explorers.nth(index).evaluate(ANSWERS) for index in range(explorers.count())]


def compare(browser: Browser, ours: dict[str, str], peers: dict[str, str], runs: int) -> None:
    names = [*((name, ours[name]) for name in ours), *((f"template: {name}", peers[name]) for name in peers)]
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    for _, width, (name, address) in product(range(runs), WIDTHS, names):
        found.setdefault((name, width), []).append(opened(browser, address, width))
    middle = {
        key: {figure: median(run[figure] for run in values) for figure in values[0]}
        for key, values in found.items()
    }
    print(
        f"{'page':<22} {'width':>5} {'paint':>8} {'ratio':>6}"
        f" {'blocked':>8} {'peer':>8} {'shift':>7} {'size':>9}"
    )
    for width, (name, _) in product(WIDTHS, names):
        figures = middle[name, width]
        peer = middle[f"template: {'intro' if name == 'index' else 'notebooks'}", width]
        judged = name in ours
        missed = [
            *(["paint"] if figures["largest"] > peer["largest"] else []),
            *(["blocked"] if figures["blocking"] > peer["blocking"] else []),
            *(["shift"] if figures["shift"] > SHIFT else []),
            *(["size"] if name == "index" and figures["kilobytes"] > HOME_KB else []),
        ]
        verdict = f"MISSED: {', '.join(missed)}" if missed else "met"
        print(
            f"{name:<22} {width:>5} {figures['largest']:>6.2f} s"
            f" {figures['largest'] / peer['largest'] if judged else 1:>6.2f} {figures['blocking']:>5.0f} ms"
            f" {peer['blocking']:>5.0f} ms {figures['shift']:>7.3f} {figures['kilobytes']:>6.0f} kB"
            f"  {verdict if judged else ''}",
            flush=True,
        )


def answer_rows(browser: Browser, ours: dict[str, str]) -> None:
    print(f"\n{'explorer':<30} {'moves':>6} {'median':>9} {'95 %':>9} {'longest':>9}")
    for name, address in ours.items():
        for number, times in enumerate(answers(browser, address), 1):
            high = quantiles(times, n=20)[-1]
            verdict = "met" if max(times) <= ANSWER_MS else "MISSED"
            print(
                f"{f'{name}, explorer {number}':<30} {len(times):>6} {median(times):>6.1f} ms {high:>6.1f} ms"
                f" {max(times):>6.1f} ms  <= {ANSWER_MS} ms  {verdict}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--only", nargs="+", metavar="PAGE", help="names of pages, such as index or evolution"
    )
    parser.add_argument("--part", choices=("opening", "answers", "both"), default="both")
    options = parser.parse_args()
    names = options.only or [path.stem for path in sorted((SITE / "chapters").glob("*.html"))]
    program = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))))
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(serving(SITE))
        ours = {
            name: f"{here}/chapters/{name}.html" for name in sorted(names, key=lambda name: name != "index")
        }
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path=program,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )
        stack.callback(browser.close)
        header(f"The site, Chromium {browser.version}: processor {SLOWER} times slower, slow 4G, empty cache")
        if options.part != "answers":
            there = stack.enter_context(serving(stack.enter_context(template())))
            compare(browser, ours, {name: f"{there}/{name}.html" for name in PEERS}, options.runs)
        if options.part != "opening":
            answer_rows(browser, ours)


if __name__ == "__main__":
    main()
