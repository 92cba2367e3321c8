// Left the measured runs and the reader's law, a line a budget; right how well each floor goes with each exponent α.

const [LEFT, RIGHT, TOP, BOTTOM] = [40, 330, -290, 0];
const SIZES = [3e3, 1.3e6];
const LOSSES = [0.65, 1.33];

const percent = (value) => `${plain(Math.abs(value))} %`;

function curves({ frame, fixed }) {
  const x = (size) => LEFT + ((RIGHT - LEFT) * Math.log(size / SIZES[0])) / Math.log(SIZES[1] / SIZES[0]);
  const y = (loss) => BOTTOM + ((TOP - BOTTOM) * (loss - LOSSES[0])) / (LOSSES[1] - LOSSES[0]);
  const last = fixed.budgets.length - 1;
  const [floor] = frame.at;
  const root = svg("svg", { viewBox: "0 -324 340 440", role: "img",
    "aria-label": `Loss against parameters, a line a budget. ${frame.summary}` },
  svg("text", { x: 4, y: TOP - 16, class: "note" }, "loss (nats a token)"),
  svg("text", { x: (LEFT + RIGHT) / 2, y: BOTTOM + 36, "text-anchor": "middle", class: "note" }, "parameters N"));
  for (const [size, text] of [[1e4, "10⁴"], [1e5, "10⁵"], [1e6, "10⁶"]]) {
    root.append(
      svg("path", { d: `M${x(size)},${TOP}V${BOTTOM}`, stroke: "currentColor", "stroke-opacity": 0.15 }),
      svg("text", { x: x(size), y: BOTTOM + 18, "text-anchor": "middle", class: "note" }, text));
  }
  for (const loss of [0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3]) {
    root.append(
      svg("path", { d: `M${LEFT},${y(loss)}H${RIGHT}`, stroke: "currentColor", "stroke-opacity": 0.15 }),
      svg("text", { x: LEFT - 6, y: y(loss) + 4, "text-anchor": "end", class: "note" }, loss.toFixed(1)));
  }
  root.append(
    svg("path", { d: `M${LEFT},${y(fixed.entropy)}H${RIGHT}`, stroke: "currentColor", "stroke-dasharray": "2 3" }),
    svg("text", { x: LEFT + 4, y: y(Math.max(fixed.entropy, floor)) - 5, class: "note" }, "exact entropy"),
    svg("path", { d: `M${LEFT},${y(floor)}H${RIGHT}`, stroke: COLORS.blue, "stroke-width": 2 }),
    svg("text", { x: LEFT + 4, y: y(floor) + 14, class: "note" }, "floor E"));
  fixed.budgets.forEach(({ flops, sizes, losses }, i) => {
    const color = i === last ? COLORS.orange : COLORS.blue;
    const line = sizes.map((size, j) => `${j ? "L" : "M"}${x(size).toFixed(1)},${y(frame.losses[i][j]).toFixed(1)}`);
    root.append(svg("path", { d: line.join(""), stroke: color, "stroke-width": 1.5, fill: "none", ...(i === last && { "stroke-dasharray": "6 3" }) }));
    sizes.forEach((size, j) => {
      const [cx, cy] = [x(size), y(losses[j])];
      root.append(i === last
        ? svg("path", { d: `M${cx - 5},${cy}l5,-5l5,5l-5,5z`, fill: color })
        : svg("circle", { cx, cy, r: 3, fill: color }));
    });
  });
  root.append(
    svg("circle", { cx: 11, cy: 62, r: 4, fill: COLORS.blue }),
    svg("path", { d: "M22,62H44", stroke: COLORS.blue, "stroke-width": 1.5 }),
    svg("text", { x: 52, y: 59, class: "note" }, "measured, and the law fitted to them;"),
    svg("text", { x: 52, y: 75, class: "note" }, `from ${fixed.budgets[0].flops} FLOPs (top)`),
    svg("path", { d: "M6,100l5,-5l5,5l-5,5z", fill: COLORS.orange }),
    svg("path", { d: "M22,100H44", stroke: COLORS.orange, "stroke-width": 1.5, "stroke-dasharray": "6 3" }),
    svg("text", { x: 52, y: 97, class: "note" }, "measured, and predicted by that law;"),
    svg("text", { x: 52, y: 113, class: "note" }, `${fixed.budgets[last].flops} FLOPs, the largest budget`));
  return root;
}

function grid({ frame, fixed }) {
  const [left, top, wide, high] = [40, -272, 42, 50];
  const [floor, alpha, beta] = frame.at;
  const nearest = (values, value) => values.reduce((best, v, i) => Math.abs(v - value) < Math.abs(values[best] - value) ? i : best, 0);
  const layer = nearest(fixed.betas, beta);
  const right = left + wide * fixed.floors.length;
  const bottom = top + high * fixed.alphas.length;
  const root = svg("svg", { viewBox: "0 -324 340 440", role: "img",
    "aria-label": `How far each law misses its runs at β ${plain(fixed.betas[layer])}, the best ${plain(fixed.best.miss)} %.` },
  svg("text", { x: 4, y: -306, class: "note" }, `exponent α, and the miss at β = ${fixed.betas[layer].toFixed(2)} (% of the loss;`),
  svg("text", { x: 4, y: -288, class: "note" }, "the stronger the blue, the less)"),
  svg("text", { x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle", class: "note" }, "floor E (nats a token)"));
  fixed.floors.forEach((value, i) => root.append(
    svg("text", { x: left + wide * (i + 0.5), y: bottom + 17, "text-anchor": "middle", class: "note" }, value.toFixed(2))));
  fixed.alphas.forEach((value, j) => {
    const y = bottom - high * (j + 1);
    root.append(svg("text", { x: left - 8, y: y + high / 2 + 4, "text-anchor": "end", class: "note" }, value.toFixed(1)));
    fixed.floors.forEach((_, i) => {
      const [x, miss] = [left + wide * i, fixed.misses[layer][j][i]];
      const shade = 0.55 * Math.max(0, Math.min(1, 2 * fixed.best.miss / miss - 0.6));
      root.append(
        svg("rect", { x: x + 1, y: y + 1, width: wide - 2, height: high - 2, fill: COLORS.blue, "fill-opacity": shade.toFixed(2) }),
        svg("text", { x: x + wide / 2, y: y + 22, "text-anchor": "middle" }, miss.toFixed(2)));
      if (Math.abs(fixed.offs[layer][j][i]) < 1) {
        root.append(svg("path", { d: `M${x + wide / 2 - 5},${y + 37}l5,-5l5,5l-5,5z`, fill: COLORS.orange }));
      }
    });
  });
  const place = (values, value) => (value - values[0]) / (values[1] - values[0]);
  root.append(
    svg("rect", { x: left + wide * place(fixed.floors, floor), y: bottom - high * (place(fixed.alphas, alpha) + 1),
      width: wide, height: high, fill: "none", stroke: "currentColor", "stroke-width": 2.5 }),
    svg("path", { d: `M6,${bottom + 55}l5,-5l5,5l-5,5z`, fill: COLORS.orange }),
    svg("text", { x: 24, y: bottom + 59, class: "note" }, "predicts the largest budget to 1 %"),
    svg("text", { x: 4, y: bottom + 87, class: "strong" }, `misses its runs by ${percent(frame.miss)}`),
    svg("text", { x: 4, y: bottom + 109, class: "strong" },
      `largest budget: ${percent(frame.off)} too ${frame.off >= 0 ? "low" : "high"}`));
  return root;
}

function draw(view) {
  return [curves(view), grid(view)];
}
