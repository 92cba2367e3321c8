// Left what a text leaves in the cache with each kind of attention (logarithmic), the chosen one filled; right the
// parameters of the chosen design by part (from 0).

const [LEFT, WIDE, STEP] = [108, 204, 38];

function axes({ name, bottom, ticks, at, spoken }) {
  const root = svg("svg", { viewBox: `0 -40 390 ${bottom + 92}`, role: "img", "aria-label": `${name}: ${spoken}` },
    svg("text", { x: LEFT, y: bottom + 40, class: "note" }, name));
  for (const tick of ticks) {
    root.append(
      svg("path", { d: `M${at(tick)},-8V${bottom}`, stroke: "currentColor", "stroke-opacity": 0.2 }),
      svg("text", { x: at(tick), y: bottom + 18, "text-anchor": "middle", class: "note" }, String(tick)));
  }
  return root;
}

function caches({ frame, fixed }) {
  const [least, most] = [0.001, 100];
  const at = (value) => LEFT + (WIDE * Math.log(value / least)) / Math.log(most / least);
  const bottom = STEP * fixed.attention.length;
  const root = axes({
    name: "kept of one text (GiB)", bottom, ticks: [0.001, 0.01, 0.1, 1, 10, 100], at,
    spoken: fixed.attention.map((kind, i) => `${kind} ${plain(frame.kept[i])}`).join(", "),
  });
  root.append(
    svg("path", { d: `M${at(frame.weights)},-8V${bottom}`, stroke: COLORS.orange, "stroke-width": 2, "stroke-dasharray": "5 4" }),
    svg("text", { x: at(frame.weights), y: -16, "text-anchor": "middle", fill: COLORS.orange, class: "note" }, `weights: ${plain(frame.weights)}`));
  fixed.attention.forEach((kind, i) => {
    const [y, x, chosen] = [STEP * i + 18, at(frame.kept[i]), i === frame.chosen];
    root.append(
      svg("text", { x: LEFT - 8, y: y + 5, "text-anchor": "end", ...(chosen && { "font-weight": 700 }) }, kind),
      svg("path", { d: `M${LEFT},${y}H${x - 6}`, stroke: COLORS.blue, "stroke-width": chosen ? 4 : 1.5 }),
      svg("circle", { cx: x, cy: y, r: 6, fill: chosen ? COLORS.blue : "none", stroke: COLORS.blue, "stroke-width": 2 }),
      svg("text", { x: 386, y: y + 5, "text-anchor": "end", ...(chosen && { class: "strong" }) }, plain(frame.kept[i])));
  });
  return root;
}

function parts({ frame, fixed }) {
  const at = (value) => LEFT + (WIDE * value) / 7;
  const bottom = STEP * fixed.attention.length; // of both, so that they stand side by side
  const step = bottom / fixed.parts.length;
  const root = axes({
    name: "parameters (billions)", bottom, ticks: [0, 1, 2, 3, 4, 5, 6, 7], at,
    spoken: fixed.parts.map((part, i) => `${part} ${plain(frame.parts[i])}`).join(", "),
  });
  fixed.parts.forEach((part, i) => {
    const y = step * (i + 0.5);
    root.append(
      svg("text", { x: LEFT - 8, y: y + 5, "text-anchor": "end" }, part),
      svg("rect", { x: LEFT, y: y - 12, width: at(frame.parts[i]) - LEFT, height: 24, fill: COLORS.green }),
      svg("text", { x: 386, y: y + 5, "text-anchor": "end" }, plain(frame.parts[i])));
  });
  return root;
}

function draw(view) {
  return [caches(view), parts(view)];
}
