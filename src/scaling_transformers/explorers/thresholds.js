// Left the run against the threshold, right its cost against what five budgets hold for a year; both scales are
// logarithmic. A bar is the interval of 90 %.

const [LEFT, RIGHT] = [14, 330];

// How many times a budget, or what share of it, in two digits.
const share = (value) => value > 1
  ? `${value.toLocaleString("en-US", { maximumSignificantDigits: 2 })} times`
  : `${(100 * value).toLocaleString("en-US", { maximumSignificantDigits: 2 })} %`;

// An empty panel with its axis, and where on it a value lies.
function axis({ range: [least, most], ticks, height, name, spoken }) {
  const at = (value) =>
    LEFT + ((RIGHT - LEFT) * Math.log(Math.min(Math.max(value, least), most) / least)) / Math.log(most / least);
  const root = svg("svg", { viewBox: `0 -34 344 ${height + 84}`, role: "img", "aria-label": `${name}: ${spoken}` },
    svg("text", { x: LEFT, y: height + 40, class: "note" }, name));
  for (const tick of ticks) {
    root.append(
      svg("path", { d: `M${at(tick)},-8V${height}`, stroke: "currentColor", "stroke-opacity": 0.2 }),
      svg("text", { x: at(tick), y: height + 18, "text-anchor": "middle", class: "note" }, tick.toExponential(0).replace("+", "")));
  }
  return { root, at };
}

function bar(at, [low, middle, high], y, color) {
  return [
    svg("path", { d: `M${at(low)},${y}H${at(high)}`, stroke: color, "stroke-width": 8, "stroke-opacity": 0.45 }),
    svg("circle", { cx: at(middle), cy: y, r: 6, fill: color }),
  ];
}

function draw({ frame, fixed }) {
  const run = axis({
    range: fixed.operations, ticks: [1e20, 1e22, 1e24, 1e26, 1e28], height: 150,
    name: "training (FLOPs)", spoken: `above the threshold with a chance of ${frame.chance}`,
  });
  run.root.append(
    ...bar(run.at, frame.operations, 60, COLORS.blue),
    svg("path", { d: `M${run.at(frame.threshold)},-8V150`, stroke: "currentColor", "stroke-dasharray": "5 4" }),
    svg("text", { x: run.at(frame.threshold), y: -16, "text-anchor": "middle", class: "note" }, "threshold"),
    svg("text", { x: LEFT, y: 110, class: "strong" }, `chance to be above: ${frame.chance}`));
  const money = axis({
    range: fixed.dollars, ticks: [1e3, 1e5, 1e7, 1e9, 1e11], height: 150,
    name: "cost, and budgets for one year (dollars)", spoken: fixed.budgets.map((b, i) => `${b.label} ${share(frame.shares[i])}`).join(", "),
  });
  money.root.append(
    ...bar(money.at, frame.cost, 4, COLORS.orange),
    svg("path", { d: `M${money.at(frame.cost[1])},10V150`, stroke: COLORS.orange, "stroke-dasharray": "2 3", "stroke-opacity": 0.5 }));
  fixed.budgets.forEach(({ label, dollars }, i) => {
    const [x, y, covered] = [money.at(dollars), 34 + 26 * i, frame.shares[i] <= 1];
    const right = x < (LEFT + RIGHT) / 2;
    money.root.append(
      svg("path", { d: `M${x},${y - 8}V${y + 8}`, stroke: COLORS.green, "stroke-width": covered ? 6 : 2 }),
      svg("text", { x: right ? x + 9 : x - 9, y: y + 4, "text-anchor": right ? "start" : "end", class: "note" },
        `${label}: ${share(frame.shares[i])}`));
  });
  return [run.root, money.root];
}
