// The pages of a document: picture and text side by side, each line on both.
import { get, job, text } from "./api.js";
import { button, h, icon, level, s } from "./dom.js";
import { remarks } from "./remarks.js";
import t from "./strings.en.js";

/** Below this a word is underlined. */
const DOUBT = 0.75;
const ZOOMS = [0.5, 0.75, 1, 1.5, 2, 3, 4];

/** Pages that are kept at once: one of dense print takes some hundred kB. */
const KEPT = 60;

/** Where the chosen pages of a document are in it: `1-3,8` of four is 1, 2, 3, 8. */
export function numbers(selection, total) {
  const found = [];
  for (const part of (selection && selection !== "all" ? selection : "1-").split(",")) {
    const [first, last] = part.split("-").map(Number);
    const end = part.endsWith("-") ? Infinity : last ?? first;
    for (let page = first; page <= end && found.length < total; page += 1) found.push(page);
  }
  return found;
}

/** A document's pages, each fetched when it is looked at. */
class Pages {
  constructor(state) {
    this.id = state.request_id;
    this.numbers = numbers(state.pages_selected, state.pages.total);
    this.kept = new Map();
  }

  get length() { return this.numbers.length; }

  async get(index) {
    if (!this.kept.has(index)) {
      const asked = get(`${job(this.id)}/pages/${this.numbers[index]}`).catch((error) => {
        this.kept.delete(index);
        // What was not read is a page too.
        return { page: this.numbers[index], lines: [], text: "", error: { detail: error.message } };
      });
      this.kept.set(index, asked);
      if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
    }
    return this.kept.get(index);
  }

  /** The text of every page. */
  texts() {
    this.whole ??= text(this.id).then((whole) => whole.toLowerCase().split("\f"));
    return this.whole;
  }
}

