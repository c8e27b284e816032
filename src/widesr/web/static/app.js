// The page: puts its parts together, and says what keys do.

import * as api from "./api.js";
import { $, announce, notify } from "./dom.js";
import { takeClips, takeFiles } from "./files.js";
import { showItem, showList, stateOf } from "./list.js";
import { nextTheme, options, set, showOptions, showTheme, titleOf, wayOn } from "./options.js";
import { Queue } from "./queue.js";
import { Viewer } from "./viewer.js";
import { MOST_BYTES, zipped } from "./zip.js";

showTheme();
const queue = new Queue();
const viewer = new Viewer();
let current = null;
const revealed = new WeakSet();

const actions = { pick, save, remove };

function pick(item) {
  current = item;
  refresh();
}

function remove(item) {
  const at = queue.items.indexOf(item);
  if (current === item) current = queue.items[at + 1] ?? queue.items[at - 1] ?? null;
  queue.remove(item);
  if (!current) $("choose").focus();
}

function refresh() {
  showList(queue.items, current, actions);
  showCurrent();
  const stale = queue.items.filter((item) => queue.isStale(item));
  $("again").hidden = !stale.length;
  $("again").querySelector("span").textContent = stale.length > 1 ? `Make ${stale.length} again with these options` : "Make it again with these options";
  const done = queue.items.filter((item) => stateOf(item).isDone);
  $("save-all").hidden = done.length < 2;
  $("save-all").querySelector("span").textContent = `Download all ${done.length}`;
  const open = queue.items.length - done.length;
  document.title = open && queue.items.length ? `(${done.length}/${queue.items.length}) widesr` : "widesr – larger pictures, true to the original";
}

function showCurrent() {
  $("empty").hidden = current !== null;
  $("viewer").hidden = current === null;
  if (!current) {
    viewer.play(false);
    return;
  }
  const { source, main, other } = current;
  const made = main?.state === "done" ? main : null;
  const job = main?.job;
  const width = job?.result_width ?? (source.width || 0);
  const height = job?.result_height ?? (source.height || 0);
  const left = options.compare && other?.state === "done"
    ? { url: other.url, label: [titleOf(other.query.model), `${other.job.result_width} × ${other.job.result_height}`] }
    : { url: source.isShown ? source.url : null, label: ["Original", job ? `${job.width} × ${job.height}` : ""] };
  if (width) {
    viewer.show({ key: current.source.url, isClip: current.isClip, width, height, left: left.url, leftLabel: left.label, right: made?.url,
                  rightLabel: made ? [titleOf(made.query.model), `${width} × ${height}`] : [] });
  } else {
    viewer.show({ key: current.source.url, width: 1, height: 1 });
    if (source.isShown) sizeOfSource(current);
  }
  if (made && !revealed.has(made)) {
    revealed.add(made);
    viewer.reveal();
  }
  showBusy(current);
  $("save").hidden = !made;
  if (made) {
    $("save").href = saveUrl(made);
    $("save").download = made.name;
  }
}

const saveUrls = new WeakMap();

function saveUrl(version) {
  if (!saveUrls.has(version)) saveUrls.set(version, URL.createObjectURL(version.blob));
  return saveUrls.get(version);
}

/** Before the server has said how large it is, the browser may know. */
async function sizeOfSource(item) {
  if (item.isClip) return;
  const image = new Image();
  image.src = item.source.url;
  await image.decode().catch(() => {});
  if (item !== current || item.main?.job || !image.naturalWidth) return;
  viewer.show({ key: item.source.url, width: image.naturalWidth, height: image.naturalHeight, left: item.source.url, leftLabel: ["Original"] });
}

function showBusy(item) {
  const { failed } = item;
  const state = stateOf(item);
  $("failed").hidden = !failed;
  const isUnseen = state.isDone && !item.main.url;
  $("busy").hidden = Boolean(failed) || (state.isDone && !isUnseen);
  $("busy-bar").hidden = state.isDone;
  if (failed) {
    $("failed-title").textContent = `${item.name} did not work`;
    $("failed-text").textContent = item.fault;
    $("failed-code").textContent = failed.problem.code ? `Code: ${failed.problem.code}` : "";
    showWay(wayOn(failed.problem));
  } else if (isUnseen) {
    $("busy-text").textContent = `${item.name} is done`;
    $("busy-more").textContent = "This browser does not play it. Download it, and open it in a player.";
  } else if (!state.isDone) {
    $("busy-text").textContent = `Making ${item.name} larger`;
    $("busy-more").textContent = state.text;
    if (state.share) $("busy-bar").value = state.share;
    else $("busy-bar").removeAttribute("value");
  }
}

