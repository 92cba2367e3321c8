// The part that every explorer shares: controls, the sentence below, and the choice of the frame to draw.
// `draw({ frame, fixed })` comes from the view's own script, which stands before this one and answers a list of <svg>
// elements; it may use `svg` and COLORS, the book's colours in the theme of the page.

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
  input.addEventListener("input", () => { write(input.valueAsNumber); moved(input.valueAsNumber); });
  write(index);
  const label = html("label", "explorer-control", html("span", "", control.label), value, input);
  return { label, write };
}

function render({ model, el }) {
  const controls = model.get("controls");
  const picture = html("div", "explorer-picture");
  const summary = html("p", "explorer-summary");
  summary.setAttribute("aria-live", "polite");

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
  const sliders = controls.map((c) => slider(c, model.get("state")[c.name], (position) => {
    model.set("state", { ...model.get("state"), [c.name]: position });
    model.save_changes();
  }));
  const inputs = html("div", "explorer-controls", ...sliders.map((s) => s.label));

  el.classList.add("explorer");
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", model.get("title"));
  el.replaceChildren(html("p", "explorer-title", model.get("title")), inputs, picture, summary);
  model.on("change:state", update);
  model.on("change:frame", update);
  update();
  return () => {
    model.off("change:state", update);
    model.off("change:frame", update);
  };
}

export default { render };
