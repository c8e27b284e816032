// What people choose, remembered in this browser alone.

import { $, make } from "./dom.js";

const KEY = "widesr";
const DEFAULTS = { size: "2", longest: 3840, model: "default", compare: "", format: "", quality: 95,
                   crisp: 1, metadata: true, consistent: false, theme: "auto", beside: false };
const LOSSY = ["jpg", "webp", "avif", ""];
const TITLES = { fast: "Fast", default: "Default", best: "Best", realistic: "Realistic", crisp: "Crisp",
                 bicubic: "Bicubic", nearest: "Nearest" };
const CARDS = ["fast", "default", "best", "realistic", "crisp"];
const ABOUT = { fast: "The quickest", default: "The usual one", best: "Sharpest, slower", realistic: "JPEG and noise",
                crisp: "Invents detail that looks real" };
const WAYS = { "deinterlace=true": "Deinterlace", "damaged=repeat": "Repeat the frames before", "metadata=keep": "Keep metadata" };

/** The choices of this browser; `set` remembers one. */
export const options = { ...DEFAULTS, ...stored() };

function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY)) ?? {};
    return Object.fromEntries(Object.entries(found).filter(([key, value]) => typeof value === typeof DEFAULTS[key]));
  } catch {
    return {};
  }
}

/** Change a choice and remember it. */
export function set(key, value) {
  options[key] = value;
  try {
    localStorage.setItem(KEY, JSON.stringify(options));
  } catch { /* a browser that keeps nothing */ }
}

/** Name a model as people read it. */
export function titleOf(model) {
  const [name, share] = model.split(":");
  return (TITLES[name] ?? name) + (share ? ` ${Math.round(100 * share)} %` : "");
}

/** The query of a picture or a clip, by a model. */
export function queryOf(model, isClip) {
  const query = { model: model === "crisp" && options.crisp < 1 ? `crisp:${options.crisp}` : model };
  if (options.size === "longest") query.longest = options.longest;
  else query.scale = options.size;
  if (options.format && !isClip) query.format = options.format;
  if (LOSSY.includes(options.format) && !isClip) query.quality = options.quality;
  if (!options.metadata) query.metadata = "strip";
  if (options.consistent) query.consistent = true;
  return query;
}

/** Ways on where a clip is refused, by the parameters that the server names; null for none. */
export function wayOn(problem) {
  const name = problem.ways?.find((each) => each in WAYS);
  if (!name) return null;
  const [key, value] = name.split("=");
  return { name, query: { [key]: value }, title: WAYS[name] };
}

/** Fill the form, and tell of each change. */
export function showOptions(models, changed) {
  const form = $("options");
  const others = models.map((each) => each.name).filter((name) => !CARDS.includes(name));
  const names = [...CARDS, ...others];
  if (!names.includes(options.model)) set("model", "default");
  if (options.compare && !names.includes(options.compare)) set("compare", "");
  $("models").replaceChildren(...CARDS.map((name) => make("label", {},
    make("input", { type: "radio", name: "model", value: name }),
    make("span", {}, titleOf(name), make("small", { textContent: ABOUT[name] })))));
  $("other").replaceChildren(make("option", { value: "", textContent: "None: one of those above" }),
    ...others.map((name) => make("option", { value: name, textContent: titleOf(name) })));
  $("compare").replaceChildren(make("option", { value: "", textContent: "The original" }),
    ...names.map((name) => make("option", { value: name, textContent: titleOf(name) })));
  fill(form);
  form.oninput = () => { read(form); fill(form); changed(); };
  form.onsubmit = (event) => event.preventDefault();
}

function fill(form) {
  form.elements.size.value = options.size;
  if (document.activeElement !== form.elements.longest) form.elements.longest.value = options.longest;
  const isCard = CARDS.includes(options.model);
  form.elements.model.value = isCard ? options.model : "";
  form.elements.other.value = isCard ? "" : options.model;
  form.elements.compare.value = options.compare;
  form.elements.format.value = options.format;
  form.elements.quality.value = options.quality;
  form.elements.crisp.value = options.crisp;
  form.elements.metadata.checked = options.metadata;
  form.elements.consistent.checked = options.consistent;
  $("crisp-out").textContent = `${Math.round(100 * options.crisp)} %`;
  $("crisp-row").hidden = ![options.model, options.compare].includes("crisp");
  $("quality-out").textContent = options.quality;
  $("quality-row").hidden = !LOSSY.includes(options.format);
  $("longest-row").hidden = options.size !== "longest";
}

function read(form) {
  const { elements } = form;
  const other = elements.other.value;
  const card = elements.model.value;
  // Of cards and list the one that was changed counts.
  const picked = other && other !== options.model ? other : card || other || "default";
  set("model", picked);
  set("size", elements.size.value);
  const longest = Math.round(Number(elements.longest.value));
  if (longest >= 1 && longest <= 100000) set("longest", longest);
  set("compare", elements.compare.value);
  set("format", elements.format.value);
  set("quality", Number(elements.quality.value));
  set("crisp", Number(elements.crisp.value));
  set("metadata", elements.metadata.checked);
  set("consistent", elements.consistent.checked);
}

/** Apply light, dark, or what the system has, and say which. */
export function showTheme() {
  const root = document.documentElement;
  if (options.theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = options.theme;
  const said = { auto: "as the system", light: "light", dark: "dark" }[options.theme];
  $("theme-button").setAttribute("aria-label", `Colours: ${said}`);
  $("theme-button").title = `Colours: ${said}`;
}

/** Go on to the next theme. */
export function nextTheme() {
  set("theme", { auto: "light", light: "dark", dark: "auto" }[options.theme]);
  showTheme();
}
