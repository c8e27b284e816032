// Two pictures of one place: a slider or two panes, zoom to the pixel and beyond, a lens.

import { $, make } from "./dom.js";

const MOST_ZOOM = 32;
const LENS_TIMES = 4;
const STEP = 1.25;

/** Say whether people want things to stay where they are. */
function isStill() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Write what a picture is, and its size, for which there may be no room. */
function label(tag, [name = "", size = ""]) {
  tag.replaceChildren(name, ...(size ? [make("span", { className: "wide", textContent: ` · ${size}` })] : []));
}

/** Shows a left and a right picture, both drawn at the size of the result. */
export class Viewer extends EventTarget {
  constructor() {
    super();
    this.viewport = $("viewport");
    this.images = { left: $("image-left"), right: $("image-right") };
    this.videos = { left: $("video-left"), right: $("video-right") };
    this.isClip = false;
    this.size = { width: 1, height: 1 };
    this.zoom = 1;
    this.centre = { x: 0.5, y: 0.5 };
    this.split = 0.5;
    this.isFit = true;
    this.beside = false;
    this.lens = null;
    this.isLensOn = false;
    this.shown = "";
    this.isBlank = true;
    this.#listen();
    new ResizeObserver(() => { if (this.isFit) this.fit(); else this.draw(); }).observe(this.viewport);
  }

  /** Show a pair; the view stays where it is if the picture is the same. */
  show({ key, left, right, width, height, isClip = false, leftLabel = [], rightLabel = [] }) {
    const isNew = key !== this.shown || this.isBlank;
    const grew = width !== this.size.width || height !== this.size.height;
    this.shown = key;
    this.size = { width, height };
    this.isClip = isClip;
    this.isPair = Boolean(left && right);
    this.isBlank = !left && !right;
    $("viewer").classList.toggle("blank", this.isBlank);
    this.#put("left", left ?? right);
    this.#put("right", right ?? left);
    $("player").hidden = !isClip;
    $("lens-button").hidden = isClip;
    if (isClip) this.setLens(false);
    if (isNew) this.play(isClip && !isStill());
    label($("tag-left"), left ? leftLabel : []);
    label($("tag-right"), right ? rightLabel : []);
    this.images.left.alt = leftLabel.join(", ");
    this.images.right.alt = rightLabel.join(", ");
    if (isNew || (grew && this.isFit)) this.fit();
    else this.draw();
  }

