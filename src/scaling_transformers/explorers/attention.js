// Left the plane with keys, query and output; right the weights.

const KEY_STEP = 40; // height of a bar's row

function arrow([x, y], width, attributes) {
  const length = Math.hypot(x, y);
  const [dx, dy] = [x / length, y / length];
  const head = 3 + 2.2 * width;
  const at = (along, across) => `${along * dx - across * dy},${along * dy + across * dx}`;
  return svg("g", attributes,
    svg("path", { d: `M0,0L${at(length - head, 0)}`, "stroke-width": width, fill: "none" }),
    svg("path", { d: `M${at(length, 0)}L${at(length - head, head / 2)}L${at(length - head, -head / 2)}Z`, stroke: "none" }));
}

function plane({ frame, fixed }) {
  const unit = 118;
  const point = ([x, y]) => [unit * x, -unit * y];
  const faint = { stroke: "currentColor", "stroke-opacity": 0.2 };
  const diamond = (x, y) => `M${x},${y - 9}l9,9l-9,9l-9,-9Z`;
  const root = svg("svg", { viewBox: "-185 -165 370 320", role: "img", "aria-label": `Keys in the plane. ${frame.summary}` },
    svg("path", { d: "M-180,0H180M0,-145V150", ...faint }),
    svg("circle", { r: unit, fill: "none", ...faint, "stroke-dasharray": "3 4" }),
    svg("text", { x: -183, y: 18, class: "note" }, "dimension 1"),
    svg("text", { x: 0, y: -152, "text-anchor": "middle", class: "note" }, "dimension 2"));
  fixed.names.forEach((name, i) => {
    const weight = frame.weights[i];
    const [x, y] = point(fixed.keys[i]);
    const away = 1 + 14 / Math.hypot(x, y);
    root.append(
      arrow([x, y], 1.2 + 6 * weight, {
        stroke: COLORS.blue, fill: COLORS.blue, opacity: (0.5 + 0.5 * weight).toFixed(3),
      }),
      svg("text", { x: x * away, y: y * away + 5, "text-anchor": Math.abs(x) < 20 ? "end" : x > 0 ? "start" : "end" }, name));
  });
  root.append(
    arrow(point(frame.query), 2.5, { stroke: COLORS.orange, fill: COLORS.orange }),
    svg("path", { d: diamond(...point(frame.output)), fill: COLORS.green }),
    // The corners stay free wherever the query points.
    arrow([26, 0], 2.5, { stroke: COLORS.orange, fill: COLORS.orange, transform: "translate(-180,137)" }),
    svg("text", { x: -148, y: 142, fill: COLORS.orange }, "query"),
    svg("path", { d: diamond(112, 137), fill: COLORS.green }),
    svg("text", { x: 126, y: 142, fill: COLORS.green }, "output"));
  return root;
}

function bars({ frame, fixed }) {
  const [left, full] = [60, 210];
  const height = KEY_STEP * fixed.names.length;
  const spoken = fixed.names.map((name, i) => `${name} ${frame.weights[i].toFixed(2)}`).join(", ");
  const root = svg("svg", { viewBox: `0 -30 340 ${height + 76}`, role: "img", "aria-label": `Weights: ${spoken}` },
    svg("text", { x: left, y: height + 40, class: "note" }, "attention weight (sums to 1)"));
  for (const tick of [0, 0.5, 1]) {
    root.append(
      svg("path", { d: `M${left + full * tick},-8V${height}`, stroke: "currentColor", "stroke-opacity": 0.2 }),
      svg("text", { x: left + full * tick, y: height + 18, "text-anchor": "middle", class: "note" }, String(tick)));
  }
  fixed.names.forEach((name, i) => {
    const y = KEY_STEP * i;
    const width = full * frame.weights[i];
    root.append(
      svg("text", { x: left - 10, y: y + 20, "text-anchor": "end" }, name),
      svg("rect", { x: left, y: y + 4, width, height: KEY_STEP - 18, fill: COLORS.blue }),
      svg("text", { x: left + width + 7, y: y + 20 }, frame.weights[i].toFixed(2)));
  });
  return root;
}

function draw(parts) {
  return [plane(parts), bars(parts)];
}
