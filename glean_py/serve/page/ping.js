// The view of one ping.

import { bars, histogram, seconds, show, timeline } from "./charts.js";
import { ask, copyButton, h, plural, verdict } from "./dom.js";
import { fill, inline, parse, pretty } from "./json.js";

const MOST_METRICS = 300;
const MOST_EVENTS = 200;
const MOST_CHARACTERS = 200_000;
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isNumber = (value) => typeof value === "number" || typeof value === "bigint";
const isWide = (type) => /^(dual_)?labeled_|_distribution$|^(text|object)$/.test(type);
const UNITS = { timing_distribution: "ns", memory_distribution: "B" };

/** Returns the view of a ping. */
export async function showPing(number, status, width) {
  const [ping, text] = await Promise.all([
    ask(`api/pings/${number}?bodies=0`),
    fetch(`api/pings/${number}/body`).then((response) => response.text()),
  ]);
  const body = parse(text);
  const groups = Object.entries(isObject(body.metrics) ? body.metrics : {});
  const events = Array.isArray(body.events) ? body.events.filter(isObject) : [];
  return [
    head(ping, text),
    chips(ping),
    violations(ping, status),
    strangers(ping),
    h("div.two", {}, info("ping_info", body.ping_info), info("client_info", body.client_info)),
    h("div.many", {}, groups.filter(([type]) => !isWide(type)).map(([type, values]) => group(type, values, ping.registry, width))),
    ...groups.filter(([type]) => isWide(type)).map(([type, values]) => group(type, values, ping.registry, width)),
    events.length ? eventCard(events, ping.registry, width) : null,
    jsonCard(text, ping),
    sendAgain(ping, status),
  ].filter(Boolean);
}

function head(ping, text) {
  return h("div.head", {},
    h("a.button.back", { href: "#/" }, "← All pings"),
    h("h2", {}, ping.name || "(no name)"),
    h("div.row", {},
      copyButton("Copy JSON", () => pretty(text)),
      h("a.button", { href: `api/pings/${ping.number}/body?download`, download: `${ping.document_id}.json` }, "Download")));
}

function chips(ping) {
  const [kind, words] = verdict(ping);
  const parts = [
    [kind, words],
    ["", ping.application],
    ["", ping.reason && `reason ${ping.reason}`],
    ["", ping.seq !== null && `seq ${ping.seq}`],
    ["", ping.tag && `tag ${ping.tag}`],
    ["", `${ping.size.toLocaleString("en")} bytes`],
    ["", new Date(ping.arrived_ms).toLocaleString()],
    ["", ping.times > 1 && `arrived ${plural(ping.times, "time")}`],
  ];
  return h("ul.chips", { "aria-label": "About this ping" }, parts.filter(([, part]) => part).map(([name, part]) => h(name ? `li.${name}` : "li", {}, part)));
}

function violations(ping, status) {
  if (ping.violations === null) {
    return h("div.card.note", {}, status.unchecked || "This ping is too large to be checked against the schema: more than 512 KiB.");
  }
  if (!ping.violations.length) return null;
  return h("section.card.wrong", {}, h("h3", {}, "What the schema of pings does not allow"),
    h("ul.violations", {}, ping.violations.map(({ place, what }) => h("li", {}, h("code", {}, place), h("span", {}, what)))));
}

function strangers(ping) {
  const names = new Map();
  for (const [name, known] of Object.entries(ping.registry)) {
    if (known.problem) names.set(known.problem, [...(names.get(known.problem) ?? []), name]);
  }
  if (!names.size) return null;
  return h("section.card.note", {}, h("h3", {}, "Metrics that the registry did not expect"),
    h("ul.violations", {}, [...names].slice(0, 20).map(([problem, same]) => h("li", {}, h("code", {}, same.slice(0, 50).join(", ")), h("span", {}, problem)))));
}

