// Pictures from outside: dropped, pasted, chosen; folders to their depths.

import { $, notify } from "./dom.js";

const CLIPS = /\.(avi|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|ts|webm)$/i;
let takesClips = false;

const ENDINGS = /\.(avif|bmp|gif|heic|heif|hif|jfif|jpe?g?|mpo|pam|p[bgnp]m|png|tiff?|webp)$/i;

/** Take clips as well: the server does. */
export function takeClips() {
  takesClips = true;
  $("files").accept += ",video/*,.mkv";
  $("clips-too").hidden = false;
}

/** Say whether a file is a clip. */
export function isClip(file) {
  return CLIPS.test(file.name) || /^video\//.test(file.type);
}

function isTaken(file) {
  if (isClip(file)) return takesClips;
  return ENDINGS.test(file.name) || (/^image\//.test(file.type) && !/svg/.test(file.type));
}

/** Take what people bring, wherever from; `take` gets the pictures among it. */
export function takeFiles(take) {
  const taken = (files) => {
    const pictures = files.filter(isTaken).sort((a, b) => pathOf(a).localeCompare(pathOf(b), undefined, { numeric: true }));
    const others = files.length - pictures.length;
    if (pictures.length) take(pictures);
    if (others && pictures.length) notify(`${others} other file${others > 1 ? "s" : ""} passed over.`);
    if (!pictures.length && files.every(isClip)) notify("This server takes pictures, but no clips: it runs without widesr[video].");
    else if (!pictures.length) notify(files.length > 1 ? "None of these files is a picture." : "This file is no picture that is known here.");
  };
  for (const id of ["files", "folder"]) {
    $(id).addEventListener("change", (event) => {
      taken([...event.target.files]);
      event.target.value = "";
    });
  }
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) {
      event.preventDefault();
      taken(files);
    }
  });
  let depth = 0;
  const over = (on) => { $("drop").hidden = !on; };
  document.addEventListener("dragenter", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    depth += 1;
    over(true);
  });
  document.addEventListener("dragleave", () => { if ((depth -= 1) <= 0) { depth = 0; over(false); } });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    depth = 0;
    over(false);
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = entries.length ? (await Promise.all(entries.map(filesIn))).flat() : [...event.dataTransfer.files];
    if (files.length) taken(files);
  });
}

function pathOf(file) {
  return file.webkitRelativePath || file.name;
}

async function filesIn(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {  // it gives a hundred at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(filesIn))).flat();
}
