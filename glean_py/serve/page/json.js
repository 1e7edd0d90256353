// JSON as text: nothing of it changes, whatever a number in JavaScript can hold.

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/g;

/** Returns the parts of a JSON text, laid out, as `[class, text]`; stops after `most` characters. */
function* layOut(text, most) {
  let depth = 0, done = 0, last = "";
  TOKEN.lastIndex = 0;
  for (let found = TOKEN.exec(text); found; found = TOKEN.exec(text)) {
    const [token] = found;
    const closes = token === "}" || token === "]";
    const isEmpty = closes && (last === "{" || last === "[");
    if (closes) depth -= 1;
    let lead = "";
    if (last === ":") lead = " ";
    else if (last && token !== ":" && token !== "," && !isEmpty) lead = `\n${"  ".repeat(depth)}`;
    if (token === "{" || token === "[") depth += 1;
    let kind = "";
    if (token[0] === '"') kind = /^\s*:/.test(text.slice(TOKEN.lastIndex, TOKEN.lastIndex + 20)) ? "j-key" : "j-text";
    else if (!"{}[]:,".includes(token)) kind = "j-number";
    if (lead) yield ["", lead];
    yield [kind, token];
    done += lead.length + token.length;
    if (done > most) return;
    last = token;
  }
}

/** Returns JSON text laid out in lines. */
export function pretty(text) {
  return [...layOut(text, Infinity)].map(([, part]) => part).join("");
}

/** Fills an element with JSON, coloured; returns whether all of it fits into `most` characters. */
export function fill(element, text, most) {
  let plain = "", length = 0;
  for (const [kind, part] of layOut(text, most)) {
    length += 1;
    if (!kind || length > 4000) {
      plain += part;
      continue;
    }
    const span = document.createElement("span");
    span.className = kind;
    span.textContent = part;
    element.append(plain, span);
    plain = "";
  }
  element.append(plain);
  return text.length <= most;
}

/** Returns what a JSON text says; whole numbers too large for JavaScript's own stay exact where the browser can. */
export function parse(text) {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  return JSON.parse(text, (key, value, context) =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "") ? BigInt(context.source) : value);
}

/** Returns a value as one line of JSON. */
export function inline(value) {
  return JSON.stringify(value, (key, part) => (typeof part === "bigint" ? Number(part) : part)) ?? "";
}
