// The list of pictures: what each is at, and what can be done with it.

import { $, icon, make, readableSize, readableTime } from "./dom.js";
import { options, titleOf } from "./options.js";

const rows = new WeakMap();

/** Draw the list anew; rows stay, so that the focus does. */
export function showList(items, current, actions) {
  const list = $("list");
  const wanted = items.map((item) => {
    if (!rows.has(item)) rows.set(item, rowOf(item, actions));
    showRow(item, rows.get(item), item === current);
    return rows.get(item).li;
  });
  if (wanted.length !== list.children.length || wanted.some((li, n) => list.children[n] !== li)) list.replaceChildren(...wanted);
  $("queue-empty").hidden = items.length > 0;
  $("foot").hidden = $("clear").hidden = !items.length;
}

/** Draw one row. */
export function showItem(item, isCurrent) {
  if (rows.has(item)) showRow(item, rows.get(item), isCurrent);
}

function rowOf(item, actions) {
  const image = item.isClip
    ? make("video", { muted: true, preload: "metadata", src: `${item.source.url}#t=0.1` })
    : make("img", { alt: "", src: item.source.url });
  const thumb = make("span", { className: "thumb" }, image);
  image.addEventListener("error", () => thumb.replaceChildren(icon("picture")), { once: true });
  const name = make("span", { className: "name", textContent: item.name, title: item.name });
  const state = make("span", { className: "state" });
  const more = make("span", { className: "note" });
  const fill = make("i");
  const bar = make("span", { className: "bar", hidden: true }, fill);
  const pick = make("button", { type: "button", className: "pick" }, thumb, make("span", {}, name, state, more, bar));
  const save = make("button", { type: "button", className: "icon", hidden: true, "aria-label": `Download ${item.name}` }, icon("download"));
  const drop = make("button", { type: "button", className: "icon", "aria-label": `Remove ${item.name}` }, icon("close"));
  pick.addEventListener("click", () => actions.pick(item));
  save.addEventListener("click", () => actions.save(item));
  drop.addEventListener("click", () => actions.remove(item));
  return { li: make("li", {}, pick, save, drop), pick, state, more, bar, fill, save };
}

function showRow(item, row, isCurrent) {
  const { text, share, isBad, isDone, more = "" } = stateOf(item);
  row.li.classList.toggle("current", isCurrent);
  row.li.classList.toggle("bad", isBad);
  row.pick.setAttribute("aria-current", isCurrent ? "true" : "false");
  row.state.textContent = text;
  row.state.title = text;
  row.more.textContent = row.more.title = more;
  row.bar.hidden = share === null;
  row.fill.style.transform = `scaleX(${share ?? 0})`;
  row.save.hidden = !isDone;
}

/** Say what a picture is at: a line, and a share where it goes on. */
export function stateOf(item) {
  const versions = [item.main, item.other].filter(Boolean);
  const { failed } = item;
  if (failed) return { text: item.fault, share: null, isBad: true, isDone: false };
  const open = versions.find((version) => !version.isOver);
  if (!open) {
    const { job, blob } = item.main;
    const text = `${job.result_width} × ${job.result_height} · ${readableSize(blob.size)}`;
    return { text, share: null, isBad: false, isDone: true, more: (job.notices ?? []).join("; ") };
  }
  const by = options.compare && versions.length > 1 ? `${titleOf(open.query.model)}: ` : "";
  if (open.state === "waiting") return { text: "Waits to be sent", share: 0, isBad: false, isDone: false };
  if (open.state === "sending") return { text: "Being sent …", share: 0, isBad: false, isDone: false };
  const { job } = open;
  if (job.state === "queued") {
    const line = job.place ? `${job.place} before it` : "Next in line";
    return { text: by + line, share: 0, isBad: false, isDone: false };
  }
  const isWhole = Number.isInteger(job.tiles) && job.tiles > 1;
  const tiles = isWhole ? `${item.isClip ? "frame" : "tile"} ${Math.floor(job.tiles_done)} of ${job.tiles}`
    : job.progress ? `${Math.round(100 * job.progress)} %` : "Begins …";
  const left = job.seconds_left > 0.5 && job.tiles ? ` · ${readableTime(job.seconds_left)} left` : "";
  return { text: `${by}${tiles}${left}`, share: job.progress ?? 0, isBad: false, isDone: false };
}
