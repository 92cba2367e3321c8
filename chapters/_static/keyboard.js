// What is wider than its box is scrolled, and must be reached by keyboard. The theme sees to that when a page
// opens; this sees to what lay folded then.
const boxes = new ResizeObserver((entries) => {
  for (const { target } of entries) target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
});
for (const box of document.querySelectorAll("main pre")) boxes.observe(box);

// The theme's arrow that unfolds the pages below one has no name; it gets that of the link it stands beside.
for (const arrow of document.querySelectorAll(".bd-sidebar-primary summary")) {
  const link = arrow.closest("li")?.querySelector("a");
  if (link && !arrow.textContent.trim()) arrow.setAttribute("aria-label", `Pages of ${link.textContent.trim()}`);
}
