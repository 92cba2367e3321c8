"""What the site promises to those who host it: it works under the policy of the README, every page of it."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

WATCH = """document.addEventListener("securitypolicyviolation", (event) => console.error(
  `violation: ${event.violatedDirective} by ${event.blockedURI || "inline"} in ${event.sourceFile}`));"""


@pytest.fixture(scope="session")
def policy(book):
    """The policy as the README gives it to be copied."""
    (found,) = re.findall(
        r"^    Content-Security-Policy: (.+)$", (book.root / "README.md").read_text("utf-8"), re.MULTILINE
    )
    return found


@pytest.fixture
def guarded(book, policy, serve):
    """The address of the book on a server that sends the policy with every file."""
    return serve(book.folder, {"Content-Security-Policy": policy})


@pytest.fixture
def open_guarded(guarded, read):
    """Open a page under the policy; what the policy stops is among the problems of the reading."""
    return lambda path, **options: read(f"{guarded}/{path}", script=WATCH, **options)


def directives(policy):
    return {name: values for name, *values in (part.split() for part in policy.split(";"))}


def test_the_policy_lets_nothing_in_but_what_it_names(policy):
    rules = directives(policy)
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == ["'self'", "'wasm-unsafe-eval'"]
    assert all(rules[name] == ["'none'"] for name in ("base-uri", "frame-ancestors"))
    allowed = {value for values in rules.values() for value in values}
    assert allowed <= {"'none'", "'self'", "'unsafe-inline'", "'wasm-unsafe-eval'", "data:"}
    assert [name for name, values in rules.items() if "'unsafe-inline'" in values] == ["style-src"]


def test_a_page_works_under_the_policy_and_keeps_to_its_address(open_guarded, guarded, book, path):
    reading = open_guarded(path)
    page = reading.page
    for figure in page.locator("div.explorer").all():
        before = figure.locator(".explorer-picture").inner_html()
        slider = figure.locator("input").first
        expect(slider).to_be_enabled()
        slider.press("ArrowLeft" if slider.input_value() == slider.get_attribute("max") else "ArrowRight")
        assert figure.locator(".explorer-picture").inner_html() != before
    assert page.locator("mjx-container").count() == len(book.html(path).select(".math"))
    assert reading.problems == []
    assert {urlsplit(address).netloc for address in reading.requests} == {urlsplit(guarded).netloc}
    assert page.context.cookies() == []


def test_a_script_that_the_policy_forbids_would_be_noticed(open_guarded, book):
    reading = open_guarded(book.pages[0])
    reading.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.slipped = true";
          document.head.append(script);
        }"""
    )
    reading.page.wait_for_timeout(100)
    assert any("violation: script-src-elem by inline" in problem for problem in reading.problems)
    assert reading.page.evaluate("window.slipped") is None


def test_the_search_finds_under_the_policy(open_guarded):
    reading = open_guarded("search.html?q=attention")
    expect(reading.page.locator("#search-results a[href*='chapters/attention.html']").first).to_be_visible()
    assert reading.problems == []


def test_the_theme_is_set_before_the_page_is_painted(open_guarded, book):
    for theme in ("light", "dark"):
        page = open_guarded(book.pages[0], theme=theme).page
        assert page.locator("html").get_attribute("data-mode") == theme
    script = book.html(book.pages[0]).select_one("head script")
    assert "dataset.mode" in (book.folder / book.pages[0]).parent.joinpath(script["src"]).read_text("utf-8")
    assert not {"defer", "async", "type"} & set(script.attrs)


def test_the_button_that_prints_still_prints(open_guarded, book):
    page = open_guarded("chapters/attention.html").page
    page.evaluate("window.print = () => { window.printed = true; }")
    page.locator("[data-print]").evaluate("(button) => button.click()")
    assert page.evaluate("window.printed")


def test_the_address_of_the_site_leads_on_under_the_policy(open_guarded):
    reading = open_guarded("")
    reading.page.wait_for_url("**/chapters/index.html")
    assert reading.problems == []


def test_no_page_holds_a_script_or_a_handler(book, path):
    page = book.html(path)
    kinds = {script.get("type") for script in page.select("script:not([src])")}
    assert kinds <= {"application/json", "application/ld+json"}
    handlers = [
        (tag.name, name) for tag in page.find_all(True) for name in tag.attrs if name.startswith("on")
    ]
    assert handlers == []
    assert page.select("a[href^='javascript:']") == []


def test_every_script_of_the_pages_is_used(book):
    folder = book.folder / "_static" / "page-scripts"
    named = {
        script["src"].split("/")[-1]
        for path in book.pages
        for script in book.html(path).select(f"script[src*='{folder.name}/']")
    }
    assert named == {file.name for file in folder.iterdir()}
