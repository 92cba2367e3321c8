// Formulas are typeset by MathJax a few at a time, so that the page answers meanwhile: first those near to what the
// reader sees, then the others, when nothing else is to be done. `formulas.all()` waits for all of them.
(() => {
  const BUDGET = 25; // milliseconds at a time, as far as one formula allows
  const address = document.currentScript.dataset.typesetter;
  const waiting = new Set(document.querySelectorAll(".math"));
  const near = new Set();

  let loaded;
  function load() {
    loaded ??= new Promise((resolve, reject) => {
      const config = globalThis.MathJax ?? {};
      const ready = () => {
        MathJax.startup.defaultReady();
        MathJax.startup.promise.then(resolve, reject);
      };
      globalThis.MathJax = { ...config, startup: { ...config.startup, typeset: false, ready } };
      const script = document.createElement("script");
      script.src = address;
      script.onerror = () => reject(new Error(`${address} could not be loaded`));
      document.head.append(script);
    });
    return loaded;
  }

  let working;
  function work() {
    working ??= load().then(typesetNear).catch(console.error).finally(() => { working = undefined; });
    return working;
  }

  let atOnce = 2;
  async function typesetNear() {
    while (near.size) {
      const chosen = [...near].slice(0, atOnce);
      for (const formula of chosen) done(formula);
      const start = performance.now();
      await MathJax.typesetPromise(chosen);
      const took = Math.max(performance.now() - start, 1);
      atOnce = Math.max(1, Math.min(32, Math.round(atOnce * BUDGET / took)));
      await new Promise((resolve) => setTimeout(resolve)); // whatever else waits comes first
    }
    if (waiting.size) whenIdle(typesetNext);
  }

  // One more, unless the reader has come near to others meanwhile: they go first.
  function typesetNext() {
    if (!near.size && waiting.size) near.add(waiting.values().next().value);
    if (near.size) work();
  }

  function whenIdle(act) {
    if (globalThis.requestIdleCallback) requestIdleCallback(act);
    else setTimeout(act, 200);
  }

  function done(formula) {
    near.delete(formula);
    waiting.delete(formula);
    watch.unobserve(formula);
  }

  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting && waiting.has(target)) near.add(target);
      else near.delete(target);
    }
    if (near.size) work();
  }, { rootMargin: "100% 0px" });
  for (const formula of waiting) watch.observe(formula);
  addEventListener("load", () => whenIdle(typesetNext));

  // Resolves when every formula of the page is typeset.
  async function all() {
    await working;
    for (const formula of waiting) near.add(formula);
    if (near.size) await work();
  }
  globalThis.formulas = { all };

  // A print does not wait: what is typeset by then is on paper. Most of it is, if MathJax was there before.
  addEventListener("beforeprint", () => {
    const left = [...waiting];
    if (!left.length || !globalThis.MathJax?.typeset) return all();
    for (const formula of left) done(formula);
    MathJax.typeset(left);
  });
  matchMedia("print").addEventListener("change", ({ matches }) => { if (matches) all(); });
})();
