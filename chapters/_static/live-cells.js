// The reader's own code in the page: a cell becomes editable and runs in Pyodide, in a worker, after a click that
// says what it loads. What each cell needs of the cells before it was found at the build (extensions/live_cells.py).

(() => {
  const data = document.getElementById("live-cells");
  if (!data) return;
  const { size, host, distribution, cells } = JSON.parse(data.textContent);
  const home = new URL(document.documentElement.dataset.content_root ?? "./", location.href).href;
  const served = location.protocol !== "file:";

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
    element.append(...children);
    return element;
  };

  // Files are kept for the next time; where a browser keeps none, they are loaded again.
  let kept;
  const keepFiles = () => (kept ??= (async () => {
    if (!navigator.serviceWorker) return;
    try {
      const registration = await navigator.serviceWorker.register(`${home}service-worker.js`);
      const coming = registration.installing ?? registration.waiting;
      if (!coming) return;
      await new Promise((done) => {
        const settled = () => ["activated", "redundant"].includes(coming.state) && done();
        coming.addEventListener("statechange", settled);
        settled();
      });
    } catch { /* no network, no space, or not allowed: nothing is kept */ }
  })());

  // One Python for the page; a stopped one is replaced by the next run.
  const python = {
    worker: null,
    busy: false,
    told: null, // who hears what the worker says
    start() {
      return (this.ready ??= (async () => {
        await keepFiles();
        this.worker = new Worker(`${home}_static/live-worker.js`);
        this.worker.addEventListener("error", (event) => {
          event.preventDefault();
          this.told?.({ broken: event.message || "the files did not load" });
        });
        const ready = this.hear((message) => message.ready);
        this.worker.addEventListener("message", ({ data: message }) => this.told?.(message));
        this.worker.postMessage({ start: { home, distribution } });
        await ready;
      })());
    },
    // Resolves with the first message that `last` accepts; rejects when the worker breaks or is stopped.
    hear(last, other = () => {}) {
      return new Promise((resolve, reject) => {
        this.told = (message) => {
          if (message.broken !== undefined) reject(new Error(message.broken));
          else if (last(message)) resolve(message);
          else other(message);
        };
      });
    },
    async run(job, onSaid, onDrawn) {
      await this.start();
      const done = this.hear(
        (message) => message.done,
        ({ text, html }) => (html === undefined ? onSaid(text) : onDrawn(html)),
      );
      this.worker.postMessage(job);
      return done;
    },
    stop(why = "stopped") {
      this.worker?.terminate();
      this.told?.({ broken: why });
      this.worker = this.ready = this.told = null;
    },
  };

  const INDENT = "    ";
  const insert = (area, text) => {
    // Through the browser's own editing, where it still has it, so that it can be undone.
    if (!document.execCommand?.("insertText", false, text)) area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
  };

  // Tab indents, and after Escape it leaves; Enter keeps the indentation.
  const edit = (area, run) => {
    let leaving = false;
    area.addEventListener("focus", () => { leaving = false; });
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.shiftKey || event.metaKey)) {
        event.preventDefault();
        run();
      } else if (event.key === "Escape") {
        leaving = true;
      } else if (event.key === "Tab" && !leaving && !event.shiftKey && !event.ctrlKey && !event.altKey) {
        event.preventDefault();
        insert(area, INDENT);
      } else if (event.key === "Enter") {
        event.preventDefault();
        const line = area.value.slice(0, area.selectionStart).split("\n").pop();
        insert(area, `\n${line.match(/^ */)[0]}${/:\s*$/.test(line) ? INDENT : ""}`);
      } else if (!["Tab", "Shift", "Control", "Alt", "Meta"].includes(event.key)) {
        leaving = false;
      }
    });
  };

  const MUST_BE_SERVED = "Python cannot be loaded from a file: this page must be served. "
    + "In the folder of the book run “make serve”, then open the address that it names.";
  let loaded = false;
  const starts = [];
  const wordsOf = ({ packages }) => {
    if (loaded && !packages.length) return "Run this here";
    const own = loaded ? "" : `Python, ${size}, from this site`;
    const other = packages.length ? `${packages.join(" and ")} from ${host}` : "";
    return `Run this here: loads ${[own, other].filter(Boolean).join(", and ")}`;
  };

  document.querySelectorAll(".live-cell").forEach((place, number) => {
    const { before, source, packages = [] } = cells[place.dataset.cell];
    const cell = place.parentElement;
    const name = `live-${place.dataset.cell}`;
    const button = make("button", { type: "button", class: "live-start" });
    const status = make("span", { class: "live-status", role: "status" });
    const run = make("button", { type: "button", hidden: "" }, "Run");
    const stop = make("button", { type: "button", hidden: "" }, "Stop");
    const reset = make("button", { type: "button", hidden: "" }, "Reset");
    const bar = make("div", { class: "live-bar" }, button, run, stop, reset, status);
    const said = make("pre", {
      class: "live-said", id: `${name}-said`, "aria-live": "polite", tabindex: "0",
      role: "region", "aria-label": "What the changed cell prints",
    });
    const drawn = make("div", { class: "live-drawn" });
    const editor = make("div");
    const area = make("textarea", {
      class: "live-code", id: name, spellcheck: "false", autocomplete: "off", autocapitalize: "off",
      "aria-describedby": `${name}-hint`, rows: source.split("\n").length + 1,
    });
    editor.append(
      make("label", { class: "live-label", for: name }, "This cell’s code, yours to change"),
      area,
      make("p", { class: "live-hint", id: `${name}-hint` },
        "Ctrl+Enter runs it. Tab indents; Escape, then Tab, leaves the field."),
    );
    editor.hidden = true;
    said.hidden = true;
    place.append(editor, bar, said, drawn);
    starts.push(() => { button.textContent = wordsOf({ packages }); });

    let running = false;
    const show = (open) => {
      cell.classList.toggle("live-opened", open);
      editor.hidden = said.hidden = drawn.hidden = run.hidden = reset.hidden = !open;
      button.hidden = open;
    };
    const start = async () => {
      if (running) return;
      if (python.busy) { status.textContent = "Another cell is running. Stop it first."; return; }
      if (!served) { status.textContent = MUST_BE_SERVED; return; }
      running = python.busy = true;
      run.hidden = true;
      stop.hidden = false;
      said.textContent = "";
      drawn.textContent = "";
      said.classList.remove("live-error");
      place.setAttribute("aria-busy", "true");
      status.textContent = python.worker ? "Running …" : "Loading Python …";
      try {
        await python.start();
        if (!loaded) { loaded = true; starts.forEach((write) => write()); }
        status.textContent = packages.length ? `Loading ${packages.join(" and ")} from ${host}, and running …` : "Running …";
        const { error, seconds } = await python.run({ before, source: area.value, packages },
          (text) => said.append(text), (html) => { drawn.innerHTML = html; });
        said.append(error);
        said.classList.toggle("live-error", error !== "");
        status.textContent = error ? "Stopped by an error, see below." : `Done in ${seconds.toFixed(2)} s.`;
      } catch (error) {
        const stopped = error.message === "stopped";
        if (!stopped) python.stop();
        status.textContent = stopped ? "Stopped. The next run starts Python anew." : `It did not load: ${error.message}`;
      }
      running = python.busy = false;
      stop.hidden = true;
      run.hidden = button.hidden === false;
      place.removeAttribute("aria-busy");
    };
    button.addEventListener("click", () => {
      if (served) {
        area.value = source;
        show(true);
        area.focus({ preventScroll: true });
      }
      start();
    });
    run.addEventListener("click", start);
    stop.addEventListener("click", () => { python.stop(); area.focus({ preventScroll: true }); });
    reset.addEventListener("click", () => {
      if (running) python.stop();
      status.textContent = "";
      said.textContent = "";
      show(false);
      button.focus({ preventScroll: true });
    });
    edit(area, start);
  });
  starts.forEach((write) => write());
  document.querySelectorAll(".live-note").forEach((note) => { note.hidden = false; });
})();
