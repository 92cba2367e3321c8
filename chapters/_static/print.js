// Paper is white: while the page is printed it stands in the light theme, whatever the reader has chosen.

(() => {
  const root = document.documentElement;
  let chosen = null;
  const light = () => {
    if (root.dataset.theme === "light") return;
    chosen ??= root.dataset.theme;
    root.dataset.theme = "light";
  };
  const back = () => {
    if (chosen !== null) root.dataset.theme = chosen;
    chosen = null;
  };
  addEventListener("beforeprint", light);
  addEventListener("afterprint", back);
  matchMedia("print").addEventListener("change", (event) => (event.matches ? light() : back()));
})();
