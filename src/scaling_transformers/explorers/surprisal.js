// Left the surprisal of each word, right the time that reading it would take; the word of most surprise is orange and
// marked with a triangle.

const [LEFT, WIDE, STEP] = [92, 240, 27];

function axes({ frame, name, ticks, at, spoken }) {
  const bottom = STEP * frame.words.length;
  const root = svg("svg", { viewBox: `0 -34 390 ${bottom + 82}`, role: "img", "aria-label": `${name}: ${spoken}` },
    svg("text", { x: LEFT, y: bottom + 38, class: "note" }, name));
  for (const tick of ticks) {
    root.append(
      svg("path", { d: `M${at(tick)},-4V${bottom}`, stroke: "currentColor", "stroke-opacity": 0.2 }),
      svg("text", { x: at(tick), y: bottom + 18, "text-anchor": "middle", class: "note" }, String(tick)));
  }
  frame.words.forEach((word, i) => root.append(
    svg("text", { x: LEFT - 8, y: STEP * i + 18, "text-anchor": "end", ...(i === frame.top && { "font-weight": 700 }) }, word)));
  return root;
}

const line = (x, bottom, text) => [
  svg("path", { d: `M${x},-8V${bottom}`, stroke: "currentColor", "stroke-dasharray": "5 4" }),
  svg("text", { x, y: -15, "text-anchor": "middle", class: "note" }, text),
];

function bits({ frame }) {
  const at = (value) => LEFT + (WIDE * value) / 40;
  const root = axes({
    frame, name: "surprisal (bits)", ticks: [0, 10, 20, 30, 40], at,
    spoken: frame.words.map((word, i) => `${word} ${plain(frame.bits[i])}`).join(" "),
  });
  root.append(...line(at(frame.mean), STEP * frame.words.length, `mean ${plain(frame.mean)}`));
  frame.words.forEach((word, i) => {
    const [y, x] = [STEP * i, at(frame.bits[i])];
    const color = i === frame.top ? COLORS.orange : COLORS.blue;
    root.append(
      svg("rect", { x: LEFT, y: y + 5, width: x - LEFT, height: STEP - 10, fill: color }),
      svg("text", { x: 386, y: y + 18, "text-anchor": "end", ...(i === frame.top && { class: "strong" }) },
        `${i === frame.top ? "◀ " : ""}${plain(frame.bits[i])}`));
  });
  return root;
}

function times({ frame, fixed }) {
  const at = (value) => LEFT + (WIDE * (value - 320)) / 80;
  const root = axes({
    frame, name: "predicted reading time (ms)", ticks: [320, 340, 360, 380, 400], at,
    spoken: frame.words.map((word, i) => `${word} ${plain(frame.milliseconds[i])}`).join(" "),
  });
  root.append(...line(at(fixed.base), STEP * frame.words.length, `no surprise: ${plain(fixed.base)}`));
  root.append(svg("path", {
    d: frame.milliseconds.map((time, i) => `${i ? "L" : "M"}${at(time)},${STEP * i + 14}`).join(""),
    stroke: COLORS.green, fill: "none", "stroke-opacity": 0.6,
  }));
  frame.words.forEach((word, i) => {
    const [y, x] = [STEP * i + 14, at(frame.milliseconds[i])];
    root.append(
      i === frame.top
        ? svg("path", { d: `M${x - 8},${y}l12,-8v16Z`, fill: COLORS.orange })
        : svg("circle", { cx: x, cy: y, r: 5, fill: COLORS.green }),
      svg("text", { x: 386, y: y + 4, "text-anchor": "end", ...(i === frame.top && { class: "strong" }) }, plain(frame.milliseconds[i])));
  });
  return root;
}

function draw(view) {
  return [bits(view), times(view)];
}