  #put(side, url) {
    const [shown, other] = this.isClip ? [this.videos[side], this.images[side]] : [this.images[side], this.videos[side]];
    shown.hidden = !url;
    other.hidden = true;
    if (url && shown.getAttribute("src") !== url) shown.src = url;
    if (this.isClip) return;
    const half = $("lens").querySelectorAll("img")[side === "left" ? 0 : 1];
    if (url && half.getAttribute("src") !== url) half.src = url;
  }

  /** Draw the handle in from the side, so that one sees what has changed. */
  reveal() {
    if (this.beside || isStill()) {
      this.setSplit(0.5);
      return;
    }
    const began = performance.now();
    const mine = this.revealing = {};
    const step = (now) => {
      if (this.revealing !== mine) return;
      const t = Math.min((now - began) / 900, 1);
      this.setSplit(1 - 0.5 * (1 - (1 - t) ** 3), { keep: true });
      if (t < 1) requestAnimationFrame(step);
      else this.revealing = null;
    };
    requestAnimationFrame(step);
  }

  /** Play a clip on both sides, or hold it. */
  play(on) {
    this.isPlaying = on;
    $("play").setAttribute("aria-label", on ? "Pause" : "Play");
    $("play").querySelector("use").setAttribute("href", on ? "#i-pause" : "#i-play");
    for (const video of Object.values(this.videos)) {
      if (on && !video.hidden) video.play().catch(() => {});
      else video.pause();
    }
    if (on) requestAnimationFrame(() => this.#keepTime());
    else if (this.isClip) this.videos.right.currentTime = this.videos.left.currentTime;  // to the frame
  }

  /** Go to a share of a clip. */
  seek(share) {
    for (const video of Object.values(this.videos)) if (video.duration) video.currentTime = share * video.duration;
  }

  /** Keep both sides at the same frame: the right one hurries or waits. */
  #keepTime() {
    const { left, right } = this.videos;
    if (left.duration) $("time").value = Math.round(1000 * left.currentTime / left.duration);
    const late = left.currentTime - right.currentTime;
    if (Math.abs(late) > 0.25) right.currentTime = left.currentTime;
    right.playbackRate = Math.min(Math.max(1 + 2 * late, 0.75), 1.25);
    if (this.isPlaying && this.isClip) {
      for (const video of [left, right]) if (!video.hidden && video.paused && video.readyState > 2) video.play().catch(() => {});
      requestAnimationFrame(() => this.#keepTime());
    }
  }

  /** Put the handle somewhere, 0 to 1 from the left. */
  setSplit(share, { keep = false } = {}) {
    if (!keep) this.revealing = null;
    this.split = Math.min(Math.max(share, 0), 1);
    const handle = $("handle");
    handle.setAttribute("aria-valuenow", Math.round(100 * this.split));
    handle.setAttribute("aria-valuetext", `${Math.round(100 * this.split)} % before`);
    this.draw();
  }

  /** Show two panes, or the slider. */
  setBeside(on) {
    this.beside = on;
    this.viewport.classList.toggle("beside", on);
    $("mode").setAttribute("aria-pressed", on);
    if (this.isFit) this.fit();
    else this.draw();
  }

  /** Show the lens, or not. */
  setLens(on) {
    this.isLensOn = on;
    $("lens-button").setAttribute("aria-pressed", on);
    const { width, height } = this.#pane();
    this.lens = on ? this.lens ?? { x: width / 2, y: height / 2 } : null;
    this.draw();
  }

  /** Show all of it. */
  fit() {
    const { width, height } = this.#pane();
    this.zoom = Math.min(width / this.size.width, height / this.size.height, 4) || 1;
    this.centre = { x: 0.5, y: 0.5 };
    this.isFit = true;
    this.draw();
  }

  /** Show a pixel of the result as a pixel of the screen. */
  one() {
    this.zoomTo(1 / (window.devicePixelRatio || 1));
  }

  /** Zoom, so that a point of the pane stays where it is. */
  zoomTo(zoom, point) {
    const pane = this.#pane();
    const at = point ?? { x: pane.width / 2, y: pane.height / 2 };
    const least = Math.min(pane.width / this.size.width, pane.height / this.size.height, 1) / 2;
    const next = Math.min(Math.max(zoom, least), MOST_ZOOM);
    const origin = this.#origin();
    const place = { x: (at.x - origin.x) / this.zoom, y: (at.y - origin.y) / this.zoom };
    this.zoom = next;
    this.centre = { x: (place.x - (at.x - pane.width / 2) / next) / this.size.width,
                    y: (place.y - (at.y - pane.height / 2) / next) / this.size.height };
    this.isFit = false;
    this.#hold();
    this.draw();
  }

  /** Move by pixels of the screen. */
  pan(dx, dy) {
    this.centre.x -= dx / this.zoom / this.size.width;
    this.centre.y -= dy / this.zoom / this.size.height;
    this.isFit = false;
    this.#hold();
    this.draw();
  }

  #hold() {
    this.centre.x = Math.min(Math.max(this.centre.x, 0), 1);
    this.centre.y = Math.min(Math.max(this.centre.y, 0), 1);
  }

  #pane() {
    const { clientWidth: width, clientHeight: height } = this.viewport;
    return { width: this.beside ? width / 2 : width, height };
  }

  #origin() {
    const pane = this.#pane();
    return { x: pane.width / 2 - this.centre.x * this.size.width * this.zoom,
             y: pane.height / 2 - this.centre.y * this.size.height * this.zoom };
  }

  /** Bring everything to its place. */
  draw() {
    const origin = this.#origin();
    const { width, height } = this.size;
    const isBeyond = this.zoom * (window.devicePixelRatio || 1) > 2;
    for (const image of Object.values(this.isClip ? this.videos : this.images)) {
      image.style.width = `${width}px`;
      image.style.height = `${height}px`;
      image.style.transform = `translate(${origin.x}px, ${origin.y}px) scale(${this.zoom})`;
      image.classList.toggle("pixels", isBeyond);
    }
    this.viewport.style.setProperty("--check-side", `${24 / this.zoom}px`);
    const across = this.viewport.clientWidth;
    $("handle").style.left = `${this.split * across}px`;
    $("layer-left").style.clipPath = this.beside || !this.isPair ? "" : `inset(0 ${(1 - this.split) * across}px 0 0)`;
    $("zoom").textContent = `${Math.round(100 * this.zoom * (window.devicePixelRatio || 1))} %`;
    this.#drawLens(origin);
    this.dispatchEvent(new Event("drawn"));
  }

  #drawLens(origin) {
    const lens = $("lens");
    lens.hidden = !this.lens || !this.isPair;
    $("handle").hidden = !this.isPair || !lens.hidden;
    if (lens.hidden) return;
    const pane = this.#pane();
    const x = this.lens.x % pane.width;
    lens.style.left = `${this.lens.x}px`;
    lens.style.top = `${this.lens.y}px`;
    const zoom = Math.max(this.zoom * LENS_TIMES, LENS_TIMES / (window.devicePixelRatio || 1));
    const place = { x: (x - origin.x) / this.zoom, y: (this.lens.y - origin.y) / this.zoom };
    const radius = lens.clientWidth / 2;
    for (const image of lens.querySelectorAll("img")) {
      // Both halves show the same place, each in its middle.
      image.style.width = `${this.size.width}px`;
      image.style.height = `${this.size.height}px`;
      image.style.transform = `translate(${radius / 2 - place.x * zoom}px, ${radius - place.y * zoom}px) scale(${zoom})`;
      image.classList.toggle("pixels", zoom > 8);
    }
  }

  #point(event) {
    const box = this.viewport.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #inPane(point) {
    const pane = this.#pane();
    return { x: point.x >= pane.width && this.beside ? point.x - pane.width : point.x, y: point.y };
  }

  #listen() {
    const pointers = new Map();
    let slides = false;
    let apart = 0;
    this.viewport.addEventListener("wheel", (event) => {
      event.preventDefault();
      const by = Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : event.deltaMode === 1 ? 0.05 : 0.0018));
      this.zoomTo(this.zoom * by, this.#inPane(this.#point(event)));
    }, { passive: false });
    this.viewport.addEventListener("pointerdown", (event) => {
      if (event.button > 0 || event.target.closest(".busy, .failed")) return;
      this.viewport.setPointerCapture(event.pointerId);
      slides = Boolean(event.target.closest("#handle"));
      pointers.set(event.pointerId, this.#point(event));
      if (slides) {
        event.preventDefault();
        $("handle").focus({ preventScroll: true });
      }
    });
    this.viewport.addEventListener("pointermove", (event) => {
      const point = this.#point(event);
      if (this.isLensOn && (event.pointerType === "mouse" || pointers.size)) {
        this.lens = point;
        if (!pointers.size || event.pointerType !== "mouse") this.draw();
      }
      const before = pointers.get(event.pointerId);
      if (!before) return;
      pointers.set(event.pointerId, point);
      if (slides) this.setSplit(point.x / this.viewport.clientWidth);
      else if (pointers.size === 2) {
        const [a, b] = [...pointers.values()];
        const now = Math.hypot(a.x - b.x, a.y - b.y);
        const middle = this.#inPane({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
        if (apart) this.zoomTo(this.zoom * (now / apart), middle);
        apart = now;
      } else if (!this.isLensOn || event.pointerType === "mouse") this.pan(point.x - before.x, point.y - before.y);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      this.viewport.addEventListener(name, (event) => {
        pointers.delete(event.pointerId);
        apart = 0;
        if (!pointers.size) slides = false;
      });
    }
    this.viewport.addEventListener("dblclick", (event) => {
      if (event.target.closest("#handle, .busy, .failed")) return;
      if (this.isFit) this.zoomTo(1 / (window.devicePixelRatio || 1), this.#inPane(this.#point(event)));
      else this.fit();
    });
    $("handle").addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 0.1 : 0.02;
      const to = { ArrowLeft: this.split - step, ArrowDown: this.split - step, ArrowRight: this.split + step,
                   ArrowUp: this.split + step, PageDown: this.split - 0.1, PageUp: this.split + 0.1, Home: 0, End: 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      this.setSplit(to);
    });
    this.viewport.addEventListener("keydown", (event) => {
      if (event.target !== this.viewport) return;
      const step = event.shiftKey ? 200 : 50;
      const by = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
      if (!by) return;
      event.preventDefault();
      if (this.isLensOn && this.lens) {
        this.lens = { x: this.lens.x - by[0] / 4, y: this.lens.y - by[1] / 4 };
        this.draw();
      } else this.pan(...by);
    });
    $("zoom-in").addEventListener("click", () => this.zoomTo(this.zoom * STEP));
    $("zoom-out").addEventListener("click", () => this.zoomTo(this.zoom / STEP));
    $("fit").addEventListener("click", () => this.fit());
    $("one").addEventListener("click", () => this.one());
    $("lens-button").addEventListener("click", () => this.setLens(!this.isLensOn));
    $("play").addEventListener("click", () => this.play(!this.isPlaying));
    $("time").addEventListener("input", (event) => { this.play(false); this.seek(event.target.value / 1000); });
  }
}
