// Brings the explorers of a built page to life with no server. Each stands in the page as a picture; its script, an
// anywidget, and its data are files (see extensions/explorer_files.py), fetched when the reader comes near or the
// browser has nothing else to do. Here it gets a small model in place of a kernel, and an address for each view.

// Plain scripts, not modules, so that a page opened from a folder works as well, and no security policy is in the way.

(() => {
  const FIGURE = ".explorer[data-explorer]";
  const NEAR = "600px 0px"; // how far from the window a figure is fetched
  const PAUSE = 200; // milliseconds between two writings of the address: browsers refuse more than a few a second

  // What a widget's script may ask of its model.
  class Model {
    #values;
    #listeners = new Map();
    constructor(values) { this.#values = { ...values }; }
    get(name) { return this.#values[name]; }
    set(name, value) {
      this.#values[name] = value;
      for (const event of [`change:${name}`, "change"]) {
        for (const listener of [...(this.#listeners.get(event) ?? [])]) listener();
      }
    }
    on(event, listener) {
      this.#listeners.set(event, (this.#listeners.get(event) ?? new Set()).add(listener));
    }
    off(event, listener) { this.#listeners.get(event)?.delete(listener); }
    save_changes() {} // there is no kernel to tell
  }

  // A file hands over what it holds by `bookExplorers.add(...)`.
  const arrived = new Map();
  window.bookExplorers = { add: (held) => arrived.set(document.currentScript, held) };

  const files = new Map();
  function load(address) {
    if (!files.has(address)) files.set(address, new Promise((resolve, reject) => {
      const script = document.createElement("script");
      let failure = "its file holds something else";
      const note = (event) => { if (event.filename === script.src) failure = event.message; };
      window.addEventListener("error", note);
      const done = (act) => () => { window.removeEventListener("error", note); act(); };
      script.addEventListener("load", done(() => {
        if (arrived.has(script)) resolve(arrived.get(script));
        else reject(new Error(failure));
      }));
      script.addEventListener("error", done(() => reject(new Error(`${address} could not be loaded`))));
      script.src = address;
      document.head.append(script);
    }));
    return files.get(address);
  }

  // The address of a view: ?control=value for each control, with the explorer's name before them where a page has more
  // than one.
  const figures = [...document.querySelectorAll(FIGURE)];
  const prefixes = new Map();
  {
    const views = new Map(figures.map((figure) => [figure.dataset.explorer, figure.dataset.view]));
    const seen = new Map();
    for (const [id, view] of views) {
      seen.set(view, (seen.get(view) ?? 0) + 1);
      prefixes.set(id, views.size === 1 ? "" : `${view}${seen.get(view) > 1 ? `-${seen.get(view)}` : ""}.`);
    }
  }

  // The state that the address asks for; what it does not name, or names in vain, stays.
  function asked(prefix, controls, state) {
    const query = new URLSearchParams(location.search);
    const found = controls.map(({ name, words }) => {
      const word = query.get(prefix + name);
      const same = (other) => other === word || (word?.trim() && Number(other) === Number(word));
      const index = words.findIndex(same);
      return [name, index < 0 ? state[name] : index];
    });
    return { ...state, ...Object.fromEntries(found) };
  }

  function addressOf(prefix, controls, state) {
    const address = new URL(location.href);
    for (const { name, words } of controls) address.searchParams.set(prefix + name, words[state[name]]);
    return address;
  }

  const waiting = new Map(); // what the address shall say of each explorer, once the reader pauses
  let timer;
  function write(prefix, controls, state) {
    waiting.set(prefix, [controls, state]);
    timer ??= setTimeout(() => {
      timer = undefined;
      try {
        for (const [before, view] of waiting) history.replaceState(history.state, "", addressOf(before, ...view));
      } catch { /* a browser that keeps the address of a local file as it is */ }
      waiting.clear();
    }, PAUSE);
  }

  const models = new Map();
  function modelOf(id, values) {
    if (!models.has(id)) {
      const prefix = prefixes.get(id);
      const model = new Model({ ...values, state: asked(prefix, values.controls, values.state) });
      model.on("change:state", () => write(prefix, values.controls, model.get("state")));
      models.set(id, model);
    }
    return models.get(id);
  }

  async function copyLink(el, model) {
    const address = addressOf(prefixes.get(el.dataset.explorer), model.get("controls"), model.get("state"));
    address.hash = el.id;
    try {
      await navigator.clipboard.writeText(address.href);
      return "The link is copied.";
    } catch {
      return address.href; // no leave to copy: the reader takes it from here
    }
  }

  async function show(el) {
    const picture = [...el.childNodes];
    try {
      const { explorer, script, values } = el.dataset;
      if (!script) throw new Error("its state is not in the page");
      const [widget, found] = await Promise.all([load(script), load(values)]);
      const model = modelOf(explorer, found);
      await widget.render({ model, el, link: () => copyLink(el, model) });
    } catch (error) {
      const message = document.createElement("p");
      message.className = "explorer-error";
      message.textContent = `This interactive figure could not be shown: ${error.message}`;
      el.replaceChildren(...picture, message);
    }
  }

  const pending = new Set(figures);
  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) start(target);
  }, { rootMargin: NEAR });
  function start(figure) {
    near.unobserve(figure);
    if (pending.delete(figure)) show(figure);
  }
  for (const figure of figures) near.observe(figure);

  const idle = window.requestIdleCallback ?? ((act) => setTimeout(act, 200));
  function startOne() {
    const [next] = pending;
    if (!next) return;
    start(next);
    idle(startOne);
  }
  if (document.readyState === "complete") idle(startOne);
  else window.addEventListener("load", () => idle(startOne));
})();
