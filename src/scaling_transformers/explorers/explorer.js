// The part that every explorer shares: controls, the sentence below, and the choice of the frame to draw.
// `draw({ frame, fixed })` comes from the view's own script, which stands before this one and answers a list of <svg>
// elements; it may use `svg`, `html`, `plain` and COLORS, the book's colours in the theme of the page. Python draws the
// same picture once for a page without scripts, on the small document of dom.js: a view asks no more of it than is there.

const SILENCE = 600; // milliseconds without a move before the sentence is read aloud

// Three digits, and no more zeros than a reader can count.
const plain = (value) => value.toLocaleString("en-US", { maximumSignificantDigits: 3 });

// An SVG element with attributes and children; a string becomes text.
function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function html(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function slider(control, index, moved) {
  const input = html("input");
  const value = html("span", "explorer-value");
  Object.assign(input, { type: "range", min: 0, max: control.texts.length - 1, step: 1 });
  const write = (position) => {
    input.value = position;
    value.textContent = control.texts[position];
    input.setAttribute("aria-valuetext", control.texts[position]);
  };
  input.setAttribute("aria-label", control.label);
  input.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab leaves the arrow keys to the slider
  input.addEventListener("input", () => moved(input.valueAsNumber));
  write(index);
  const label = html("label", "explorer-control", html("span", "", control.label), value, input);
  return { label, write };
}

// Below the sentence: the button that copies an address, and what is only read aloud.
function foot(link, said) {
  const row = html("div", "explorer-foot");
  if (link) {
    const button = html("button", "explorer-link", "Link to this view");
    const note = html("span", "explorer-note");
    button.type = "button";
    note.setAttribute("role", "status");
    button.addEventListener("click", async () => { note.textContent = await link(); });
    row.append(button, note);
  }
  row.append(said);
  return row;
}

// `link`, where the page has an address for each view, copies it and answers what to tell the reader.
function render({ model, el, link }) {
  const controls = model.get("controls");
  const picture = html("div", "explorer-picture");
  const summary = html("p", "explorer-summary");
  const said = html("span", "explorer-said");
  said.setAttribute("aria-live", "polite");
  let timer;

  const update = () => {
    const state = model.get("state");
    const index = controls.reduce((sum, c) => sum * c.texts.length + state[c.name], 0);
    const live = Object.keys(model.get("frame") ?? {}).length > 0;
    const frame = live ? model.get("frame") : model.get("frames")[index];
    inputs.hidden = live;
    controls.forEach((c, i) => sliders[i].write(state[c.name]));
    picture.replaceChildren(...draw({ frame, fixed: model.get("fixed") }));
    summary.textContent = frame.summary;
  };
  const moved = () => {
    update();
    clearTimeout(timer); // a slider under way would have dozens of sentences read
    timer = setTimeout(() => { said.textContent = summary.textContent; }, SILENCE);
  };
  const sliders = controls.map((c) => slider(c, model.get("state")[c.name], (position) => {
    model.set("state", { ...model.get("state"), [c.name]: position });
    model.save_changes();
  }));
  const inputs = html("div", "explorer-controls", ...sliders.map((s) => s.label));

  el.classList.add("explorer");
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", model.get("title"));
  update();
  el.replaceChildren(html("p", "explorer-title", model.get("title")), inputs, picture, summary, foot(link, said));
  model.on("change:state", moved);
  model.on("change:frame", moved);
  return () => {
    clearTimeout(timer);
    model.off("change:state", moved);
    model.off("change:frame", moved);
  };
}

export default { render };
