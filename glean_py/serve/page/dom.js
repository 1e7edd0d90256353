// What all views are made of. Texts of pings get into the page as text alone, never as markup.

/** Returns an element: `h("p.muted", {title: "…"}, "text", child)`. Functions are event listeners, `null` is left out. */
export function h(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const find = (id) => document.getElementById(id);

/** Asks the collector and returns its JSON; raises an Error with its words. */
export async function ask(path, method = "GET") {
  const response = await fetch(path, { method });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** Says something to who listens to the page. */
export function say(text) {
  find("said").textContent = text;
}

/** Returns a button that copies what `make` returns. */
export function copyButton(label, make) {
  return h("button", { type: "button", click: async (event) => {
    const button = event.currentTarget;
    try {
      await navigator.clipboard.writeText(make());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    say(button.textContent);
    setTimeout(() => { button.textContent = label; }, 1500);
  } }, label);
}

const NUMBER = new Intl.NumberFormat("en");

export function plural(count, noun) {
  return `${NUMBER.format(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** Returns the verdict of the schema as its class and its words. */
export function verdict({ violations }) {
  if (violations === null) return ["open", "not checked"];
  return violations.length ? ["wrong", `✕ ${plural(violations.length, "violation")}`] : ["ok", "✓ valid"];
}
