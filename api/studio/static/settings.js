// Model, language and options: what the service can do now, and what was chosen last.
import { get } from "./api.js";
import { Combobox } from "./combobox.js";
import { h } from "./dom.js";
import t from "./strings.en.js";

const KEPT = "casola.settings";
const MAIN = ["en", "es", "fr", "de", "it", "pt", "ru", "ja", "ko", "zh"];

const field = (label, control, node = control) => h("div", { class: "field" }, h("label", { for: control.id }, label), node);

export async function settings() {
  const kept = JSON.parse(localStorage.getItem(KEPT) ?? "{}");
  let engines = [];
  try { engines = (await get("/api/v1/engines")).data.filter((engine) => engine.live); } catch { /* Said below: no engine is live. */ }
  const model = h("select", { id: "model" }, engines.map((engine) => h("option", { value: engine.name }, engine.name === "auto" ? t.auto : engine.name)));
  const language = new Combobox("language", remember);
  const about = h("p", { class: "hint", "aria-live": "polite" });
  const pages = h("input", { id: "pages", type: "text", placeholder: t.pageHint, autocomplete: "off" });
  const password = h("input", { id: "password", type: "password", autocomplete: "off" });
  const embedded = h("input", { id: "embedded", type: "checkbox", checked: kept.embedded === true });
  const mode = h("select", { id: "mode" });
  const current = () => engines.find((engine) => engine.name === model.value);

  function fit() {
    const engine = current();
    about.textContent = engine ? engine.about.charAt(0).toUpperCase() + engine.about.slice(1) + "." : t.noEngine;
    const known = engine?.languages ?? [];
    const option = (each) => ({ value: each.code, also: each.code, disabled: !each.works, label: each.works ? each.name : t.notInstalled(each.name) });
    language.fill([
      { options: [{ value: "auto", label: t.detect }] },
      { label: t.common, options: MAIN.map((code) => known.find((each) => each.code === code)).filter(Boolean).map(option) },
      { label: t.others, options: known.filter((each) => !MAIN.includes(each.code)).sort((x, y) => x.name.localeCompare(y.name)).map(option) },
    ], language.value || kept.language);
    const asked = mode.value || kept.mode || "document";
    mode.replaceChildren(...(engine?.modes ?? ["document"]).map((each) => h("option", { value: each }, t.modes[each] ?? each)));
    mode.value = asked;
    if (mode.selectedIndex < 0) mode.selectedIndex = 0;
  }

  function remember() {
    localStorage.setItem(KEPT, JSON.stringify({ model: model.value, language: language.value, embedded: embedded.checked, mode: mode.value }));
  }

  if (kept.model && engines.some((engine) => engine.name === kept.model)) model.value = kept.model;
  fit();
  model.addEventListener("change", () => { fit(); remember(); });
  for (const control of [embedded, mode]) control.addEventListener("change", remember);

  return {
    live: () => engines.length > 0,
    model: field(t.model, model),
    language: field(t.language, language.control, language.node),
    about,
    options: h("details", { class: "options" }, h("summary", {}, t.options), h("form", { onsubmit: (event) => event.preventDefault() }, field(t.pageRange, pages), field(t.mode, mode), field(t.password, password), h("label", { class: "check" }, embedded, t.embedded))),
    values: () => ({
      model: model.value, language: language.value, mode: mode.value, text_layer: embedded.checked ? "prefer" : "ignore",
      ...(pages.value.trim() ? { pages: pages.value.trim() } : {}), ...(password.value ? { password: password.value } : {}),
    }),
  };
}