function info(title, value) {
  const rows = Object.entries(isObject(value) ? value : {});
  return h("section.card", {}, h("h3", {}, title),
    rows.length
      ? h("dl", {}, rows.slice(0, 60).flatMap(([name, part]) => [h("dt", {}, name), h("dd", {}, typeof part === "string" ? part : inline(part))]))
      : h("p.muted", {}, "This ping has none."));
}

function group(type, values, registry, width) {
  const entries = isObject(values) ? Object.entries(values) : [["", values]];
  const rest = entries.length - MOST_METRICS;
  return h("section.card", {}, h("h3", {}, `${type} `, h("span.muted", {}, entries.length)),
    entries.slice(0, MOST_METRICS).map(([name, value]) => metric(type, name, value, registry[name], width)),
    rest > 0 ? h("p.muted", {}, `and ${rest.toLocaleString("en")} more, below in the JSON`) : null);
}

function metric(type, name, value, known, width) {
  const [short, wide] = present(type, name, value, known?.unit, width);
  return h("div.metric", {},
    h("a.name.mono", { href: `#/trend/${encodeURIComponent(name)}`, title: "Trend over pings" }, name),
    h("span.value", {}, short),
    wide.length ? h("div.wide", {}, wide) : null,
    about(known));
}

function about(known) {
  if (!known) return [];
  const links = (known.bugs ?? []).filter((bug) => /^https?:\/\//.test(bug))
    .map((bug) => [" ", h("a", { href: bug, rel: "noreferrer noopener", target: "_blank" }, bug.replace(/^https?:\/\//, ""))]);
  const expiry = known.expires ? ` Expires: ${known.expires}.` : "";
  return [
    known.problem ? h("p.problem", {}, `⚠ ${known.problem}`) : null,
    known.description ? h("p.about", {}, `${known.description}${expiry}`, links) : null,
  ];
}

/** Returns a short form of a value, and what needs the whole width. */
function present(type, name, value, unit, width) {
  if (type.endsWith("_distribution")) {
    const plain = type.replace(/^labeled_/, "");
    if (type === plain) return distribution(name, value, UNITS[plain] ?? unit ?? "", width);
    const labels = isObject(value) ? Object.entries(value) : [];
    return [plural(labels.length, "label"), labels.slice(0, 12).flatMap(([label, part]) => {
      const [short, wide] = distribution(`${name}, ${label}`, part, UNITS[plain] ?? unit ?? "", width);
      return [h("h4.mono", {}, label, " ", h("span.muted", {}, short)), wide];
    }).concat(labels.length > 12 ? h("p.muted", {}, `and ${labels.length - 12} more labels`) : [])];
  }
  if (type.startsWith("labeled_") || type === "dual_labeled_counter") return labeled(name, value, width);
  if (type === "timespan" && isObject(value) && isNumber(value.value)) return [`${show(value.value)} ${value.time_unit}${Number(value.value) === 1 ? "" : "s"}`, []];
  if (type === "rate" && isObject(value)) {
    const part = Number(value.numerator) / Number(value.denominator);
    return [Number.isFinite(part) ? `${show(part * 100)} %` : "–", [h("p.stats", {}, `${inline(value.numerator)} of ${inline(value.denominator)}`)]];
  }
  if (Array.isArray(value) && value.every((part) => typeof part === "string")) {
    return [plural(value.length, "item"), [h("ul.chips", {}, value.slice(0, 100).map((part) => h("li", {}, part)))]];
  }
  if (isNumber(value)) return [show(value, typeof unit === "string" ? unit : ""), []];
  if (typeof value === "string") return value.length > 60 ? ["", [h("p.long", {}, value.slice(0, 20_000))]] : [value, []];
  if (typeof value === "boolean") return [String(value), []];
  const block = h("pre", {});
  fill(block, inline(value), 20_000);
  return ["", [block]];
}

function distribution(name, value, unit, width) {
  const pairs = isObject(value) && isObject(value.values) ? Object.entries(value.values).filter(([from, count]) => Number.isFinite(Number(from)) && isNumber(count)) : [];
  const total = pairs.reduce((sum, [, count]) => sum + Number(count), 0);
  const mean = total ? Number(value.sum) / total : NaN;
  if (!pairs.length) return ["no sample", []];
  const numbers = h("details", {}, h("summary", {}, "As numbers"), table(["from", "samples"], pairs.filter(([, count]) => Number(count)).slice(0, 200)
    .map(([from, count]) => [show(Number(from), unit), show(count)])));
  return [Number.isFinite(mean) ? `${show(mean, unit)} on average` : "", [
    histogram(pairs, unit, name, width),
    h("p.stats", {}, h("span", {}, h("b", {}, show(total)), " samples"), h("span", {}, h("b", {}, show(Number(value.sum), unit)), " in total"), numbers)]];
}

function labeled(name, value, width) {
  const flat = [];
  for (const [label, part] of Object.entries(isObject(value) ? value : {})) {
    if (isObject(part)) for (const [second, count] of Object.entries(part)) flat.push([`${label} › ${second}`, count]);
    else flat.push([label, part]);
  }
  if (flat.length && flat.every(([, count]) => isNumber(count))) {
    return [show(flat.reduce((sum, [, count]) => sum + Number(count), 0)) + " in total", [bars(flat, name, width)]];
  }
  return [plural(flat.length, "label"), [table(["label", "value"], flat.slice(0, 200).map(([label, part]) => [label, typeof part === "string" ? part : inline(part)]))]];
}

function eventCard(events, registry, width) {
  const named = events.map((event) => ({ id: [event.category, event.name].filter(Boolean).join("."), at: Number(event.timestamp) || 0, extra: isObject(event.extra) ? event.extra : {} }));
  const first = named.reduce((least, { at }) => Math.min(least, at), Infinity);
  const rest = named.length - MOST_EVENTS;
  const problems = Object.entries(registry).filter(([name, known]) => known.description && named.some(({ id }) => id === name));
  return h("section.card", {}, h("h3", {}, "events ", h("span.muted", {}, named.length.toLocaleString("en"))),
    timeline(named, width),
    problems.slice(0, 50).map(([name, known]) => h("div.metric", {}, h("span.mono", {}, name), about(known))),
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Events as a table" }, table(["after", "event", "extras"], named.slice(0, MOST_EVENTS).map(({ at, id, extra }) =>
      [seconds(at - first), id, Object.entries(extra).slice(0, 60).map(([key, part]) => `${key}: ${typeof part === "string" ? part : inline(part)}`).join(", ")]))),
    rest > 0 ? h("p.muted", {}, `and ${rest.toLocaleString("en")} more, below in the JSON`) : null);
}

export function table(names, rows) {
  return h("table", {}, h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell))))));
}