function showWay(way) {
  $("failed-way").hidden = !way;
  $("failed-again").hidden = Boolean(way);  // which would fail again
  if (!way) return;
  const count = queue.failedFor(way).length;
  $("failed-way").textContent = count > 1 ? `${way.title}, all ${count}` : way.title;
  $("failed-way").onclick = () => { queue.allow(way); refresh(); };
}

function save(item) {
  const version = item.main;
  if (version?.state !== "done") return;
  const link = document.createElement("a");
  link.href = saveUrl(version);
  link.download = version.name;
  link.click();
}

async function saveAll() {
  const done = queue.items.filter((item) => stateOf(item).isDone).map((item) => item.main);
  if (!done.length) return;
  const bytes = done.reduce((sum, version) => sum + version.blob.size, 0);
  if (done.length === 1 || bytes > MOST_BYTES) {
    for (const item of queue.items) save(item);
    return;
  }
  notify(`Putting ${done.length} pictures into one file …`);
  const blob = await zipped(done.map(({ name, blob: each }) => ({ name, blob: each })));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = "widesr.zip";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  notify(`${done.length} pictures are in widesr.zip.`);
}

async function example() {
  try {
    const response = await fetch("/static/example.jpg");
    const blob = await response.blob();
    add([new File([blob], "example.jpg", { type: "image/jpeg" })]);
  } catch {
    notify("The server does not answer. Is it still running?");
  }
}

function add(files) {
  const added = queue.add(files);
  if (!current || added.length === 1) current = added[0];
  refresh();
  announce(`${added.length} picture${added.length > 1 ? "s" : ""} added`);
}

function step(by) {
  if (!queue.items.length) return;
  const at = queue.items.indexOf(current);
  pick(queue.items[(at + by + queue.items.length) % queue.items.length]);
  announce(current.name);
}

function setMode(beside) {
  set("beside", beside);
  viewer.setBeside(beside);
}

const KEYS = {
  o: () => $("files").click(),
  j: () => step(1),
  k: () => step(-1),
  d: () => current && save(current),
  a: saveAll,
  "+": () => viewer.zoomTo(viewer.zoom * 1.25),
  "=": () => viewer.zoomTo(viewer.zoom * 1.25),
  "-": () => viewer.zoomTo(viewer.zoom / 1.25),
  0: () => viewer.fit(),
  1: () => viewer.one(),
  ",": () => viewer.setSplit(viewer.split - 0.05),
  ".": () => viewer.setSplit(viewer.split + 0.05),
  s: () => setMode(!viewer.beside),
  l: () => viewer.setLens(!viewer.isLensOn),
  " ": () => viewer.play(!viewer.isPlaying),
  Delete: () => current && remove(current),
  "?": () => $("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  const { target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (target.matches("input:not([type=radio]):not([type=checkbox]):not([type=range]), select, textarea")) return;
  if (event.key === " " && (!viewer.isClip || target.matches("button, input, summary, a"))) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

queue.addEventListener("change", ({ detail }) => {
  if (detail && detail !== current && !stateOf(detail).isDone) showItem(detail, false);
  else refresh();
});
for (const id of ["choose", "add"]) $(id).addEventListener("click", () => $("files").click());
$("choose-folder").addEventListener("click", () => $("folder").click());
$("example").addEventListener("click", example);
$("mode").addEventListener("click", () => setMode(!viewer.beside));
$("save-all").addEventListener("click", saveAll);
$("again").addEventListener("click", () => {
  for (const item of queue.items.filter((each) => queue.isStale(each))) queue.want(item);
  refresh();
});
$("failed-again").addEventListener("click", () => { queue.want(current); refresh(); });
$("clear").addEventListener("click", () => { for (const item of [...queue.items]) remove(item); });
$("theme-button").addEventListener("click", nextTheme);
$("keys-button").addEventListener("click", () => $("keys").showModal());
$("notice").querySelector("button").addEventListener("click", () => { $("notice").hidden = true; });
takeFiles(add);
viewer.setBeside(options.beside);

api.onUnauthorized(() => new Promise((resolve) => {
  const dialog = $("ask-token");
  dialog.onclose = () => {
    const { token } = $("token-form").elements;
    resolve(token.value);
    token.value = "";
  };
  if (!dialog.open) dialog.showModal();
}));

async function begin() {
  for (let tries = 0; ; tries += 1) {
    try {
      const { models, clip_formats: clips } = await api.info();
      $("notice").hidden = true;
      if (clips.length) takeClips();
      showOptions(models, refresh);
      return;
    } catch (error) {
      if (!tries) showOptions([], refresh);
      notify(error.message, { stays: true });
      await api.pause(2000);
    }
  }
}

begin();
