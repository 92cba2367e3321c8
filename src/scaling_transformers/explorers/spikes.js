// Left the energy of a pass by part, dense (filled) above spiking (outlined), from 0; right the ratio of the two over
// the firing rate, both scales logarithmic.

// The energy's own scale: steps of 1, 2 or 5 times a power of ten, three to six of them.
function ticksUpTo(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [0.2, 0.5, 1, 2].map((factor) => factor * power).find((size) => most / size <= 5);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}

function energies({ frame, fixed }) {
  const [left, wide, step] = [92, 222, 48];
  const rows = [...fixed.parts.map((part, i) => [part, frame.parts.map((parts) => parts[i])]), ["all", frame.all]];
  const most = Math.max(...frame.all);
  const at = (value) => left + (wide * value) / most;
  const bottom = step * rows.length;
  const spoken = rows.map(([part, [dense, spiking]]) => `${part} dense ${plain(dense)}, spiking ${plain(spiking)}`).join("; ");
  const bars = [
    { name: "dense", color: COLORS.blue, style: { fill: COLORS.blue } },
    { name: "spiking", color: COLORS.orange, style: { fill: COLORS.orange, "fill-opacity": 0.2, stroke: COLORS.orange, "stroke-width": 1.5 } },
  ];
  const root = svg("svg", { viewBox: `0 -40 390 ${bottom + 110}`, role: "img", "aria-label": `Energy of a pass in pJ: ${spoken}` },
    svg("text", { x: left, y: bottom + 40, class: "note" }, "energy of a pass (pJ)"));
  for (const tick of ticksUpTo(most)) {
    root.append(
      svg("path", { d: `M${at(tick)},-8V${bottom}`, stroke: "currentColor", "stroke-opacity": 0.2 }),
      svg("text", { x: at(tick), y: bottom + 18, "text-anchor": "middle", class: "note" }, plain(tick)));
  }
  bars.forEach(({ name, color, style }, j) => {
    const x = left + 100 * j;
    root.append(
      svg("path", { d: `M${x},-30h14v12h-14Z`, ...style }),
      svg("text", { x: x + 20, y: -19, fill: color }, name));
    rows.forEach(([, values], i) => {
      const y = step * i + 5 + 20 * j;
      root.append(
        svg("rect", { x: left, y: y + 1, width: at(values[j]) - left, height: 15, ...style }),
        svg("text", { x: 386, y: y + 13, "text-anchor": "end", class: i === rows.length - 1 ? "strong" : "note" }, plain(values[j])));
    });
  });
  rows.forEach(([part], i) => root.append(
    svg("text", { x: left - 8, y: step * i + 29, "text-anchor": "end", ...(part === "all" && { "font-weight": 700 }) }, part)));
  return root;
}

function ratios({ frame, fixed }) {
  const [left, right, top, bottom] = [52, 372, -8, 192];
  const [slow, fast] = [0.01, 0.5];
  const [least, most] = [0.003, 20];
  const x = (rate) => left + ((right - left) * Math.log(rate / slow)) / Math.log(fast / slow);
  const y = (ratio) => bottom + ((top - bottom) * Math.log(ratio / least)) / Math.log(most / least);
  const even = frame.even <= 0 ? "never cheaper" : frame.even > 1 ? "cheaper at any rate" : `even at ${plain(100 * frame.even)} %`;
  const root = svg("svg", {
    viewBox: "0 -40 390 302", role: "img",
    "aria-label": `Energy, spiking over dense, by firing rate: ${fixed.rates.map((rate, i) => `at ${100 * rate} % ${plain(frame.ratios[i])}`).join(", ")}; ${even}`,
  },
    svg("text", { x: 4, y: -24, class: "note" }, "energy, spiking / dense"),
    svg("text", { x: left, y: bottom + 60, class: "strong" }, `${plain(frame.ratio)} at ${plain(100 * frame.rate)} %, ${even}`),
    svg("text", { x: (left + right) / 2, y: bottom + 40, "text-anchor": "middle", class: "note" }, "firing rate (% of steps)"));
  for (const rate of fixed.rates) {
    root.append(
      svg("path", { d: `M${x(rate)},${top}V${bottom}`, stroke: "currentColor", "stroke-opacity": 0.2 }),
      svg("text", { x: x(rate), y: bottom + 18, "text-anchor": "middle", class: "note" }, plain(100 * rate)));
  }
  for (const ratio of [0.01, 0.1, 1, 10]) {
    root.append(
      svg("path", { d: `M${left},${y(ratio)}H${right}`, stroke: "currentColor", ...(ratio === 1 ? { "stroke-dasharray": "5 4" } : { "stroke-opacity": 0.2 }) }),
      svg("text", { x: left - 6, y: y(ratio) + 4, "text-anchor": "end", class: "note" }, plain(ratio)));
  }
  root.append(svg("path", {
    d: frame.ratios.map((ratio, i) => `${i ? "L" : "M"}${x(fixed.rates[i])},${y(ratio)}`).join(""),
    stroke: COLORS.green, "stroke-width": 2, fill: "none",
  }));
  root.append(svg("circle", { cx: x(frame.rate), cy: y(frame.ratio), r: 7, fill: COLORS.green }));
  return root;
}

function draw(view) {
  return [energies(view), ratios(view)];
}
