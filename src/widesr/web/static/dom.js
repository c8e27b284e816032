// Small help with the document: nothing is ever parsed as HTML.

/** Find an element that is in the page by its id. */
export function $(id) {
  return document.getElementById(id);
}

/** Make an element with properties and children. */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("aria-") || key === "for" || key === "role") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

/** Make one of the page's symbols. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** Bytes as people write them. */
export function readableSize(bytes) {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${Math.max(Math.round(bytes / 1e3), 1)} kB`;
}

/** Seconds as people say them. */
export function readableTime(seconds) {
  if (seconds < 1.5) return "a second";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

let hiding;

/** Say something at the foot of the page, for a while. */
export function notify(text, { stays = false } = {}) {
  const notice = $("notice");
  notice.querySelector("p").textContent = text;
  notice.hidden = false;
  clearTimeout(hiding);
  if (!stays) hiding = setTimeout(() => { notice.hidden = true; }, 7000);
}

/** Tell those who do not see the page. */
export function announce(text) {
  $("live").textContent = text;
}
