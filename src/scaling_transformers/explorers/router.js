// Left the load of each expert against its room; right how many tokens are served by none, one, two, ... experts.

const [LEFT, FULL, HIGH] = [34, 290, 272];

// An empty panel with an axis of tokens, and where on it a number lies.
function panel({ title, name, spoken, most }) {
  const root = svg("svg", { viewBox: `0 -40 340 ${HIGH + 136}`, role: "img", "aria-label": `${title}: ${spoken}` },
    svg("text", { x: 4, y: -24, class: "note" }, title),
    svg("text", { x: LEFT + FULL / 2, y: HIGH + 38, "text-anchor": "middle", class: "note" }, name));
  const at = (value) => LEFT + (FULL * value) / most;
  for (const tick of [0, 16, 32, 48, 64].filter((value) => value <= most)) {
    root.append(
      svg("path", { d: `M${at(tick)},0V${HIGH}`, stroke: "currentColor", "stroke-opacity": 0.2 }),
      svg("text", { x: at(tick), y: HIGH + 18, "text-anchor": "middle", class: "note" }, tick));
  }
  return { root, at };
}

function load({ frame, fixed }) {
  const step = HIGH / frame.asked.length;
  const { root, at } = panel({
    title: "expert, from the most wanted", name: "tokens", most: fixed.n,
    spoken: frame.asked.map((asked, i) => `${asked} asked, ${frame.served[i]} served`).join("; "),
  });
  frame.asked.forEach((asked, i) => {
    const [y, height, served] = [step * (i + 0.15), 0.7 * step, frame.served[i]];
    root.append(
      svg("text", { x: LEFT - 8, y: step * (i + 0.5) + 4, "text-anchor": "end", class: "note" }, i + 1),
      svg("rect", { x: LEFT, y, width: at(served) - LEFT, height, fill: COLORS.blue }));
    if (asked > served) {
      root.append(svg("rect", { x: at(served) + 1, y: y + 1, width: at(asked) - at(served) - 2, height: height - 2,
        fill: COLORS.orange, "fill-opacity": 0.15, stroke: COLORS.orange, "stroke-width": 2, "stroke-dasharray": "4 3" }));
    }
  });
  root.append(
    svg("path", { d: `M${at(frame.room)},-8V${HIGH}`, stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": "6 4" }),
    svg("text", { x: at(frame.room) + (frame.room > 40 ? -6 : 6), y: -6, "text-anchor": frame.room > 40 ? "end" : "start", class: "note" }, `room: ${frame.room}`),
    svg("rect", { x: LEFT, y: HIGH + 54, width: 22, height: 12, fill: COLORS.blue }),
    svg("text", { x: LEFT + 30, y: HIGH + 65, class: "note" }, "served"),
    svg("rect", { x: LEFT + 101, y: HIGH + 55, width: 20, height: 10, fill: COLORS.orange, "fill-opacity": 0.15, stroke: COLORS.orange, "stroke-width": 2, "stroke-dasharray": "4 3" }),
    svg("text", { x: LEFT + 130, y: HIGH + 65, class: "note" }, "dropped"),
    svg("text", { x: 4, y: HIGH + 90, class: "strong" }, `${plain(frame.dropped)} % of the choices dropped`));
  return root;
}

function tokens({ frame, fixed }) {
  const step = HIGH / frame.tokens.length;
  const named = (i) => (i === frame.tokens.length - 1 ? `${i} or more` : `${i}`);
  const { root, at } = panel({
    title: "experts that serve a token", name: "tokens", most: fixed.n * 1.16,
    spoken: frame.tokens.map((count, i) => `${named(i)}: ${count} tokens`).join("; "),
  });
  frame.tokens.forEach((count, i) => {
    const y = step * (i + 0.4);
    root.append(
      svg("text", { x: 4, y: y - 8, class: "note" }, named(i)),
      svg("rect", { x: LEFT, y, width: at(count) - LEFT, height: 0.45 * step, ...(i
        ? { fill: COLORS.blue }
        : { fill: COLORS.orange, "fill-opacity": 0.15, stroke: COLORS.orange, "stroke-width": 2, "stroke-dasharray": "4 3" }) }),
      svg("text", { x: at(count) + 6, y: y + 0.225 * step + 5, class: "count" }, count));
  });
  root.append(svg("text", { x: 4, y: HIGH + 90, class: "strong" },
    `${frame.tokens[0]} of ${fixed.n} tokens get no expert`));
  return root;
}

function draw(view) {
  return [load(view), tokens(view)];
}
