// `/library`: everything that was read.
import { call, ended, get, job, text, upload, Watch } from "./api.js";
import { formats, named, save, thumb } from "./card.js";
import { reach } from "./chrome.js";
import { diff } from "./diff.js";
import { button, confidence, copy, h, icon, menu, size, toast } from "./dom.js";
import t from "./strings.en.js";
import { view } from "./viewer.js";

const PAGE = 50;
/** How long a deletion can be undone: only then is it asked of the service. */
const UNDO_MS = 8000;
const DAY = 86_400_000;
/** Languages of a document that its row names. */
const ROW_LANGUAGES = 2;

const root = document.getElementById("library");
const rows = new Map();
const picked = new Set();
const doomed = new Map();
let following = null;
let more = true;
let loading = false;
let turn = 0;
/** Whether the service says that its index lacks something yet. */
let partial = false;

const option = (value, label) => h("option", { value }, label);
const search = h("input", { type: "search", id: "q", placeholder: t.search, "aria-label": t.search });
const state = h("select", { id: "state" }, option("", t.anyState), Object.entries(t.states).map(([value, label]) => option(value, label)));
const model = h("select", { id: "model" }, option("", t.anyModel));
const date = h("select", { id: "date" }, option("", t.anyDate), option("1", t.today), option("7", t.week), option("30", t.month));
const language = h("select", { id: "spoken" }, option("", t.anyLanguage));
const low = h("input", { type: "checkbox", id: "low" });
const list = h("ul", { class: "list card", "aria-busy": "true" });
const end = h("div", { class: "muted", role: "status" });
/** Of everything that is kept, whatever is shown. */
const stored = h("p", { class: "muted foot stored", hidden: true });
const bar = h("div", { class: "selected", hidden: true, role: "region", "aria-label": t.more });
const filters = [state, model, language, date, low];
root.append(
  h("div", { class: "tools" }, h("div", { class: "search" }, icon("search"), search),
    ...[[t.state, state], [t.model, model], [t.language, language], [t.date, date]].map(([label, control]) => h("div", {}, h("label", { class: "sr", for: control.id }, label), control)), h("label", { class: "check" }, low, t.low)),
  list, end, stored, bar);

const watch = new Watch((told) => { if (told.status === "gone") drop(told.request_id); else rows.get(told.request_id)?.update(told); }, reach);
get("/api/v1/engines").then(({ data }) => {
  model.append(...data.filter((each) => each.name !== "auto").map((each) => option(each.name, each.name)));
  const known = new Map(data.flatMap((each) => each.languages).map((each) => [each.code, each.name]));
  language.append(option("auto", t.unknownLanguage), ...[...known].sort((a, b) => a[1].localeCompare(b[1])).map(([code, name]) => option(code, name)));
}, () => reach(false));

get("/api/v1/usage").then((kept) => {
  stored.hidden = !kept.jobs;
  stored.textContent = t.storage(kept.jobs, size(kept.bytes), new Date(kept.counted_at));
}, () => reach(false));

let typing = 0;
search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(begin, 180); });
for (const control of filters) control.addEventListener("change", begin);
const sight = new IntersectionObserver((seen) => { if (seen.some((each) => each.isIntersecting)) load(); }, { rootMargin: "600px" });

/** What the service is asked for. */
function wanted() {
  return {
    ...(search.value.trim() ? { text: search.value.trim() } : {}), ...(state.value ? { status: state.value } : {}),
    ...(model.value ? { model: model.value } : {}), ...(language.value ? { language: language.value } : {}),
    ...(date.value ? { created_from: new Date(Date.now() - Number(date.value) * DAY).toISOString() } : {}), ...(low.checked ? { low_confidence: true } : {}),
  };
}

function begin() {
  turn += 1;
  rows.clear();
  picked.clear();
  following = null;
  more = true;
  loading = false;
  list.replaceChildren(...[1, 2, 3].map(() => h("li", { class: "skeleton", "aria-hidden": "true" })));
  list.hidden = false;
  end.replaceChildren();
  chosen();
  load();
}

