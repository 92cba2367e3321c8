// Left where the time of a step goes, right what a device holds against its limit; both scales begin at 0.

const TINTS = ["blue", "orange", "grey", "purple", "green"];

function rows({ name, names, values, most, unit, limit, total, ok }) {
  const [left, full, step] = [122, 210, 34];
  const bottom = step * 5; // of both, so that they stand side by side
  const at = (value) => left + (full * Math.min(value, most)) / most;
  const spoken = names.map((row, i) => `${row} ${plain(values[i])} ${unit}`).join(", ");
  const root = svg("svg", { viewBox: `0 -40 390 ${bottom + 80}`, role: "img", "aria-label": `${name}: ${spoken}` },
    svg("text", { x: left, y: -22, class: "note" }, `${name} (${unit})`));
  let start = 0;
  names.forEach((row, i) => {
    const y = step * i;
    root.append(
      svg("text", { x: left - 8, y: y + 17, "text-anchor": "end" }, row),
      svg("rect", { x: at(start), y: y + 4, width: at(start + values[i]) - at(start), height: 18, fill: COLORS[TINTS[i]] }),
      svg("text", { x: left + full + 8, y: y + 18, class: "note" }, ok ? plain(values[i]) : ""));
    start += values[i];
  });
  if (limit) {
    root.append(
      svg("path", { d: `M${at(limit)},-8V${bottom}`, stroke: "currentColor", "stroke-dasharray": "5 4" }),
      svg("text", { x: at(limit), y: bottom + 16, "text-anchor": "middle", class: "note" }, `one H100: ${plain(limit)}`));
  }
  root.append(svg("text", { x: left, y: bottom + 36, class: "strong" }, total));
  return root;
}

function draw({ frame, fixed }) {
  const sum = (values) => values.reduce((one, other) => one + other, 0);
  const [seconds, gigabytes] = [sum(frame.seconds), sum(frame.gigabytes)];
  const ok = seconds > 0;
  return [
    rows({
      name: "time of a step", unit: "s", names: fixed.parts, values: frame.seconds, most: seconds || 1, ok,
      total: ok ? `${plain(seconds)} s${frame.fits ? "" : ", if it fitted"}` : "no such mesh",
    }),
    rows({
      name: "held by a device", unit: "GB", names: fixed.held, values: frame.gigabytes, most: 2 * fixed.limit, ok,
      limit: fixed.limit,
      total: ok ? `${plain(gigabytes)} GB: ${frame.fits ? "fits" : "does not fit"}` : "no such mesh",
    }),
  ];
}
