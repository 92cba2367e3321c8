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
