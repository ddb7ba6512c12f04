// The files that are about to be sent: looked at, counted, and drawn before anybody waits.
import { call } from "./api.js";
import { button, h, icon, size, toast } from "./dom.js";
import t from "./strings.en.js";

const MAX_MB = Number(document.documentElement.dataset.maxMb);
const MAX_FILES = Number(document.documentElement.dataset.maxFiles);
const SIDE = 320;
/** Documents that the service draws for us, one after the other. */
const AT_ONCE = 2;
const HIDDEN = /^(\.|Thumbs\.db$|desktop\.ini$)/;

const SIGNS = [["image/png", "89504e47"], ["image/jpeg", "ffd8ff"], ["image/gif", "47494638"], ["image/tiff", "49492a00"], ["image/tiff", "4d4d002a"], ["image/tiff", "49492b00"], ["image/tiff", "4d4d002b"], ["image/bmp", "424d"]];

async function kind(file) {
  const head = new Uint8Array(await file.slice(0, 1032).arrayBuffer());
  const hex = [...head.slice(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const found = SIGNS.find(([, sign]) => hex.startsWith(sign));
  if (found) return found[0];
  const letters = new TextDecoder("latin1").decode(head);
  if (letters.startsWith("RIFF") && letters.slice(8, 12) === "WEBP") return "image/webp";
  if (letters.slice(4, 8) === "ftyp") return /avi[fs]/.test(letters.slice(8, 40)) ? "image/avif" : /hei[cfmsx]|hev[cx]|m[is]f1/.test(letters.slice(8, 40)) ? "image/heic" : "";
  return letters.includes("%PDF-") ? "application/pdf" : "";
}

async function drawn(file, type) {
  if (["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"].includes(type)) {
    const whole = await createImageBitmap(file);
    const scale = Math.min(1, SIDE / Math.max(whole.width, whole.height));
    const canvas = h("canvas", { width: Math.max(1, Math.round(whole.width * scale)), height: Math.max(1, Math.round(whole.height * scale)) });
    canvas.getContext("2d").drawImage(whole, 0, 0, canvas.width, canvas.height);
    whole.close();
    return { blob: await new Promise((resolve) => { canvas.toBlob(resolve, "image/webp", 0.8); }), pages: 1 };
  }
  const response = await call("/api/v1/previews", { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
  return { blob: await response.blob(), pages: Number(response.headers.get("X-Pages")) };
}

/** Files of a drop, folders with all that is in them. */
export async function fromTransfer(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) { found.push(await new Promise((resolve, reject) => { entry.file(resolve, reject); })); return; }
    const reader = entry.createReader();
    for (let some = [null]; some.length; ) {
      some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
      for (const each of some) await walk(each);
    }
  };
  for (const entry of entries) await walk(entry);
  return found;
}

export class Queue {
  constructor(onchange) {
    this.items = [];
    this.onchange = onchange;
    this.waiting = [];
    this.drawing = 0;
  }

  good() { return this.items.filter((item) => !item.error); }

  keep(wanted) {
    for (const item of this.items) if (!wanted(item) && item.shown) URL.revokeObjectURL(item.shown);
    this.items = this.items.filter(wanted);
    this.onchange();
  }

  clear() { this.keep(() => false); }

  add(files) {
    for (const file of files.filter((each) => !HIDDEN.test(each.name))) {
      if (this.items.some((item) => item.file && item.file.name === file.name && item.file.size === file.size && item.file.lastModified === file.lastModified)) { toast(t.duplicate(file.name)); continue; }
      if (this.items.length >= MAX_FILES) { toast(t.tooMany(MAX_FILES)); break; }
      this.push({ file, name: file.name });
    }
    this.onchange();
  }

  addUrl(url) {
    if (this.items.some((item) => item.url === url)) { toast(t.duplicate(url)); return; }
    this.push({ url, name: decodeURI(new URL(url).pathname).split("/").pop() || new URL(url).host });
    this.onchange();
  }

  push(item) {
    const picture = h("div", { class: "pic" }, icon("file"));
    const meta = h("div", { class: "meta" }, item.url ? t.link : size(item.file.size));
    item.node = h("li", { class: "tile" }, picture, h("div", { class: "name", title: item.name }, item.name), meta,
      button(t.remove(item.name), { only: true, icon: "x", kind: "x", onclick: () => {
        const at = this.items.indexOf(item);
        this.keep((each) => each !== item);
        (this.items[Math.min(at, this.items.length - 1)]?.node.querySelector("button") ?? document.querySelector(".zone button")).focus();
      } }));
    const bar = h("div", { class: "progress", role: "progressbar", "aria-label": item.name, "aria-valuemin": 0, "aria-valuemax": 100 }, h("i", {}));
    item.sent = (share) => {
      if (!bar.isConnected) item.node.append(bar);
      bar.firstChild.style.width = `${Math.round(share * 100)}%`;
      bar.setAttribute("aria-valuenow", Math.round(share * 100));
    };
    item.refuse = (why) => { bar.remove(); item.error = why; item.node.classList.add("bad"); picture.replaceChildren(icon("warn")); meta.textContent = why; };
    this.items.push(item);
    if (item.url) return;
    if (item.file.size === 0) item.refuse(t.empty);
    else if (item.file.size > MAX_MB * 1e6) item.refuse(t.tooLarge(size(item.file.size), MAX_MB));
    else { this.waiting.push({ item, picture, meta }); this.next(); }
  }

  async next() {
    if (this.drawing >= AT_ONCE || !this.waiting.length) return;
    this.drawing += 1;
    const { item, picture, meta } = this.waiting.shift();
    try {
      const type = await kind(item.file);
      if (!type) { item.refuse(t.notDocument); this.onchange(); }
      else if (this.items.includes(item)) {
        const { blob, pages } = await drawn(item.file, type);
        item.shown = URL.createObjectURL(blob);
        picture.replaceChildren(h("img", { src: item.shown, alt: "" }));
        if (pages > 1 || type === "application/pdf" || type === "image/tiff") meta.textContent = `${size(item.file.size)} · ${t.pages(pages)}`;
      }
    } catch (error) {
      // What cannot be drawn may still be read: the service decides when it is sent.
      if (error.code === "password_needed") meta.textContent = t.needsPassword;
      else if (error.detail) { item.refuse(error.detail); this.onchange(); }
    }
    this.drawing -= 1;
    this.next();
  }
}
