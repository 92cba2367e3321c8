// The theme's button that prints, without the handler in its attribute: see extensions/no_inline_scripts.py.
for (const button of document.querySelectorAll("[data-print]")) {
  button.addEventListener("click", () => window.print());
}