async function load() {
  if (loading || !more) return;
  loading = true;
  const mine = turn;
  list.setAttribute("aria-busy", "true");
  const query = new URLSearchParams({ limit: PAGE, ...(following ? { after: following } : {}), ...wanted() });
  let answer;
  try {
    answer = await get(`/api/v1/library?${query}`);
  } catch (error) {
    if (mine !== turn) return;
    list.replaceChildren();
    list.hidden = rows.size === 0;
    end.replaceChildren(h("div", { class: "card empty" }, h("h2", {}, t.failed), h("p", {}, error.message), button(t.retry, { onclick: begin })));
    loading = false;
    return;
  }
  if (mine !== turn) return;
  reach(true);
  for (const bone of list.querySelectorAll(".skeleton")) bone.remove();
  following = answer.next;
  more = answer.has_more;
  partial = answer.complete === false;
  const fresh = answer.data.filter((each) => !doomed.has(each.request_id) && !rows.has(each.request_id));
  for (const each of fresh) { const made = row(each, answer.snippets?.[each.request_id]); rows.set(each.request_id, made); list.append(made.node); }
  watch.add(fresh.filter((each) => !ended(each)).map((each) => each.request_id));
  loading = false;
  list.setAttribute("aria-busy", "false");
  settle();
  sight.disconnect();
  if (more) sight.observe(end);
  // A filter may leave little of a page: go on until there is something to see.
  if (more && fresh.length < 10) load();
}

function settle() {
  const filtered = Object.keys(wanted()).length > 0;
  const lacking = partial ? h("p", { class: "muted foot" }, t.partial) : null;
  list.hidden = rows.size === 0;
  if (rows.size || more) {
    end.replaceChildren(h("p", { class: "muted foot" }, more ? t.loading : t.shown(rows.size)), ...(lacking ? [lacking] : []));
    return;
  }
  end.replaceChildren(h("div", { class: "card empty" }, h("h2", {}, filtered ? t.noMatch : t.nothingYet), h("p", {}, filtered ? t.noMatchWhy : t.nothingYetWhy), lacking,
    filtered ? button(t.reset, { onclick: () => { search.value = state.value = model.value = language.value = date.value = ""; low.checked = false; begin(); search.focus(); } }) : h("a", { class: "btn primary", href: "/ocr" }, t.submit(0))));
}

function row(first, found) {
  const id = first.request_id;
  const made = { state: first, node: h("li", { "data-id": id }), update };
  const name = first.file_name || id;
  const open = () => view(made.state, found?.source === "text" ? { page: found.page, words: marked(found).find((part) => part.nodeName === "MARK")?.textContent } : {});
  const tick = h("input", { type: "checkbox", "aria-label": t.select(name), onchange: () => { if (tick.checked) picked.add(id); else picked.delete(id); chosen(); } });
  const sub = h("div", { class: "sub" });
  const sure = h("span", { class: "pill" });
  const actions = h("div", { class: "actions" });
  const opener = button(t.more, { only: true, icon: "dots", kind: "quiet small", "aria-haspopup": "menu", "aria-expanded": "false" });
  opener.addEventListener("click", () => menu(opener, [
    { label: t.open, run: open },
    ...(made.state.pages.done ? [{ label: t.copy, run: async () => copy(await text(id)) }, { label: `${t.download} (.txt)`, run: () => save(id, "txt") }, null, ...formats(made.state), null] : []),
    { label: t.rerun, run: () => rerun(made.state) }, { label: t.delete, run: () => remove([id]) },
  ]));
  actions.append(opener);
  const when = h("time", { class: "when", datetime: first.created_at, title: new Date(first.created_at).toLocaleString() }, ago(first.created_at));
  let picture = thumb(first, open);
  let pictured = first.pages.done > 0;
  made.node.append(tick, picture, h("div", {}, h("button", { type: "button", class: "open", title: name, onclick: open }, found?.source === "file_name" ? marked(found) : name), sub, found?.source === "text" && h("p", { class: "snip", dir: "auto" }, found.page !== null && first.pages.total > 1 && h("span", { class: "pg" }, t.inPage(found.page)), marked(found))), sure, when, actions);
  let badge = sure;

  function update(told) {
    made.state = told;
    if (!pictured && told.pages.done > 0) {
      pictured = true;
      const fresh = thumb(told, open);
      picture.replaceWith(fresh);
      picture = fresh;
    }
    sub.textContent = [told.status !== "completed" && t.states[told.status], told.pages.total > 0 && t.pages(told.pages.total), told.words !== null && told.pages.done > 0 && t.words(told.words), t.languages(told.languages_found.slice(0, ROW_LANGUAGES)), named(told.engine || told.model), told.error?.detail].filter(Boolean).join(" · ");
    const fresh = told.status === "completed" ? confidence(told.confidence) : h("span", { class: `pill ${told.status === "failed" ? "poor" : ended(told) ? "" : "accent"}` }, t.states[told.status]);
    badge.replaceWith(fresh);
    badge = fresh;
  }
  update(first);
  return made;
}

/** A snippet's text with what was looked for in marks; these count characters, JavaScript's strings count halves of some. */
function marked({ text: whole, marks }) {
  const letters = [...whole];
  const parts = [];
  let from = 0;
  for (const [start, stop] of marks) {
    parts.push(letters.slice(from, start).join(""), h("mark", {}, letters.slice(start, stop).join("")));
    from = stop;
  }
  return [...parts, letters.slice(from).join("")];
}

