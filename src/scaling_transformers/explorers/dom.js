// As much of a browser's document as explorer.js and the views ask for: enough to draw a figure once, in Python, and to
// write it as HTML.

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escaped = (text) => String(text).replace(/[&<>"]/g, (character) => ESCAPES[character]);

class Element {
  #tag;
  #children = [];
  attributes = new Map();
  classList = { add: (name) => { if (!this.className.split(" ").includes(name)) this.className += ` ${name}`; } };
  constructor(tag) { this.#tag = tag; }
  setAttribute(name, value) { this.attributes.set(name, String(value)); }
  addEventListener() {} // nothing happens in a picture
  append(...children) { this.#children.push(...children); }
  replaceChildren(...children) { this.#children = children; }
  get textContent() { return this.#children.map((child) => child.textContent ?? child).join(""); }
  set textContent(text) { this.#children = [text]; }
  *all() {
    yield this;
    for (const child of this.#children) if (child instanceof Element) yield* child.all();
  }
  toString() {
    const attributes = [...this.attributes].map(([name, value]) => ` ${name}="${escaped(value)}"`).join("");
    const start = `<${this.#tag}${attributes}>`;
    if (this.#tag === "input") return start;
    return `${start}${this.#children.map((c) => (c instanceof Element ? c : escaped(c))).join("")}</${this.#tag}>`;
  }
}

// The properties that stand for an attribute; true and false for one that is there or is not.
for (const [property, name] of [["className", "class"], ...["disabled", "hidden", "max", "min", "step", "type", "value"].map((n) => [n, n])]) {
  Object.defineProperty(Element.prototype, property, {
    get() { return this.attributes.get(name) ?? ""; },
    set(value) {
      if (value === false) this.attributes.delete(name);
      else this.setAttribute(name, value === true ? "" : value);
    },
  });
}

const document = {
  createElement: (tag) => new Element(tag),
  createElementNS: (space, tag) => new Element(tag),
};

// The HTML of a widget as it stands before anything moves, inside an element with the attributes given.
function still(widget, values, attributes, note) {
  const el = document.createElement("div");
  for (const [name, value] of Object.entries(attributes)) el.setAttribute(name, value);
  const model = { get: (name) => values[name], on() {} };
  widget.render({ model, el, link() {} });
  for (const part of el.all()) if (part.attributes.has("type")) part.disabled = true; // sliders and buttons
  const last = document.createElement("p");
  last.className = "explorer-unmoved";
  last.append(note);
  el.append(last);
  return String(el);
}
