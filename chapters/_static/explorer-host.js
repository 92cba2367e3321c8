// Brings the explorers of a built page to life with no server: the notebook left their state and their script in it.
// Each is an anywidget; here it gets a small model in place of a kernel.

// A plain script, not a module, so that a page opened from a folder, with no server at all, works as well.

(() => {
  const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';
  const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';

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

  // The widget's script, imported once however often it stands in the page. A site whose security policy allows no
  // blob: scripts serves these as files: this is the one place to change.
  const modules = new Map();
  function load(source) {
    if (!modules.has(source)) {
      const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      modules.set(source, import(url).then(async ({ default: widget }) =>
        typeof widget === "function" ? widget() : widget));
    }
    return modules.get(source);
  }

  const styles = new Set();
  function applyStyle(css) {
    if (!css || styles.has(css)) return;
    styles.add(css);
    const style = document.createElement("style");
    style.textContent = css;
    document.head.append(style);
  }

  async function show(script, entries, models) {
    const el = document.createElement("div");
    el.className = "explorer";
    script.after(el);
    try {
      const id = JSON.parse(script.textContent).model_id;
      const values = entries[id]?.state;
      if (!values?._esm) throw new Error("its state is not in the page");
      if (!models.has(id)) models.set(id, new Model(values));
      applyStyle(values._css);
      const widget = await load(values._esm);
      await widget.render({ model: models.get(id), el });
    } catch (error) {
      const message = document.createElement("p");
      message.className = "explorer-error";
      message.textContent = `This interactive figure could not be shown: ${error.message}`;
      el.replaceChildren(message);
    }
  }

  const entries = {};
  for (const script of document.querySelectorAll(STATE)) {
    try {
      Object.assign(entries, JSON.parse(script.textContent).state);
    } catch { /* each view that misses its state says so */ }
  }
  const models = new Map();
  for (const script of document.querySelectorAll(VIEW)) show(script, entries, models);
})();