/** Opens at the page with this number, and with words looked for, where those are given. */
export async function view(state, { page: first, words: asked } = {}) {
  const opener = document.activeElement;
  const id = state.request_id;
  const pages = new Pages(state);
  const at = { index: 0, zoom: 2, hit: -1 };
  let page = null;
  let hits = [];

  const number = h("input", { type: "text", class: "number", inputmode: "numeric", "aria-label": t.pageNumber, onchange: () => go(Number(number.value) - 1) });
  const sheet = h("div", { class: "sheet" });
  const stage = h("div", { class: "stage", tabindex: "0", role: "region", "aria-label": t.picture });
  const lines = h("div", { class: "lines", tabindex: "0", role: "region", "aria-label": t.results });
  const search = h("input", { type: "search", placeholder: t.find, "aria-label": t.find, oninput: () => find(), onkeydown: (event) => { if (event.key === "Enter") { event.preventDefault(); step(event.shiftKey ? -1 : 1); } } });
  const count = h("span", { class: "muted", role: "status" });
  const back = button(t.previous, { only: true, icon: "left", kind: "quiet", onclick: () => go(at.index - 1) });
  const on = button(t.next, { only: true, icon: "right", kind: "quiet", onclick: () => go(at.index + 1) });
  const dialog = h("dialog", { class: "viewer", "aria-label": state.file_name },
    h("div", { class: "vbar" }, h("h2", {}, state.file_name),
      h("div", { class: "step" }, back, number, h("span", { role: "status" }, t.ofPages(pages.length)), on),
      h("div", { class: "step zoom" }, button(t.zoomOut, { only: true, icon: "minus", kind: "quiet", onclick: () => zoom(-1) }), button(t.zoomIn, { only: true, icon: "plus", kind: "quiet", onclick: () => zoom(1) })),
      search, count, button(t.close, { only: true, icon: "x", kind: "quiet close", onclick: () => dialog.close() })),
    h("div", { class: "panes" }, stage, lines));
  stage.append(h("p", { class: "muted" }, t.loadingPage));
  document.body.append(dialog);
  dialog.addEventListener("close", () => { dialog.remove(); opener?.focus(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.target === search || event.target === number) return;
    const keys = { PageDown: () => go(at.index + 1), PageUp: () => go(at.index - 1), Home: () => go(0), End: () => go(pages.length - 1), "+": () => zoom(1), "-": () => zoom(-1), "/": () => search.focus() };
    if (event.target === dialog || !lines.contains(event.target)) Object.assign(keys, { ArrowRight: () => go(at.index + 1), ArrowLeft: () => go(at.index - 1) });
    if (keys[event.key] && !event.ctrlKey && !event.metaKey) { keys[event.key](); event.preventDefault(); }
  });
  pan(stage);
  dialog.showModal();
  stage.focus();
  const start = Math.max(0, pages.numbers.indexOf(first));
  await go(start);
  if (asked) { search.value = asked; find(start); }

  async function go(index) {
    const wanted = Math.min(pages.length - 1, Math.max(0, Number.isInteger(index) ? index : at.index));
    at.index = wanted;
    number.value = wanted + 1;
    back.disabled = wanted === 0;
    on.disabled = wanted === pages.length - 1;
    const found = await pages.get(wanted);
    // Whoever turns pages quickly sees the last one that was asked for.
    if (at.index !== wanted) return;
    page = found;
    draw();
    if (wanted + 1 < pages.length) pages.get(wanted + 1);
  }

  function draw() {
    const picture = h("img", { src: `${job(id)}/pages/${page.page}/image`, alt: t.pageAlt(page.page), draggable: "false", onerror: () => stage.replaceChildren(h("p", { class: "muted" }, t.noPicture)) });
    sheet.replaceChildren(picture);
    stage.replaceChildren(sheet);
    const shown = page.lines.length ? [h("div", { class: "legend" }, t.legend)] : [];
    if (page.error) shown.push(h("div", { class: "fail" }, h("b", {}, t.pageFailed), page.error.detail));
    const told = remarks([page]);
    if (told.length && !page.error) shown.push(h("ul", { class: "notes" }, told.map((each) => h("li", {}, icon("warn"), each))));
    const rects = [];
    let block = page.lines[0]?.block;
    for (const [row, line] of page.lines.entries()) {
      const [x0, y0, x1, y1] = line.box;
      const light = (yes) => { rects[row].classList.toggle("on", yes); node.classList.toggle("on", yes); };
      const node = h("div", { class: `ln${line.block === block ? "" : " gap"}`, dir: "auto", onpointerenter: () => light(true), onpointerleave: () => light(false), onclick: () => rects[row].scrollIntoView({ block: "nearest", inline: "nearest" }) }, words(line));
      block = line.block;
      rects.push(s("rect", { x: x0, y: y0, width: Math.max(1, x1 - x0), height: Math.max(1, y1 - y0), rx: 2, class: line.confidence === null ? "none" : level(line.confidence),
        onpointerenter: () => light(true), onpointerleave: () => light(false), onclick: () => node.scrollIntoView({ block: "center" }) }));
      shown.push(node);
    }
    if (!page.lines.length && !page.error) shown.push(page.text ? h("div", { class: "ln", dir: "auto" }, page.text) : h("p", { class: "muted" }, t.noText));
    if (page.width) sheet.append(s("svg", { viewBox: `0 0 ${page.width} ${page.height}`, "aria-hidden": "true" }, rects));
    lines.replaceChildren(...shown);
    lines.scrollTop = 0;
    fit();
    mark();
  }

  function fit() {
    const room = stage.clientWidth - 40;
    const tall = page.width ? ((stage.clientHeight - 40) * page.width) / page.height : room;
    // A sheet with its lines before the picture has come.
    sheet.style.aspectRatio = page.width ? `${page.width} / ${page.height}` : "auto";
    sheet.style.width = `${Math.max(120, Math.min(room, Math.max(tall, room * 0.6)) * ZOOMS[at.zoom])}px`;
  }

  function zoom(by) {
    at.zoom = Math.min(ZOOMS.length - 1, Math.max(0, at.zoom + by));
    fit();
  }

  /** Every place where the words stand: the page, and the how manieth of the page it is. */
  async function find(from = 0) {
    const wanted = search.value.trim().toLowerCase();
    at.hit = -1;
    let texts = [];
    try { texts = wanted ? await pages.texts() : []; } catch (error) { count.textContent = error.message; return; }
    if (wanted !== search.value.trim().toLowerCase()) return;
    hits = texts.flatMap((whole, index) => whole.split("\n").filter((line) => line.includes(wanted)).map((_, nth) => ({ index, nth })));
    at.hit = hits.findIndex((hit) => hit.index >= from) - 1;
    count.textContent = wanted ? t.found(0, hits.length) : "";
    if (hits.length) step(1); else if (page) mark();
  }

  async function step(by) {
    if (!hits.length) return;
    at.hit = (at.hit + by + hits.length) % hits.length;
    const { index, nth } = hits[at.hit];
    count.textContent = t.found(at.hit + 1, hits.length);
    if (index === at.index && page) mark(); else await go(index);
    const marked = lines.querySelectorAll(".ln:has(mark)");
    marked[Math.min(nth, marked.length - 1)]?.scrollIntoView({ block: "center" });
  }

  function mark() {
    const wanted = search.value.trim();
    const rows = lines.querySelectorAll(".ln");
    for (const [row, line] of page.lines.entries()) rows[row]?.replaceChildren(...(wanted && line.text.toLowerCase().includes(wanted.toLowerCase()) ? marked(line.text, wanted) : words(line)));
  }
}

function words(line) {
  const parts = [];
  let from = 0;
  for (const word of line.words ?? []) {
    if (word.confidence === null || word.confidence >= DOUBT) continue;
    parts.push(line.text.slice(from, word.start), h("span", { class: "doubt", title: `${Math.round(word.confidence * 100)}%` }, word.text));
    from = word.start + word.text.length;
  }
  return [...parts, line.text.slice(from)];
}

function marked(line, wanted) {
  const low = line.toLowerCase();
  const parts = [];
  let from = 0;
  for (let at = low.indexOf(wanted.toLowerCase()); at >= 0; at = low.indexOf(wanted.toLowerCase(), from)) {
    parts.push(line.slice(from, at), h("mark", {}, line.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  return [...parts, line.slice(from)];
}

function pan(stage) {
  let start = null;
  stage.addEventListener("pointerdown", (event) => { if (event.pointerType === "mouse" && event.button === 0) start = { x: event.clientX + stage.scrollLeft, y: event.clientY + stage.scrollTop }; });
  stage.addEventListener("pointermove", (event) => { if (start) stage.scrollTo(start.x - event.clientX, start.y - event.clientY); });
  addEventListener("pointerup", () => { start = null; });
}
