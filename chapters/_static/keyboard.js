// What is wider or higher than its box is scrolled, and must be reached by keyboard. The boxes are measured when the
// browser has laid them out: when the page opens, when they are unfolded, when the window changes.
const boxes = new ResizeObserver((entries) => {
  const scrolled = entries.map(({ target }) =>
    target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight);
  entries.forEach(({ target }, index) => {
    if (scrolled[index]) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  });
});
const BOXES = "pre, .cell_output > .output, .jp-RenderedHTMLCommon, .pst-scrollable-table-container";
for (const box of document.querySelectorAll(BOXES)) boxes.observe(box);

// The theme's arrow that unfolds the pages below one has no name; it gets that of the link it stands beside.
for (const arrow of document.querySelectorAll(".bd-sidebar-primary summary")) {
  const link = arrow.closest("li")?.querySelector("a");
  if (link && !arrow.textContent.trim()) arrow.setAttribute("aria-label", `Pages of ${link.textContent.trim()}`);
}

// A menu that opens over the page gives the focus back, when it closes, to the button that opened it.
for (const dialog of document.querySelectorAll("dialog")) {
  let opener;
  new MutationObserver(() => {
    if (!dialog.open) opener?.focus({ preventScroll: true });
  }).observe(dialog, { attributes: true, attributeFilter: ["open"] });
  addEventListener("click", ({ target }) => { if (!dialog.open) opener = target.closest("button"); }, true);
}

// The theme takes the focus from its buttons when they are used; by keyboard it stays where it was.
addEventListener("click", ({ detail, target }) => {
  if (detail === 0 && document.activeElement === document.body) target.closest("button")?.focus();
});