function ago(when) {
  const then = new Date(when);
  const today = new Date().toDateString() === then.toDateString();
  return today ? then.toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit" }) : then.toLocaleDateString("en", { day: "numeric", month: "short", year: then.getFullYear() === new Date().getFullYear() ? undefined : "numeric" });
}

function chosen() {
  bar.hidden = picked.size === 0;
  bar.replaceChildren(h("span", {}, t.selected(picked.size)), ...(picked.size === 2 ? [button(t.compare, { kind: "small", onclick: () => compare([...picked]) })] : []),
    button(t.delete, { kind: "small danger", onclick: () => remove([...picked]) }), button(t.close, { only: true, icon: "x", kind: "quiet small", onclick: () => { for (const box of list.querySelectorAll("input:checked")) box.checked = false; picked.clear(); chosen(); } }));
}

function drop(id) {
  rows.get(id)?.node.remove();
  rows.delete(id);
  picked.delete(id);
  settle();
}

/** Gone from sight at once; from the service when it can no longer be undone. */
function remove(ids) {
  const before = ids.map((id) => [id, rows.get(id), rows.get(id)?.node.nextSibling]);
  for (const id of ids) { doomed.set(id, true); drop(id); }
  chosen();
  const timer = setTimeout(() => erase(ids), UNDO_MS);
  for (const id of ids) doomed.set(id, timer);
  toast(t.deleted(ids.length), t.undo, () => {
    clearTimeout(timer);
    for (const [id, made, next] of before.reverse()) {
      doomed.delete(id);
      if (made) { rows.set(id, made); list.hidden = false; list.insertBefore(made.node, next?.isConnected ? next : null); made.node.querySelector("input").checked = false; }
    }
    settle();
  }, UNDO_MS);
  search.focus();
}

async function erase(ids) {
  for (const id of ids) {
    if (!doomed.has(id)) continue;
    try {
      await call(job(id), { method: "DELETE", keepalive: true });
    } catch (error) {
      if (![404, 410].includes(error.status)) { toast(error.message); doomed.delete(id); begin(); }
    }
  }
}
addEventListener("pagehide", () => { for (const [id, timer] of doomed) { clearTimeout(timer); fetch(job(id), { method: "DELETE", keepalive: true }); } });

async function compare(ids) {
  const [one, other] = ids.map((id) => rows.get(id).state).sort((a, b) => a.created_at.localeCompare(b.created_at));
  const body = h("div", { class: "diff", tabindex: "0", role: "region", "aria-label": t.compareTitle }, t.loading);
  const dialog = h("dialog", { class: "compare", "aria-label": t.compareTitle },
    h("div", { class: "vbar" }, h("h2", {}, t.compareTitle), button(t.close, { only: true, icon: "x", kind: "quiet", onclick: () => dialog.close() })),
    h("div", { class: "vbar muted" }, h("span", {}, `${one.file_name} (${named(one.engine)}) → ${other.file_name} (${named(other.engine)})`), h("span", { class: "grow" }), h("span", {}, t.compareLegend)), body);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  try {
    const pieces = diff(await text(one.request_id), await text(other.request_id));
    if (pieces === null) body.replaceChildren(h("p", { class: "muted" }, t.tooLong));
    else body.replaceChildren(...(pieces.every((each) => each.kind === "same") ? [h("p", { class: "muted" }, t.same)] : []), ...pieces.map((each) => each.kind === "same" ? each.text : h(each.kind === "new" ? "ins" : "del", {}, each.text)));
  } catch (error) {
    body.textContent = error.message;
  }
}

/** Its source goes in once more, so that both results can be compared. */
async function rerun(told) {
  const { data } = await get("/api/v1/engines");
  const choice = h("select", { id: "again" }, data.filter((each) => each.live && each.name !== told.model).map((each) => option(each.name, each.name)));
  const dialog = h("dialog", { class: "card signin", "aria-label": t.rerunTitle }, h("h2", {}, t.rerunTitle), h("p", {}, told.file_name), h("label", { for: "again" }, t.model), choice,
    button(t.rerunStart, { kind: "primary", onclick: async () => {
      try {
        const source = await (await call(`${job(told.request_id)}/source`)).blob();
        const form = new FormData();
        for (const [name, value] of Object.entries({ model: choice.value, language: told.language, text_layer: told.text_layer, lane: "interactive", ...(told.pages_selected ? { pages: told.pages_selected } : {}) })) form.append(name, value);
        form.append("file", source, told.file_name);
        await upload("/api/v1/jobs", form, {}, () => {});
        dialog.close();
        toast(t.rerunDone);
        begin();
      } catch (error) { toast(error.message); }
    } }), button(t.close, { onclick: () => dialog.close() }));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

begin();
