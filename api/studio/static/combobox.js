// A choice with a search box (WAI-ARIA's combobox with a list): type some letters, arrows, Enter.
import { h } from "./dom.js";
import t from "./strings.en.js";

const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

/** Groups are `{label, options: [{value, label, also, disabled}]}`; `also` is found by typing, too. */
export class Combobox {
  constructor(id, onchange) {
    this.onchange = onchange;
    this.groups = [];
    this.chosen = null;
    this.at = -1;
    this.list = h("ul", { id: `${id}-list`, class: "choices", role: "listbox", popover: "manual", "aria-label": t.language });
    this.control = h("input", { id, type: "text", role: "combobox", class: "combobox", autocomplete: "off", spellcheck: "false", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": this.list.id,
      onfocus: () => this.control.select(), onclick: () => this.open(""), oninput: () => this.open(this.control.value), onkeydown: (event) => this.key(event), onblur: () => this.close() });
    // A press on the list must not take the focus before it is a click.
    this.list.addEventListener("pointerdown", (event) => event.preventDefault());
    this.node = h("div", {}, this.control, this.list);
    // A phone scrolls to the field when its keyboard comes up: the list goes along.
    addEventListener("scroll", (event) => { if (event.target !== this.list && this.isOpen) this.place(); }, true);
    addEventListener("resize", () => { if (this.isOpen) this.place(); });
  }

  get options() { return this.groups.flatMap((group) => group.options); }
  get value() { return this.chosen?.value ?? ""; }

  /** Take other choices; what was chosen stays, where it still can be. */
  fill(groups, value) {
    this.groups = groups;
    const able = this.options.filter((option) => !option.disabled);
    this.chosen = able.find((option) => option.value === value) ?? able[0] ?? null;
    this.control.value = this.chosen?.label ?? "";
  }

  open(typed) {
    const wanted = plain(typed.trim());
    const fits = (option) => !wanted || plain(option.label).split(/[\s(]+/).some((word) => word.startsWith(wanted)) || option.also === wanted || plain(option.label).startsWith(wanted);
    this.shown = [];
    this.list.replaceChildren(...this.groups.flatMap((group) => {
      const found = group.options.filter(fits);
      return found.length ? [...(group.label ? [h("li", { role: "presentation", class: "group" }, group.label)] : []), ...found.map((option) => this.row(option))] : [];
    }));
    if (!this.shown.length) this.list.append(h("li", { role: "presentation", class: "group" }, t.nothingFits));
    this.place();
    if (!this.isOpen) this.list.showPopover();
    this.control.setAttribute("aria-expanded", "true");
    this.move(wanted ? this.shown.findIndex(({ option }) => !option.disabled) : this.shown.findIndex(({ option }) => option === this.chosen));
  }

  /** Below the field, or above it where there is more room. */
  place() {
    const box = this.control.getBoundingClientRect();
    const room = innerHeight - box.bottom - 14;
    const up = room < 180 && box.top > room;
    Object.assign(this.list.style, { left: `${box.left}px`, width: `${box.width}px`, top: up ? "auto" : `${box.bottom + 4}px`, bottom: up ? `${innerHeight - box.top + 4}px` : "auto", maxHeight: `${Math.min(320, up ? box.top - 14 : room)}px` });
  }

  get isOpen() { return this.list.matches(":popover-open"); }

  row(option) {
    const node = h("li", { id: `${this.list.id}-${this.shown.length}`, role: "option", "aria-selected": String(option === this.chosen), ...(option.disabled ? { "aria-disabled": "true" } : {}), onclick: () => this.choose(option) }, option.label);
    this.shown.push({ option, node });
    return node;
  }

  move(to) {
    this.shown[this.at]?.node.classList.remove("at");
    this.at = to;
    const node = this.shown[to]?.node;
    if (node) { node.classList.add("at"); node.scrollIntoView({ block: "nearest" }); this.control.setAttribute("aria-activedescendant", node.id); } else this.control.removeAttribute("aria-activedescendant");
  }

  step(by) {
    const able = this.shown.map(({ option }, at) => (option.disabled ? -1 : at)).filter((at) => at >= 0);
    if (able.length) this.move(able[(able.indexOf(this.at) + by + able.length) % able.length]);
  }

  key(event) {
    const keys = {
      ArrowDown: () => (this.isOpen ? this.step(1) : this.open("")), ArrowUp: () => (this.isOpen ? this.step(-1) : this.open("")),
      Enter: () => { if (this.isOpen && this.shown[this.at]) this.choose(this.shown[this.at].option); }, Escape: () => { if (this.isOpen) this.close(); },
    };
    if (keys[event.key]) { keys[event.key](); event.preventDefault(); }
  }

  choose(option) {
    if (option.disabled) return;
    this.chosen = option;
    this.close();
    this.onchange();
  }

  close() {
    if (this.isOpen) this.list.hidePopover();
    this.control.setAttribute("aria-expanded", "false");
    this.control.removeAttribute("aria-activedescendant");
    this.control.value = this.chosen?.label ?? "";
  }
}
