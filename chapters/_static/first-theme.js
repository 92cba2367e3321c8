// What "auto" means on this machine is settled before the first paint: the theme settles it when the page is there,
// and would have every element of it styled twice.
(({ dataset }) => {
  if (dataset.theme === "light" || dataset.theme === "dark") return;
  dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
})(document.documentElement);