function jsonCard(text, ping) {
  const block = h("pre", { tabindex: "0", "aria-label": "The ping as JSON" });
  const details = h("details.card", { toggle: () => {
    if (!details.open || block.firstChild) return;
    if (!fill(block, text, MOST_CHARACTERS)) {
      block.after(h("p.muted", {}, `This is its beginning; Download has all ${ping.size.toLocaleString("en")} bytes.`));
    }
  } }, h("summary", {}, "JSON"), block);
  details.open = text.length < 20_000;
  return details;
}

function sendAgain(ping, status) {
  const safe = (part) => encodeURIComponent(part).replace(/[!'()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16)}`);
  const path = ping.path.split("/").map((part) => {
    try {
      return safe(decodeURIComponent(part));
    } catch {
      return safe(part);
    }
  }).join("/");
  const tag = /^[A-Za-z0-9-]{1,20}$/.test(ping.tag) ? ` -H "X-Debug-ID: ${ping.tag}"` : "";
  const command = `curl -H "Content-Type: application/json"${tag} --data-binary @${ping.document_id}.json ${status.endpoint}${path}`;
  return h("section.card", {}, h("h3", {}, "Send it again"),
    h("p.muted", {}, "Download it, then, in the same folder:"),
    h("div.copy", {}, h("pre.command", {}, command), copyButton("Copy", () => command)));
}
