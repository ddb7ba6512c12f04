// Figures and tables: a column whose head is in a list holds numbers. On a phone the rows of a wide
// table become blocks with the heads before the values.
import { h } from "./dom.js";
import t from "./strings.en.js";

export function figure(name, value, below) {
  return h("div", { class: "card figure" }, h("dt", {}, name), h("dd", {}, value), below ? h("dd", { class: "sub" }, below) : null);
}

export function panel(title, why, content, id) {
  return h("section", { class: "card panel", ...(id ? {} : { "aria-label": title }) }, h("header", {}, h("h2", { id }, title), why ? h("p", {}, why) : null), content);
}

/** Rows are lists of cells; a cell is a list of its content, or `{act: buttons}`. */
export function table(heads, rows, none) {
  if (!rows.length) return h("p", { class: "none" }, none);
  const numbers = heads.map((head) => Array.isArray(head));
  const cell = (content, at) => (content.act ? h("td", { class: "act" }, content.act) : h("td", { class: numbers[at] ? "n" : "", "data-head": heads[at] }, content));
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": t.table },
    h("table", { class: heads.length > 3 ? "wide" : "" }, h("thead", {}, h("tr", {}, heads.map((head, at) => h("th", { scope: "col", class: numbers[at] ? "n" : "" }, head)))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map(cell))))));
}
