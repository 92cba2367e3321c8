// Formulas are typeset by MathJax a few at a time, so that the page answers meanwhile: those near what the reader
// sees first, the others when the browser has nothing else to do, and all of them before a print.
(() => {
  const BUDGET = 30; // milliseconds at a time, as far as one formula allows
  const address = document.currentScript.dataset.typesetter;
  const waiting = new Set(document.querySelectorAll(".math"));
  const near = new Set();
  let finish;
  const done = new Promise((resolve) => { finish = resolve; });
  const config = globalThis.MathJax ?? {};
  // Who waits for the promise of MathJax, before or after it has come, waits for every formula.
  globalThis.MathJax = { ...config, startup: { ...config.startup, typeset: false, promise: done, ready } };

  function ready() {
    MathJax.startup.defaultReady();
    MathJax.startup.promise.then(next);
    MathJax.startup.promise = done;
  }

  let atOnce = 2;
  function next(idle) {
    const chosen = (near.size ? [...near] : [...waiting]).slice(0, atOnce);
    if (!chosen.length) return finish();
    for (const formula of chosen) { near.delete(formula); waiting.delete(formula); watch.unobserve(formula); }
    const start = performance.now();
    return MathJax.typesetPromise(chosen).catch(console.error).then(() => {
      const took = performance.now() - start;
      atOnce = Math.max(1, Math.min(32, Math.round(atOnce * BUDGET / Math.max(took, 1))));
      if (near.size) setTimeout(next);
      else whenIdle(next);
    });
  }

  const whenIdle = globalThis.requestIdleCallback
    ? (call) => requestIdleCallback(call, { timeout: 500 })
    : (call) => setTimeout(call, 50);

  let asked = false;
  function ask() {
    if (asked) return;
    asked = true;
    const script = document.createElement("script");
    script.src = address;
    document.head.append(script);
  }

  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting && waiting.has(target)) near.add(target);
      else near.delete(target);
    }
    if (near.size) ask();
  }, { rootMargin: "50% 0px" });
  for (const formula of waiting) watch.observe(formula);
  if (document.readyState === "complete") whenIdle(ask);
  else addEventListener("load", () => whenIdle(ask));

  addEventListener("beforeprint", () => {
    const left = [...waiting];
    waiting.clear();
    near.clear();
    if (left.length && globalThis.MathJax.typeset) MathJax.typeset(left);
  });
})();
