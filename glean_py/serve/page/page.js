// The page: the list, its filters, what arrives, faults, and which view is shown.

import { bars, line, show } from "./charts.js";
import { ask, copyButton, find, h, plural, say, verdict } from "./dom.js";
import { showPing, table } from "./ping.js";

const SELECTS = [["name", "All pings"], ["application", "All applications"], ["client_id", "All clients"], ["tag", "All tags"]];
// Made once: making one takes longer than a row of the list.
const CLOCK = new Intl.DateTimeFormat([], { hour: "numeric", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat([]);
const MOMENT = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "medium" });
// How many rows are made in one go, so that the page answers meanwhile.
const ROWS_AT_ONCE = 50;
const pings = new Map();
const rows = new Map();
const hues = new Map();
// The numbers of the pings that the collector found for text and metric; null while neither is asked for.
let found = null;
let status = null;
let view = 0;
let stream = null;
let isScheduled = false;
let arrived = [];
let lastRefusal = null;

// --- list -----------------------------------------------------------------------------------------------------------

/** Returns the colour of a name: the next one for each new name. */
function hue(name) {
  if (!hues.has(name)) hues.set(name, hues.size % 8);
  return hues.get(name);
}

function row(ping) {
  const [kind, words] = verdict(ping);
  const at = new Date(ping.arrived_ms);
  const today = at.toDateString() === new Date().toDateString();
  const facts = [
    ping.reason, ping.seq !== null && `seq ${ping.seq}`, plural(ping.metrics, "metric"), ping.client_id && ping.client_id.slice(0, 8),
    ping.tag && `#${ping.tag}`, ping.times > 1 && `${ping.times}×`,
  ];
  return h("li", {}, h("a", { href: `#/ping/${ping.number}`, tabindex: "-1", "data-number": ping.number },
    h(`span.dot.hue-${hue(ping.name)}`),
    h("b", {}, ping.name, h("span", {}, ` ${ping.application}`)),
    h("time", { datetime: at.toISOString(), title: MOMENT.format(at) }, (today ? CLOCK : DAY).format(at)),
    h("small", {}, facts.filter(Boolean).join(" · ")),
    h(`span.verdict.${kind}`, {}, kind === "ok" ? "✓ valid" : words)));
}

function isWanted(ping) {
  return (found === null || found.has(ping.number)) && SELECTS.every(([id]) => !find(id).value || find(id).value === ping[id]);
}

function schedule() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    render();
  });
}

function render() {
  fillSelects();
  const wanted = [...pings.values()].filter(isWanted).sort((a, b) => b.number - a.number);
  const list = find("list");
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.number : null;
  const fresh = new Set(arrived);
  for (const number of rows.keys()) if (!pings.has(number)) rows.delete(number);
  let made = 0;
  const shown = wanted.filter((ping) => rows.has(ping.number) || (made += 1) <= ROWS_AT_ONCE);
  list.replaceChildren(...shown.map((ping) => {
    let element = rows.get(ping.number);
    if (!element) rows.set(ping.number, element = row(ping));
    element.classList.toggle("new", fresh.has(ping.number));
    return element;
  }));
  if (shown.length < wanted.length) schedule();
  if (arrived.length) say(arrived.length === 1 ? `ping ${pings.get(arrived[0])?.name} arrived` : `${arrived.length} pings arrived`);
  arrived = [];
  mark();
  if (focused !== null) list.querySelector(`[data-number="${focused}"]`)?.focus({ preventScroll: true });
  const isFiltered = wanted.length < pings.size;
  find("count").textContent = isFiltered ? `${wanted.length} of ${plural(pings.size, "ping")}` : plural(pings.size, "ping");
  find("show-all").hidden = !isFiltering();
  document.body.classList.toggle("empty-list", pings.size === 0);
  document.title = pings.size ? `(${pings.size}) Glean collector` : "Glean collector";
  if (view === "start") showStart();
}

function fillSelects() {
  for (const [id, all] of SELECTS) {
    const select = find(id);
    const values = [...new Set([...pings.values()].map((ping) => ping[id]).filter(Boolean))].sort().slice(0, 200);
    if (select.value && !values.includes(select.value)) values.unshift(select.value);
    const known = [...select.options].map((option) => option.value).slice(1);
    if (select.options.length && known.join("\n") === values.join("\n")) continue;
    const chosen = select.value;
    select.replaceChildren(h("option", { value: "" }, all), ...values.map((value) => h("option", { value }, value)));
    select.value = chosen;
  }
}

