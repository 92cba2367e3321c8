"""The site by keyboard alone: what Tab reaches, what shows where the reader is, what opens and closes."""

import pytest
from playwright.sync_api import expect

# Where the focus is, whether a reader sees that, and whether the bar at the top lies over it.
FOCUS = """() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  globalThis.order ??= new Map();
  if (!order.has(element)) order.set(element, order.size);
  const style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  const over = document.elementFromPoint(
    box.left + box.width / 2, Math.max(box.top, 0) + Math.min(box.height, 20) / 2);
  return {
    number: order.get(element),
    usable: element.dataset.usable,
    name: (element.ariaLabel ?? element.textContent).trim().slice(0, 40) || element.outerHTML.slice(0, 80),
    ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: box.bottom > 0 && box.top < innerHeight,
    covered: Boolean(over) && !element.contains(over) && !over.contains(element)
      && Boolean(over.closest(".bd-header, .bd-header-article")),
  };
}"""
# What a keyboard must reach on an open page: what can be used and is shown; marked, and named.
USABLE = """() => [...document.querySelectorAll(
    "a[href], button, input, select, textarea, summary, [tabindex='0']")]
  .filter((element) => element.tabIndex >= 0 && !element.disabled && !element.closest("dialog:not([open])")
    && element.checkVisibility({ visibilityProperty: true }))
  .map((element, number) => {
    element.dataset.usable = number;
    return [String(number), element.outerHTML.slice(0, 120)];
  })"""


def focus_after(page, key):
    page.keyboard.press(key)
    return page.evaluate(FOCUS)


@pytest.fixture
def open_page(book, read):
    """Open a page of the book with nothing that moves of its own accord."""

    def open_page(path, width=1280):
        page = read(f"{book.address}/{path}", width=width).page
        page.emulate_media(reduced_motion="reduce")
        return page

    return open_page


@pytest.mark.parametrize("where", ["chapters/index.html", "chapters/complexity.html"])
def test_tab_leads_through_the_page_past_everything_usable_and_shows_where(open_page, where):
    page = open_page(where)
    usable = dict(page.evaluate(USABLE))
    assert len(usable) >= 30
    reached = []
    while len(reached) <= len(usable) + 20:
        focus = focus_after(page, "Tab")
        if focus is None or (reached and focus["number"] == 0):
            break
        reached.append(focus)
    else:
        pytest.fail(f"no end after {len(reached)}: {[focus['name'] for focus in reached[-3:]]}")
    assert [focus["number"] for focus in reached] == list(range(len(reached)))  # nothing holds the focus
    assert [usable[mark] for mark in usable.keys() - {focus["usable"] for focus in reached}] == []
    assert [focus["name"] for focus in reached if not focus["ring"]] == []
    assert [focus["name"] for focus in reached if not focus["seen"]] == []
    assert [focus["name"] for focus in reached if focus["covered"]] == []
    assert "Skip to main content" in reached[0]["name"]


def test_the_skip_link_leads_past_the_navigation(open_page):
    page = open_page("chapters/complexity.html")
    focus_after(page, "Tab")
    page.keyboard.press("Enter")
    focus = focus_after(page, "Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null"), focus


def test_hidden_cells_open_and_close_by_enter_and_space(open_page):
    page = open_page("chapters/complexity.html")
    summary = page.locator("main details > summary").locator("visible=true").first
    details = summary.locator("..")
    for key in ("Enter", "Space"):
        before = details.evaluate("(box) => box.open")
        summary.focus()
        page.keyboard.press(key)
        assert details.evaluate("(box) => box.open") is not before


def test_the_theme_changes_by_keyboard(open_page):
    page = open_page("chapters/index.html")
    seen = set()
    page.locator("button.theme-switch-button").locator("visible=true").first.focus()
    for key in ("Enter", "Space", "Enter"):
        page.keyboard.press(key)
        seen.add(page.locator("html").get_attribute("data-mode"))
    assert seen == {"light", "dark", "auto"}


def test_the_download_menu_opens_and_escape_closes_it(open_page):
    page = open_page("chapters/complexity.html")
    button = page.locator(".dropdown-download-buttons > button")
    menu = page.locator(".dropdown-download-buttons .dropdown-menu")
    button.focus()
    page.keyboard.press("Enter")
    expect(menu).to_be_visible()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(button).to_be_focused()


def test_the_menu_of_a_phone_opens_and_closes_by_keyboard_and_gives_the_focus_back(open_page):
    page = open_page("chapters/complexity.html", width=360)
    button = page.locator("button.primary-toggle").locator("visible=true").first
    button.focus()
    page.keyboard.press("Enter")
    inside = page.locator("dialog[open]")
    expect(inside).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    expect(inside).to_have_count(0)
    expect(button).to_be_focused()


def test_the_search_opens_by_keyboard_and_escape_closes_it(open_page):
    page = open_page("chapters/index.html")
    page.keyboard.press("Control+k")
    field = page.locator("dialog[open] input[name=q]")
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)


def test_nothing_moves_for_a_reader_who_asks_for_that(open_page):
    page = open_page("chapters/complexity.html")
    moving = page.evaluate("""() => [document.documentElement, ...document.querySelectorAll("body *")]
      .filter((element) => {
        const { scrollBehavior, transitionDuration, animationDuration } = getComputedStyle(element);
        const longest = Math.max(...`${transitionDuration},${animationDuration}`.split(",").map(parseFloat));
        return scrollBehavior === "smooth" || longest > 0.01;
      }).map((element) => `${element.tagName}.${element.className?.baseVal ?? element.className}`)""")
    assert moving == []


@pytest.mark.parametrize("width", [360, 1280])
def test_our_own_controls_are_large_enough_for_a_finger(open_page, width):
    page = open_page("chapters/complexity.html", width=width)
    small = page.evaluate("""() => [...document.querySelectorAll(
        ".explorer input, .explorer button, main summary, button.copybtn, .bd-header-article button")]
      .filter((element) => element.checkVisibility())
      .map((element) => [element.tagName + "." + element.className, element.getBoundingClientRect()])
      .filter(([, { width, height }]) => width > 0 && (width < 24 || height < 24))
      .map(([name, { width, height }]) => `${name}: ${width} x ${height}`)""")
    assert small == []
