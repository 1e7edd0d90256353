// Charts as SVG. Whatever a ping holds, a chart has a bounded number of parts.

const MOST_BARS = 120;
const MOST_LABELS = 40;
const MOST_LANES = 12;
const MOST_POINTS = 1500;
const NS = "http://www.w3.org/2000/svg";
const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

/** Returns an SVG element; children are elements or texts. */
function s(tag, attributes, ...children) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function chart(width, height, label, ...children) {
  return s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label }, ...children);
}

function cut(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** Returns how much room labels take on the left. */
function leftOf(labels, width) {
  return Math.min(width * .38, Math.max(...labels.map((label) => label.length), 4) * 6.6 + 10);
}

/** Returns a number with its unit, such as `1.5 ms` for 1500000 and `ns`. */
export function show(number, unit = "") {
  if (typeof number === "bigint") return number.toLocaleString("en") + (unit ? ` ${unit}` : "");
  const steps = { ns: [1000, ["ns", "µs", "ms", "s"]], B: [1024, ["B", "KiB", "MiB", "GiB", "TiB"]] }[unit];
  if (!steps) return plain.format(number) + (unit ? ` ${unit}` : "");
  let place = 0;
  while (Math.abs(number) >= steps[0] && place < steps[1].length - 1) {
    number /= steps[0];
    place += 1;
  }
  return `${plain.format(number)} ${steps[1][place]}`;
}

/** Returns a histogram of `[lower bound, count]` pairs. */
export function histogram(pairs, unit, name, width) {
  const height = 132, base = height - 20, top = 16;
  const sorted = pairs.map(([from, count]) => [Number(from), Number(count)]).sort((a, b) => a[0] - b[0]);
  const size = Math.max(1, Math.ceil(sorted.length / MOST_BARS));
  const groups = [];
  for (let at = 0; at < sorted.length; at += size) {
    const members = sorted.slice(at, at + size);
    groups.push({ from: members[0][0], to: sorted[at + size]?.[0], count: members.reduce((sum, [, count]) => sum + count, 0) });
  }
  const most = Math.max(1, ...groups.map((group) => group.count));
  const step = Math.min(46, width / Math.max(1, groups.length));
  const bars = groups.map((group, place) => {
    const tall = Math.max(group.count ? 2 : 0, (base - top) * (group.count / most));
    const range = group.to === undefined ? `from ${show(group.from, unit)}` : `${show(group.from, unit)} to ${show(group.to, unit)}`;
    return s("rect", { class: "bar", x: place * step + .5, y: base - tall, width: Math.max(1, step - 1.5), height: tall, rx: Math.min(3, step / 4) },
      s("title", {}, `${range}: ${plain.format(group.count)}`));
  });
  const every = Math.max(1, Math.ceil(62 / step));
  const ticks = groups.filter((_, place) => place % every === 0 && place * step < width - 30)
    .map((group, index) => s("text", { x: index * every * step, y: height - 5 }, show(group.from, unit)));
  return chart(width, height, `Histogram of ${name}: ${sorted.length} buckets`,
    s("text", { x: 0, y: 10 }, `most in one bucket: ${plain.format(most)}`),
    s("line", { class: "axis", x1: 0, x2: width, y1: base, y2: base }), ...bars, ...ticks);
}

/** Returns horizontal bars of `[label, number]` pairs, the largest first. */
export function bars(pairs, name, width) {
  const sorted = pairs.map(([label, count]) => [label, Number(count)]).sort((a, b) => b[1] - a[1]);
  const shown = sorted.slice(0, MOST_LABELS);
  const most = Math.max(1, ...shown.map(([, count]) => count));
  const row = 24, left = leftOf(shown.map(([label]) => label), width), room = width - left - 74;
  const lines = shown.flatMap(([label, count], place) => [
    s("text", { class: "strong", x: left - 8, y: place * row + 16, "text-anchor": "end" }, cut(label, Math.floor(left / 6.6)), s("title", {}, label)),
    s("rect", { class: "bar", x: left, y: place * row + 4, width: Math.max(2, room * (Math.max(0, count) / most)), height: row - 8, rx: 3 }, s("title", {}, `${label}: ${plain.format(count)}`)),
    s("text", { class: "strong", x: left + Math.max(2, room * (Math.max(0, count) / most)) + 7, y: place * row + 16 }, plain.format(count)),
  ]);
  const rest = sorted.length - shown.length;
  if (rest) lines.push(s("text", { x: left, y: shown.length * row + 16 }, `and ${plain.format(rest)} more`));
  return chart(width, (shown.length + (rest ? 1 : 0)) * row + 2, `Bars of ${name}: ${sorted.length} labels`, ...lines);
}

/** Returns events over time, a lane for each of the most frequent names. */
export function timeline(events, width) {
  const counts = new Map();
  for (const event of events) counts.set(event.id, (counts.get(event.id) ?? 0) + 1);
  const names = [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name);
  const lanes = names.slice(0, MOST_LANES);
  if (names.length > MOST_LANES) lanes[MOST_LANES - 1] = `${names.length - MOST_LANES + 1} others`;
  const lane = new Map(names.map((name, place) => [name, Math.min(place, MOST_LANES - 1)]));
  const row = 28, left = leftOf(lanes, width), room = width - left - 14, height = lanes.length * row + 22;
  let first = Infinity, last = -Infinity;
  for (const { at } of events) {
    first = Math.min(first, at);
    last = Math.max(last, at);
  }
  const span = Math.max(1, last - first);
  const step = Math.ceil(events.length / MOST_POINTS);
  const points = events.filter((_, place) => place % step === 0).map((event) =>
    s("circle", { class: "point", cx: left + room * ((event.at - first) / span), cy: lane.get(event.id) * row + 14, r: 4.5, "fill-opacity": .75 },
      s("title", {}, `${event.id} after ${seconds(event.at - first)}`)));
  return chart(width, height, `Timeline of ${events.length} events over ${seconds(last - first)}`,
    ...lanes.flatMap((name, place) => [
      s("text", { class: "strong", x: left - 10, y: place * row + 18, "text-anchor": "end" }, cut(name, Math.floor(left / 6.6)), s("title", {}, name)),
      s("line", { class: "axis", x1: left, x2: width - 14, y1: place * row + 14, y2: place * row + 14 }),
    ]),
    ...points,
    s("text", { x: left, y: height - 4 }, "0 s"),
    s("text", { x: width - 14, y: height - 4, "text-anchor": "end" }, seconds(last - first)));
}

export function seconds(ms) {
  if (ms < 1000) return `${plain.format(ms)} ms`;
  return ms < 120_000 ? `${plain.format(ms / 1000)} s` : ms < 7_200_000 ? `${plain.format(ms / 60_000)} min` : `${plain.format(ms / 3_600_000)} h`;
}

/** Returns a line of one metric over pings; each point leads to its ping. */
export function line(points, name, width) {
  const height = 240, base = height - 24, left = 8, top = 22;
  const values = points.map(({ value }) => value);
  const low = Math.min(0, ...values), high = Math.max(low + 1e-9, ...values);
  const x = (place) => left + (width - 2 * left) * (points.length > 1 ? place / (points.length - 1) : .5);
  const y = (value) => base - (base - top) * ((value - low) / (high - low));
  const path = points.map(({ value }, place) => `${place ? "L" : "M"}${x(place).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  return s("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": `${name} over ${points.length} pings` },
    s("text", { x: left, y: 12 }, `from ${plain.format(Math.min(...values))} to ${plain.format(Math.max(...values))}`),
    s("line", { class: "axis", x1: left, x2: width - left, y1: base, y2: base }),
    s("path", { class: "path", d: path }),
    ...points.map(({ number, value, arrived_ms }, place) => {
      const told = `ping ${number}, ${new Date(arrived_ms).toLocaleTimeString()}: ${plain.format(value)}`;
      return s("a", { href: `#/ping/${number}`, "aria-label": told },
        s("circle", { class: "point", cx: x(place), cy: y(value), r: points.length > 100 ? 3 : 5 }, s("title", {}, told)));
    }),
    s("text", { x: left, y: height - 6 }, `ping ${points[0].number}`),
    s("text", { x: width - left, y: height - 6, "text-anchor": "end" }, `ping ${points[points.length - 1].number}`));
}
