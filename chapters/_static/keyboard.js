// What is wider than its box is scrolled, and must be reached by keyboard. The theme sees to that when a page
// opens; this sees to what lay folded then.
const boxes = new ResizeObserver((entries) => {
  for (const { target } of entries) target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
});
for (const box of document.querySelectorAll("main pre")) boxes.observe(box);