/** Marks the ping that is shown; it is the one that Tab reaches. */
function mark() {
  const shown = location.hash.match(/^#\/ping\/(\d+)/)?.[1];
  const links = [...find("list").querySelectorAll("a")];
  const current = links.find((link) => link.dataset.number === shown);
  for (const link of links) {
    link.tabIndex = link === (current ?? links[0]) ? 0 : -1;
    if (link === current) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  return { links, current };
}

function move(step) {
  const { links, current } = mark();
  const focused = links.indexOf(document.activeElement);
  const place = focused >= 0 ? focused : links.indexOf(current);
  const next = links[Math.min(links.length - 1, Math.max(0, place + step))];
  if (!next) return;
  location.hash = next.getAttribute("href");
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

// --- filters --------------------------------------------------------------------------------------------------------

let pause = 0;

function isFiltering() {
  return Boolean(find("text").value || find("metric").value || SELECTS.some(([id]) => find(id).value));
}

/** Asks the collector which pings have the text and the metric, a moment after the last key. */
function search() {
  clearTimeout(pause);
  pause = setTimeout(async () => {
    const text = find("text").value, metric = find("metric").value;
    const answer = text || metric ? await ask(`api/pings?${new URLSearchParams({ bodies: "0", text, metric })}`) : null;
    if (text !== find("text").value || metric !== find("metric").value) return;
    found = answer && new Set(answer.pings.map((ping) => ping.number));
    schedule();
  }, 120);
}

function reset() {
  find("filters").reset();
  found = null;
  schedule();
}

// --- views ----------------------------------------------------------------------------------------------------------

function width() {
  const style = getComputedStyle(find("main"));
  return Math.max(250, Math.min(960, find("main").clientWidth - parseFloat(style.paddingLeft) * 2) - 42);
}

async function route() {
  const [, what, which] = location.hash.split("/");
  const wanted = ++turn;
  document.body.classList.toggle("reading", what === "ping" || what === "trend");
  mark();
  let content = null;
  view = what === "ping" || what === "trend" ? what : "start";
  if (view === "start") {
    showStart();
    return;
  }
  try {
    content = what === "ping" ? await showPing(Number(which), status, width()) : await showTrend(decodeURIComponent(which ?? ""));
  } catch (error) {
    content = [h("div.head", {}, h("a.button.back", { href: "#/" }, "← All pings"), h("h2", {}, "Not here")), h("p", {}, error.message)];
  }
  // Another view may have been asked for meanwhile.
  if (wanted !== turn) return;
  find("main").replaceChildren(...content);
  find("main").scrollTop = 0;
}

let turn = 0;

function showStart() {
  if (pings.size === 0) {
    find("main").replaceChildren(emptyState());
    return;
  }
  const counts = new Map();
  let wrong = 0;
  for (const ping of pings.values()) {
    counts.set(ping.name, (counts.get(ping.name) ?? 0) + 1);
    if (ping.violations?.length) wrong += 1;
  }
  find("main").replaceChildren(
    h("div.head", {}, h("h2", {}, plural(pings.size, "ping"))),
    h("section.card", {}, h("h3", {}, "By name"), bars([...counts], "pings by name", width())),
    h("section.card", {}, h("h3", {}, "Schema"), h("p", {}, status.unchecked || (wrong ? `${plural(wrong, "ping")} with violations` : "Every ping that was checked is valid."))),
    h("p.muted", {}, `Choose a ping to see what is in it. The newest ${status.keep} are kept${status.store ? ` in ${status.store}` : " in memory"}. Keys: / searches, j and k go through the list, Esc comes back here.`));
}

function emptyState() {
  const address = status.endpoint === "http://127.0.0.1:8125" ? "1" : status.endpoint;
  const step = (words, command) => h("li", {}, h("p", {}, words), h("div.copy", {}, h("pre.command", {}, command), copyButton("Copy", () => command)));
  return h("div.empty", {},
    h("img.pulse", { src: "icon.svg", alt: "", width: "64", height: "64" }),
    h("h2", {}, "Waiting for the first ping"),
    h("p.muted", {}, "Start a program that records telemetry. Its pings appear here as they come."),
    h("ol.steps", {},
      step("A program with glean_py, as it is; it sends a copy of each ping:", `GLEAN_DEBUG_COLLECTOR=${address} python your_program.py`),
      step("The same in PowerShell:", `$env:GLEAN_DEBUG_COLLECTOR="${address}"; python your_program.py`),
      step("Any program with Glean, glean-sdk too; it sends the pings themselves:", `Configuration(server_endpoint="${status.endpoint}")`),
      step("Nothing comes? This tells what waits in the program's data directory:", "python -m glean_py status DATA_DIR")));
}

async function showTrend(name) {
  const { metrics } = await ask("api/metrics");
  const numbers = metrics.filter((metric) => metric.is_number);
  const { points } = name ? await ask(`api/trend?${new URLSearchParams({ metric: name })}`) : { points: [] };
  const select = h("select", { "aria-label": "Metric of the trend", change: () => { location.hash = `#/trend/${encodeURIComponent(select.value)}`; } },
    h("option", { value: "" }, "Choose a metric"),
    numbers.map((metric) => h("option", { value: metric.name, selected: metric.name === name }, `${metric.name} (${metric.type}, ${plural(metric.pings, "ping")})`)));
  const type = points[0]?.type ?? "";
  const what = { event: "How often it happened", rate: "Numerator by denominator", boolean: "1 for true" }[type]
    ?? (type.includes("distribution") ? "The mean of its samples" : type.includes("labeled") ? "Its value, labels together" : "Its value");
  return [
    h("div.head", {}, h("a.button.back", { href: "#/" }, "← All pings"), h("h2", {}, "Trend over pings")),
    h("section.card", {}, select,
      !name ? h("p.muted", {}, "A point for each ping that has the metric; it leads to the ping.")
        : points.length ? [h("p.muted", {}, what), line(points, name, width()),
          h("details", {}, h("summary", {}, "As numbers"), table(["ping", "arrived", "value"], points.slice(-200).map((point) =>
            [h("a", { href: `#/ping/${point.number}` }, `${point.number} ${point.name}`), new Date(point.arrived_ms).toLocaleString(), show(point.value)])))]
          : h("p.muted", {}, "No ping here has a number for this metric.")),
  ];
}

// --- what the collector tells ---------------------------------------------------------------------------------------

function add(ping) {
  if (!pings.has(ping.number)) arrived.push(ping.number);
  pings.set(ping.number, ping);
  rows.delete(ping.number);
  while (pings.size > status.keep) pings.delete(pings.keys().next().value);
}

function showBanners() {
  const { faults } = status;
  const parts = [
    faults.delay && `${faults.delay} s of delay`, faults.status && `status ${faults.status}`, faults.retry_after && `Retry-After ${faults.retry_after} s`,
    faults.cut && "connections are cut", faults.times && `the next ${plural(faults.times, "submission")}`,
  ].filter(Boolean);
  const banners = [];
  if (parts.length) banners.push(h("div.banner", { role: "status" }, `Submissions fail, as asked: ${parts.join(", ")}.`, h("button", { type: "button", click: () => setFaults("DELETE") }, "No faults")));
  if (lastRefusal) {
    banners.push(h("div.banner.bad", { role: "status" }, `${plural(status.refused, "submission")} refused; the last with ${lastRefusal.status}: ${lastRefusal.reason}`,
      h("button", { type: "button", click: () => { lastRefusal = null; showBanners(); } }, "Hide")));
  }
  find("banners").replaceChildren(...banners);
}

/** Takes over what the collector has, and returns the position in its changes. */
function take(answer) {
  pings.clear();
  rows.clear();
  for (const ping of answer.pings) pings.set(ping.number, ping);
  render();
  return answer.position;
}

/** Returns what the document came with, status and the newest pings, at the first call; null where it came with nothing. */
function brought() {
  const element = find("first");
  element?.remove();
  return JSON.parse(element?.textContent ?? "null");
}

async function load() {
  const [facts, first] = brought()
    ?? await Promise.all([ask("api/status"), pings.size ? null : ask(`api/pings?bodies=0&newest=${ROWS_AT_ONCE}`)]);
  status = facts;
  showBanners();
  const position = first && take(first);
  if (first && first.pings.length < ROWS_AT_ONCE) return position;
  return take(await ask("api/pings?bodies=0"));
}

function setLive(kind, text) {
  find("live").className = `live ${kind}`;
  find("live").textContent = text;
}

function listen(position) {
  stream?.close();
  stream = new EventSource(`api/events?since=${position}`);
  const on = (kind, act) => stream.addEventListener(kind, (event) => act(JSON.parse(event.data)));
  stream.onopen = () => setLive("on", "live");
  stream.onerror = () => {
    setLive("off", "not running: python -m glean_py serve");
    // A browser gives up on a server that answers otherwise.
    if (stream.readyState === EventSource.CLOSED) setTimeout(begin, 2000);
  };
  on("ping", (ping) => {
    add(ping);
    if (find("text").value || find("metric").value) search();
    schedule();
  });
  on("refused", (refusal) => {
    lastRefusal = refusal;
    status.refused = refusal.count;
    showBanners();
  });
  on("faults", (faults) => {
    status.faults = faults;
    showBanners();
  });
  on("cleared", () => {
    pings.clear();
    if (location.hash.startsWith("#/ping")) location.hash = "#/";
    schedule();
  });
  on("reset", () => begin());
}

async function begin() {
  try {
    listen(await load());
  } catch {
    setLive("off", "not running: python -m glean_py serve");
    setTimeout(begin, 2000);
    return;
  }
  if (view !== "start") mark();
  else await route();
}

// --- faults ---------------------------------------------------------------------------------------------------------

async function setFaults(method, query = "") {
  status.faults = await ask(`api/faults${query}`, method);
  showBanners();
}

function openFaults() {
  const { faults } = status;
  for (const name of ["status", "retry-after", "delay", "times"]) find(`fault-${name}`).value = faults[name.replace("-", "_")] || "";
  find("fault-cut").checked = faults.cut;
  find("fault-error").textContent = "";
  find("faults").showModal();
}

async function applyFaults(event) {
  event.preventDefault();
  const query = new URLSearchParams();
  for (const name of ["status", "retry-after", "delay", "times"]) if (find(`fault-${name}`).value) query.set(name, find(`fault-${name}`).value);
  if (find("fault-cut").checked) query.set("cut", "");
  try {
    await setFaults("PUT", `?${query}`);
    find("faults").close();
  } catch (error) {
    find("fault-error").textContent = error.message;
  }
}

// --- colours and keys -----------------------------------------------------------------------------------------------

const THEMES = [["", "light dark", "◐", "as the system"], ["light", "light", "☀", "light"], ["dark", "dark", "☾", "dark"]];

function setTheme(place) {
  const [name, scheme, sign, words] = THEMES[place];
  document.documentElement.style.colorScheme = scheme;
  find("theme").textContent = sign;
  find("theme").setAttribute("aria-label", `Colours: ${words}`);
  find("theme").title = `Colours: ${words}`;
  localStorage.setItem("theme", name);
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const isWriting = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape") {
    if (isWriting) event.target.blur();
    else location.hash = "#/";
    return;
  }
  if (isWriting) return;
  const step = { j: 1, k: -1, ...(find("list").contains(event.target) ? { ArrowDown: 1, ArrowUp: -1 } : {}) }[event.key];
  if (step) {
    event.preventDefault();
    move(step);
  } else if (event.key === "/") {
    event.preventDefault();
    find("text").focus();
  }
}

let theme = Math.max(0, THEMES.findIndex(([name]) => name === localStorage.getItem("theme")));
setTheme(theme);
find("theme").addEventListener("click", () => setTheme(theme = (theme + 1) % THEMES.length));
find("filters").addEventListener("submit", (event) => event.preventDefault());
for (const [id] of SELECTS) find(id).addEventListener("change", schedule);
for (const id of ["text", "metric"]) find(id).addEventListener("input", search);
find("metric").addEventListener("focus", async () => {
  const { metrics } = await ask("api/metrics");
  find("metric-names").replaceChildren(...metrics.slice(0, 1000).map(({ name }) => h("option", { value: name })));
});
find("show-all").addEventListener("click", reset);
find("clear").addEventListener("click", () => ask("api/pings", "DELETE"));
find("open-faults").addEventListener("click", openFaults);
find("faults-form").addEventListener("submit", applyFaults);
find("no-faults").addEventListener("click", async () => {
  await setFaults("DELETE");
  find("faults").close();
});
find("close-faults").addEventListener("click", () => find("faults").close());
addEventListener("hashchange", route);
addEventListener("keydown", press);
// A browser has few connections for one server, so a page that nobody sees gives its own back.
addEventListener("visibilitychange", () => {
  if (document.hidden) stream?.close();
  else begin();
});
await begin();
if (view !== "start") await route();
