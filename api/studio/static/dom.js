// Making elements. Text is always text: nothing here, or anywhere in Studio, parses HTML.
import t from "./strings.en.js";

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "hidden") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);
export const s = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

const PATHS = {
  up: "M10 13V4m0 0L6.500 7.500M10 4l3.500 3.500M3.500 13v2A1.500 1.500 0 0 0 5 16.500h10a1.500 1.500 0 0 0 1.500-1.500v-2",
  down: "M10 4v9m0 0 3.500-3.500M10 13 6.500 9.500M3.500 16.500h13",
  x: "m5.500 5.500 9 9m0-9-9 9", check: "m4.500 10.500 3.500 3.500 7.500-8", warn: "M10 6.500v4m0 3v.01M10 2.500a7.500 7.500 0 1 0 0 15 7.500 7.500 0 0 0 0-15z",
  low: "M10 4v8m0 3.500v.01", copy: "M7.500 7.500h8v8h-8zM12.500 7.500v-3h-8v8h3", dots: "M5 10h.01M10 10h.01M15 10h.01", file: "M5.500 2.500h6l4 4v11h-10zM11.500 2.500v4h4",
  search: "M9 3.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11zM13 13l4 4", left: "m12 5-5 5 5 5", right: "m8 5 5 5-5 5", plus: "M10 4.500v11M4.500 10h11", minus: "M4.500 10h11",
  book: "M3.500 4h5a1.500 1.500 0 0 1 1.500 1.500V16a1.500 1.500 0 0 0-1.500-1.500h-5zM16.500 4h-5A1.500 1.500 0 0 0 10 5.500V16a1.500 1.500 0 0 1 1.500-1.500h5z",
};
export const icon = (name) => s("svg", { class: `i i-${name}`, viewBox: "0 0 20 20", "aria-hidden": "true" }, s("path", { d: PATHS[name] }));

export function button(label, { icon: name, only, kind = "", ...props } = {}) {
  const made = h("button", { type: "button", class: `btn ${only ? "icon " : ""}${kind}`, ...props, ...(only ? { "aria-label": label, title: label } : {}) });
  if (name) made.append(icon(name));
  if (!only) made.append(h("span", {}, label));
  return made;
}

export function toast(text, action, onaction, ms = 5000) {
  const node = h("div", { class: "toast" }, h("span", {}, text));
  const close = () => node.remove();
  const timer = setTimeout(close, ms);
  if (action) node.append(h("button", { type: "button", onclick: () => { clearTimeout(timer); close(); onaction(); } }, action));
  document.getElementById("toasts").append(node);
  return close;
}

export function size(bytes) {
  if (bytes < 1e3) return `${bytes} B`;
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} kB`;
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

export async function copy(text, feedback) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    toast(t.copyFailed);
    return;
  }
  const label = feedback?.querySelector("span");
  if (!label) { toast(t.copied); return; }
  const before = label.textContent;
  label.textContent = t.copied;
  toast(t.copied, null, null, 1500);
  setTimeout(() => { label.textContent = before; }, 1600);
}

/** How sure the model is, in a figure, a word, a sign and a colour. */
export const level = (value) => (value >= 0.9 ? "good" : value >= 0.75 ? "fair" : "poor");
export function confidence(value) {
  if (value === null || value === undefined) return h("span", { class: "pill", title: t.noConfidenceWhy }, t.noConfidence);
  const kind = level(value);
  const sign = { good: "check", fair: "warn", poor: "low" }[kind];
  return h("span", { class: `pill ${kind}`, title: t.confidenceTitle }, icon(sign), t.confidence(Math.round(value * 100), t.sure[kind]));
}

/** A menu below a button: arrows move, Escape closes and gives the focus back. */
export function menu(opener, entries) {
  const close = () => { list.remove(); opener.setAttribute("aria-expanded", "false"); document.removeEventListener("pointerdown", outside, true); };
  const outside = (event) => { if (!list.contains(event.target) && !opener.contains(event.target)) close(); };
  const list = h("div", { class: "menu", role: "menu" }, entries.map((entry) => entry === null ? h("hr", { role: "separator" }) : h("button", { type: "button", role: "menuitem", onclick: () => { close(); opener.focus(); entry.run(); } }, entry.label)));
  list.addEventListener("keydown", (event) => {
    const all = [...list.querySelectorAll("button")];
    const at = all.indexOf(document.activeElement);
    if (event.key === "Escape") { close(); opener.focus(); event.stopPropagation(); event.preventDefault(); }
    else if (event.key === "ArrowDown") { all[(at + 1) % all.length].focus(); event.preventDefault(); }
    else if (event.key === "ArrowUp") { all[(at + all.length - 1) % all.length].focus(); event.preventDefault(); }
    else if (event.key === "Tab") close();
  });
  if (opener.getAttribute("aria-expanded") === "true") return;
  opener.setAttribute("aria-expanded", "true");
  opener.after(list);
  list.querySelector("button").focus();
  document.addEventListener("pointerdown", outside, true);
}
