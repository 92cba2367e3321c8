// Left what weights and cache hold, right how long each keeps the chip; both scales are logarithmic.

const ROWS = ["weights", "cache"];

function panel({ values, notes, least, most, ticks, mark, unit, name }) {
  const [left, full, step] = [66, 250, 62];
  const at = (value) => left + (full * Math.log(Math.min(Math.max(value, least), most) / least)) / Math.log(most / least);
  const bottom = step * ROWS.length;
  const spoken = ROWS.map((row, i) => `${row} ${plain(values[i])} ${unit}`).join(", ");
  const root = svg("svg", { viewBox: `0 -34 340 ${bottom + 84}`, role: "img", "aria-label": `${name}: ${spoken}` },
    svg("text", { x: left, y: bottom + 40, class: "note" }, `${name} (${unit})`));
  for (const tick of ticks) {
    root.append(
      svg("path", { d: `M${at(tick)},-8V${bottom}`, stroke: "currentColor", "stroke-opacity": 0.2 }),
      svg("text", { x: at(tick), y: bottom + 18, "text-anchor": "middle", class: "note" }, plain(tick)));
  }
  if (mark) {
    root.append(
      svg("path", { d: `M${at(mark.value)},-8V${bottom}`, stroke: "currentColor", "stroke-dasharray": "5 4" }),
      svg("text", { x: at(mark.value), y: -16, "text-anchor": "middle", class: "note" }, mark.text));
  }
  ROWS.forEach((row, i) => {
    const [y, x] = [step * i + 16, at(values[i])];
    const color = [COLORS.blue, COLORS.orange][i];
    root.append(
      svg("text", { x: left - 8, y: y + 5, "text-anchor": "end" }, row),
      svg("path", { d: `M${left},${y}H${x}`, stroke: color, "stroke-width": 3 }),
      svg("circle", { cx: x, cy: y, r: 6, fill: color }),
      svg("text", { x: left, y: y + 26, class: "strong" }, notes[i]));
  });
  return root;
}

function draw({ frame, fixed }) {
  return [
    panel({
      name: "held in memory", unit: "GB", values: frame.gigabytes,
      notes: frame.gigabytes.map((value) => `${plain(value)} GB`),
      least: 0.001, most: 100000, ticks: [0.01, 1, 100, 10000],
      mark: { value: fixed.memory, text: `one ${fixed.chip}` },
    }),
    panel({
      name: "least time of a step", unit: "ms", values: frame.milliseconds,
      notes: frame.milliseconds.map((value, i) =>
        `${plain(value)} ms, ${frame.intensity[i] < fixed.ridge ? "memory" : "arithmetic"} limits`),
      least: 0.001, most: 100000, ticks: [0.01, 1, 100, 10000],
    }),
  ];
}
