// The pictures of this page: sent a few at a time, followed to their end, shown as they change.

import * as api from "./api.js";
import { announce } from "./dom.js";
import { isClip } from "./files.js";
import { options, queryOf } from "./options.js";

const AT_ONCE = 3;
const SHOWN = /^image\/(png|jpeg|webp|gif|avif|bmp)$/;
const PREVIEW_PIXELS = 4e7;

/** What one model made, or is making, of a picture. */
class Version {
  constructor(query) {
    this.query = query;
    this.state = "waiting";
    this.job = null;
    this.problem = null;
    this.blob = null;
    this.url = null;
    this.name = "";
    this.stopping = new AbortController();
  }

  get isOver() {
    return ["done", "failed"].includes(this.state);
  }

  drop() {
    this.stopping.abort();
    if (this.job) api.forget(this.job);
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = this.blob = null;
  }
}

/** One picture with its versions. */
class Item {
  constructor(file) {
    this.file = file;
    this.name = file.name || "Pasted picture.png";
    this.isClip = isClip(file);
    this.also = {};
    this.source = { url: URL.createObjectURL(file), width: 0, height: 0, isShown: true };
    this.versions = new Map();
  }

  /** The version by the model that is chosen now; undefined where there is none yet. */
  get main() {
    return this.versions.get(options.model) ?? [...this.versions.values()][0];
  }

  /** The version that failed; undefined where all go well. */
  get failed() {
    return [this.main, this.other].find((version) => version?.state === "failed");
  }

  /** What went wrong, without the name, which stands above it. */
  get fault() {
    const { message } = this.failed.problem;
    const text = message.startsWith(`${this.name}: `) ? message.slice(this.name.length + 2) : message;
    return text.charAt(0).toUpperCase() + text.slice(1);
  }

  /** What is asked of the server for a version of it. */
  queryBy(model) {
    return { ...queryOf(model, this.isClip), ...this.also };
  }

  /** The version to compare with; undefined for the original. */
  get other() {
    return options.compare && options.compare !== options.model ? this.versions.get(options.compare) : undefined;
  }
}

/** All pictures; "change" is told of each that changes, null for the list. */
export class Queue extends EventTarget {
  constructor() {
    super();
    this.items = [];
    this.running = 0;
  }

  /** Take files, and begin. */
  add(files) {
    const added = files.map((file) => new Item(file));
    this.items.push(...added);
    for (const item of added) this.want(item);
    this.#tell(null);
    return added;
  }

  /** See to it that a picture is made by what is chosen now. */
  want(item) {
    const models = [options.model];
    if (options.compare && options.compare !== options.model) models.push(options.compare);
    for (const model of models) {
      const query = item.queryBy(model);
      const there = item.versions.get(model);
      if (there && there.state !== "failed" && same(there.query, query)) continue;
      there?.drop();
      item.versions.set(model, new Version(query));
    }
    this.#tell(item);
    this.#fill();
  }

  /** Give all that failed for the same reason the way on. */
  allow(way) {
    for (const item of this.failedFor(way)) {
      Object.assign(item.also, way.query);
      this.want(item);
    }
  }

  /** List what failed, and would not in this way. */
  failedFor(way) {
    return this.items.filter((item) => item.failed?.problem.ways?.includes(way.name));
  }

  /** Say whether a picture is not as it would be made now. */
  isStale(item) {
    const models = [options.model, options.compare].filter(Boolean);
    return models.some((model) => {
      const there = item.versions.get(model);
      return !there || !same(there.query, item.queryBy(model));
    });
  }

  /** Take a picture out, and stop what is made of it. */
  remove(item) {
    this.items = this.items.filter((each) => each !== item);
    for (const version of item.versions.values()) version.drop();
    URL.revokeObjectURL(item.source.url);
    this.#tell(null);
  }

  #tell(item) {
    this.dispatchEvent(new CustomEvent("change", { detail: item }));
  }

  #fill() {
    for (const item of this.items) {
      for (const version of item.versions.values()) {
        if (this.running >= AT_ONCE) return;
        if (version.state === "waiting") this.#run(item, version);
      }
    }
  }

  async #run(item, version) {
    const { signal } = version.stopping;
    this.running += 1;
    version.state = "sending";
    this.#tell(item);
    try {
      version.job = await this.#sent(item, version, signal);
      version.state = "working";
      this.#tell(item);
      const job = await api.follow(version.job, (each) => { version.job = each; this.#tell(item); }, { signal });
      version.job = job;
      if (job.state !== "done") throw new api.Problem(job.problem ?? { code: job.state, detail: "The job was stopped." });
      const { blob, name } = await api.result(job, { signal });
      Object.assign(version, { blob, name });
      version.url = await shownUrl(blob, job, signal);
      await this.#seeSource(item, job, signal);
      version.state = "done";
      announce(`${item.name} is done`);
    } catch (error) {
      if (error.name !== "AbortError") {
        version.state = "failed";
        version.problem = error;
        announce(`${item.name} did not work: ${error.message}`);
      }
    } finally {
      this.running -= 1;
      this.#tell(item);
      this.#fill();
    }
  }

  /** Send it; a full queue or a server that starts again is waited for. */
  async #sent(item, version, signal) {
    for (;;) {
      try {
        return await api.send(item.file, version.query, { signal, name: item.name });
      } catch (error) {
        if (![429, 503].includes(error.status)) throw error;
        version.state = "sending";
        this.#tell(item);
        await api.pause(1000 * Math.min(error.retryAfter || 2, 30), signal);
      }
    }
  }

  /** Where a browser does not show the format of the original, the server makes a PNG of it. */
  async #seeSource(item, job, signal) {
    const { source } = item;
    if (source.width) return;
    source.width = job.width;
    source.height = job.height;
    source.isShown = await (item.isClip ? canPlay : canShow)(source.url);
    if (source.isShown || item.isClip) return;
    const png = await preview(item.file, job.width * job.height, signal).catch(() => null);
    source.isShown = png !== null;
    if (png) {
      URL.revokeObjectURL(source.url);
      source.url = URL.createObjectURL(png);
    }
  }
}

function same(a, b) {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => String(a[key]) === String(b[key]));
}

async function canShow(url) {
  const image = new Image();
  image.src = url;
  return image.decode().then(() => true, () => false);
}

async function canPlay(url) {
  const video = document.createElement("video");
  video.preload = "metadata";
  video.src = url;
  return new Promise((resolve) => {
    video.onloadeddata = () => resolve(video.videoWidth > 0);
    video.onerror = () => resolve(false);
  });
}

/** An address at which the browser shows a result; null for a clip that it does not play. */
async function shownUrl(blob, job, signal) {
  if (/^video/.test(blob.type)) {
    const url = URL.createObjectURL(blob);
    return (await canPlay(url)) ? url : null;
  }
  if (SHOWN.test(blob.type)) return URL.createObjectURL(blob);
  const pixels = job.result_width * job.result_height;
  return URL.createObjectURL(await preview(blob, pixels, signal).catch(() => blob));
}

/** Make a PNG of any picture, by the service itself. */
async function preview(blob, pixels, signal) {
  const scale = Math.min(1, Math.sqrt(PREVIEW_PIXELS / pixels));
  const job = await api.send(blob, { model: "bicubic", scale: scale.toFixed(4), format: "png", icc: "srgb" }, { signal, name: "preview" });
  const done = await api.follow(job, () => {}, { signal });
  if (done.state !== "done") throw new api.Problem(done.problem);
  const { blob: png } = await api.result(done, { signal });
  api.forget(done);
  return png;
}
