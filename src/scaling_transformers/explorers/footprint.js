// Households a year on a logarithmic scale: training, use, and the whole life, each with energy and carbon.

const ROWS = ["training", "use", "whole life"];

function draw({ frame, fixed }) {
  const [left, full, step, least, most] = [82, 330, 62, 1e-4, 1e6];
  const at = (value) => left + (full * Math.log(Math.min(Math.max(value, least), most) / least)) / Math.log(most / least);
  const bottom = step * ROWS.length;
  const [low, high] = fixed.several;
  const root = svg("svg", { viewBox: `0 -34 430 ${bottom + 84}`, role: "img", "aria-label": `Households a year. ${frame.summary}` },
    svg("rect", { x: at(low), y: -8, width: at(high) - at(low), height: bottom + 8, fill: "currentColor", "fill-opacity": 0.15 }),
    svg("text", { x: (at(low) + at(high)) / 2, y: -16, "text-anchor": "middle", class: "note" }, "several"),
    svg("text", { x: left, y: bottom + 40, class: "note" }, "US households for a year"));
  for (const [tick, text] of [[1e-4, "0.0001"], [0.01, "0.01"], [1, "1"], [100, "100"], [1e4, "10,000"], [1e6, "1 M"]]) {
    root.append(
      svg("path", { d: `M${at(tick)},-8V${bottom}`, stroke: "currentColor", "stroke-opacity": 0.2 }),
      svg("text", { x: at(tick), y: bottom + 18, "text-anchor": "middle", class: "note" }, text));
  }
  ROWS.forEach((row, i) => {
    const y = step * i + 16;
    root.append(svg("text", { x: left - 8, y: y + 5, "text-anchor": "end" }, row));
    const note = { x: left, y: y + 26, class: "strong" };
    if (i >= frame.households.length) {
      root.append(svg("text", note, i === 1 ? "none" : "training alone"));
      return;
    }
    const [x, color] = [at(frame.households[i]), [COLORS.blue, COLORS.orange, COLORS.green][i]];
    root.append(
      svg("path", { d: `M${left},${y}H${x}`, stroke: color, "stroke-width": 3 }),
      svg("circle", { cx: x, cy: y, r: 6, fill: color }),
      svg("text", note, `${plain(frame.megawatthours[i])} MWh, ${plain(frame.tonnes[i])} t CO2e`));
  });
  return [root];
}
