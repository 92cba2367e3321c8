// Left the pairs: allowed (squares), connected by the layers so far (stripes), tiles that are computed (shaded).
// Right what a layer allows and computes, and what all layers together connect.

const [LEFT, SIDE] = [30, 300];

// Pieces of a row, as a path, where the wanted digits stand side by side.
function runs(rows, wanted, { cell, inset }) {
  const pieces = [];
  rows.forEach((row, i) => {
    for (let j = 0; j < row.length;) {
      let end = j;
      while (end < row.length && wanted(row[end])) end++;
      if (end > j) {
        pieces.push(`M${(LEFT + j * cell).toFixed(2)},${((i + inset) * cell).toFixed(2)}h${((end - j) * cell).toFixed(2)}v${((1 - 2 * inset) * cell).toFixed(2)}h${((j - end) * cell).toFixed(2)}z`);
      }
      j = Math.max(end, j + 1);
    }
  });
  return pieces.join("");
}

function pairs({ frame, fixed }) {
  const { kind, size, n, depth } = frame;
  const rows = fixed.apart[kind][size].slice(0, n);
  const tiles = fixed.tiles[kind][size];
  const cell = SIDE / n;
  const tile = Math.min(SIDE, (SIDE / n) * (fixed.longest / tiles.length));
  const layers = (digit) => (digit === "." ? Infinity : parseInt(digit, 36));
  const shown = Math.max(1, Math.round((tiles.length * n) / fixed.longest));
  const root = svg("svg", { viewBox: "0 -44 340 440", role: "img",
    "aria-label": `Pairs of ${n} tokens, ${kind}: ${plain(frame.shares[0])} % allowed, ${plain(frame.connected)} % connected` },
  svg("text", { x: LEFT + SIDE / 2, y: -26, "text-anchor": "middle", class: "note" }, "key (place in the text)"),
  svg("text", { x: LEFT, y: -8, class: "note" }, "1"),
  svg("text", { x: LEFT + SIDE, y: -8, "text-anchor": "end", class: "note" }, n),
  svg("text", { x: LEFT - 6, y: 10, "text-anchor": "end", class: "note" }, "1"),
  svg("text", { x: LEFT - 6, y: SIDE, "text-anchor": "end", class: "note" }, n),
  svg("text", { transform: `translate(${LEFT - 10} ${SIDE / 2}) rotate(-90)`, "text-anchor": "middle", class: "note" }, "query (place in the text)"));
  const computed = tiles.slice(0, shown).flatMap((row, i) => [...row.slice(0, shown)].map((holds, j) =>
    holds === "1" ? `M${LEFT + j * tile},${i * tile}h${tile}v${tile}h${-tile}z` : ""));
  root.append(svg("path", { d: computed.join(""), "fill-opacity": 0.1, stroke: "currentColor", "stroke-opacity": 0.25 }));
  root.append(
    svg("rect", { x: LEFT, y: 0, width: SIDE, height: SIDE, fill: "none", stroke: "currentColor", "stroke-opacity": 0.4 }),
    svg("path", { d: runs(rows, (digit) => layers(digit) > 1 && layers(digit) <= depth, { cell, inset: 0.28 }), fill: COLORS.orange }),
    svg("path", { d: runs(rows, (digit) => digit === "1", { cell, inset: 0 }), fill: COLORS.blue }),
    svg("rect", { x: LEFT, y: SIDE + 16, width: 22, height: 12, fill: COLORS.blue }),
    svg("text", { x: LEFT + 32, y: SIDE + 27, class: "note" }, "allowed in each layer"),
    svg("path", { d: `M${LEFT},${SIDE + 42}h22M${LEFT},${SIDE + 50}h22`, stroke: COLORS.orange, "stroke-width": 3 }),
    svg("text", { x: LEFT + 32, y: SIDE + 50, class: "note" }, depth === 1 ? "heard of by way of others: none yet" : `heard of by way of others in ${depth} layers`),
    svg("rect", { x: LEFT, y: SIDE + 62, width: 22, height: 12, "fill-opacity": 0.1, stroke: "currentColor", "stroke-opacity": 0.4 }),
    svg("text", { x: LEFT + 32, y: SIDE + 73, class: "note" }, kind === "TopK" ? "computed: all, to find the best" : "tile that is computed"));
  return root;
}

function shares({ frame }) {
  const [left, full] = [16, 300];
  const [allowed, computed, dense] = frame.shares;
  const saved = frame.saved < 0 ? "more than dense" : frame.saved > 0 ? `${plain(frame.saved)} % saved` : "nothing saved";
  const rows = [
    ["allowed in a layer", allowed, COLORS.blue, {}, ""],
    ["computed in a layer", computed, "currentColor", { "fill-opacity": 0.45 }, `: ${saved}`],
    ["connected by the layers", frame.connected, COLORS.orange, {}, ""],
  ];
  const root = svg("svg", { viewBox: "0 -44 340 440", role: "img",
    "aria-label": rows.map(([name, value]) => `${name}: ${plain(value)} %`).join(", ") });
  for (const [first, last, name, y] of [[-14, 166, "of all pairs of query and key (%)", 166], [218, 288, "of a token and itself or one before (%)", 288]]) {
    for (const tick of [0, 25, 50, 75, 100]) {
      root.append(
        svg("path", { d: `M${left + 3 * tick},${first}V${last}`, stroke: "currentColor", "stroke-opacity": 0.2 }),
        svg("text", { x: left + 3 * tick, y: y + 18, "text-anchor": "middle", class: "note" }, tick));
    }
    root.append(svg("text", { x: left + full / 2, y: y + 36, "text-anchor": "middle", class: "note" }, name));
  }
  root.append(
    svg("path", { d: `M${left + 3 * dense},-14V142`, stroke: "currentColor", "stroke-dasharray": "5 4" }),
    svg("text", { x: Math.min(left + 3 * dense, 250), y: -22, "text-anchor": "middle", class: "note" }, "dense, in the same tiles"));
  rows.forEach(([name, value, color, look, note], i) => {
    const y = [28, 112, 240][i];
    root.append(
      svg("rect", { x: left, y: y + 6, width: 3 * value, height: 20, fill: color, ...look }),
      svg("text", { x: left, y: y - 4 }, name),
      svg("text", { x: left, y: y + 46, class: "strong" }, `${plain(value)} %${note}`));
  });
  root.append(svg("text", { x: left, y: 362, class: "strong" },
    frame.layers ? `all connected after ${frame.layers} ${frame.layers === 1 ? "layer" : "layers"}` : "never all connected"));
  return root;
}

function draw(view) {
  return [pairs(view), shares(view)];
}
