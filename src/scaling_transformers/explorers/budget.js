// The map of the law: lines of equal loss over parameters and tokens, and the two best models on one of them.

const [LEFT, RIGHT, TOP, BOTTOM] = [62, 362, -300, 0];

function draw({ frame, fixed }) {
  const share = (value, [least, most]) => Math.log(value / least) / Math.log(most / least);
  const x = (size) => LEFT + (RIGHT - LEFT) * share(size, fixed.sizes);
  const y = (tokens) => BOTTOM + (TOP - BOTTOM) * share(tokens, fixed.tokens);
  const path = ([sizes, tokens]) => sizes.map((size, i) => `${i ? "L" : "M"}${x(size).toFixed(1)},${y(tokens[i]).toFixed(1)}`).join("");
  const faint = { stroke: "currentColor", "stroke-opacity": 0.15, fill: "none" };
  const root = svg("svg", { viewBox: "0 -330 410 412", role: "img", "aria-label": `Parameters and tokens. ${frame.summary}` });
  for (const [size, text] of [[1e8, "100 M"], [1e9, "1 B"], [1e10, "10 B"], [1e11, "100 B"], [1e12, "1 T"], [1e13, "10 T"]]) {
    root.append(
      svg("path", { d: `M${x(size)},${TOP}V${BOTTOM}`, ...faint }),
      svg("text", { x: x(size), y: BOTTOM + 18, "text-anchor": "middle", class: "note" }, text));
  }
  for (const [tokens, text] of [[1e9, "1 B"], [1e11, "100 B"], [1e13, "10 T"], [1e15, "1000 T"]]) {
    root.append(
      svg("path", { d: `M${LEFT},${y(tokens)}H${RIGHT}`, ...faint }),
      svg("text", { x: LEFT - 6, y: y(tokens) + 4, "text-anchor": "end", class: "note" }, text));
  }
  root.append(
    svg("text", { x: (LEFT + RIGHT) / 2, y: BOTTOM + 40, "text-anchor": "middle", class: "note" }, "parameters"),
    svg("text", { x: 4, y: TOP - 14, class: "note" }, "tokens of training; grey: equal loss (nats)"));
  for (const { loss, line } of fixed.levels) {
    const last = line[0].length - 1;
    root.append(
      svg("path", { d: path(line), stroke: "currentColor", "stroke-opacity": 0.45, fill: "none" }),
      svg("text", { x: x(line[0][last]) + 5, y: y(line[1][last]) + 4, class: "note" }, loss));
  }
  const [[bestX, bestY], [lifeX, lifeY]] = [frame.best, frame.life].map(([size, tokens]) => [x(size), y(tokens)]);
  root.append(
    svg("path", { d: path(frame.level), stroke: COLORS.blue, "stroke-width": 2, fill: "none" }),
    svg("circle", { cx: bestX, cy: bestY, r: 7, fill: COLORS.blue }),
    svg("circle", { cx: lifeX, cy: lifeY, r: 9, fill: "none", stroke: COLORS.orange, "stroke-width": 3 }),
    svg("circle", { cx: 14, cy: BOTTOM + 64, r: 7, fill: COLORS.blue }),
    svg("text", { x: 28, y: BOTTOM + 69, fill: COLORS.blue }, "best to train"),
    svg("circle", { cx: 184, cy: BOTTOM + 64, r: 8, fill: "none", stroke: COLORS.orange, "stroke-width": 3 }),
    svg("text", { x: 199, y: BOTTOM + 69, fill: COLORS.orange }, "best to train and use"));
  return [root];
}
