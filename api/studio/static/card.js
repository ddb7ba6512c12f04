// One document: how far it is, then its text and what can be done with it.
import { call, ended, get, job, post, text } from "./api.js";
import { button, confidence, copy, h, icon, menu, toast } from "./dom.js";
import { remarks } from "./remarks.js";
import t from "./strings.en.js";
import { view } from "./viewer.js";

/** Characters shown before "Show all": the rest would slow a page with many cards. */
const SHOWN = 4000;

/** Pages above which a card fetches only the text: a result holds the place of every word. */
const MANY = 50;

/** What read it, for people. */
export const named = (engine) => (engine === "auto" ? t.auto : engine);

export function save(id, format) {
  h("a", { href: `${job(id)}/export?format=${format}`, download: "" }).click();
}

export function formats(state) {
  const id = state.request_id;
  return [
    ...Object.entries(t.formatsMenu).map(([format, label]) => ({ label, run: () => save(id, format) })),
    null,
    { label: t.curl, run: async () => {
      const auth = document.getElementById("sign-out") ? ' -H "Authorization: Bearer $CASOLA_TOKEN"' : "";
      // Quoted for curl, and that for the shell.
      const file = `file=@"${(state.file_name || "document").replace(/["\\]/g, "\\$&")}"`.replaceAll("'", "'\\''");
      await copy(`curl -sS${auth} -F model=${state.model} -F language=${state.language} -F '${file}' ${location.origin}/api/v1/jobs`);
    } },
  ];
}

/** Whether trying again may read something of it. */
export const unread = (state) => state.status === "failed" || (state.status === "completed" && state.pages.failed > 0);

/** The document's picture; `shown`, a blob's URL, until the service has one. */
export function thumb(state, open, shown) {
  const made = h("button", { type: "button", class: "thumb", "aria-label": `${t.view}: ${state.file_name}`, onclick: open }, stand(shown));
  // Of a document that could not be opened there is no picture.
  if (state.pages.done > 0) {
    const picture = h("img", { src: `${job(state.request_id)}/preview`, alt: "", onload: () => { made.replaceChildren(picture); if (shown) URL.revokeObjectURL(shown); } });
  }
  return made;
}

const stand = (shown) => (shown ? h("img", { src: shown, alt: "" }) : icon("file"));

export function card(first, { shown, onretry, ondelete }) {
  const made = { retry: again, state: first, node: h("article", { class: "card result", "aria-label": first.file_name, "data-id": first.request_id }), update, cancel };
  const id = first.request_id;
  const open = () => view(made.state);
  let pictured = "";
  let picture = h("div", { class: "thumb" }, stand(shown));
  const name = h("h3", { title: first.file_name }, first.file_name || id);
  const actions = h("div", { class: "actions" });
  const facts = h("ul", { class: "facts" });
  const content = h("div", {});
  made.node.append(picture, h("div", { class: "body" }, h("div", { class: "title" }, name, actions), facts, content));
  let drawn = "";

  async function cancel() {
    try { update(await post(`${job(id)}/cancel`)); } catch (error) { toast(error.message); }
  }

  async function again() {
    try { update(await post(`${job(id)}/retry`)); onretry(id); } catch (error) { toast(error.message); }
  }

  async function remove() {
    try { await call(job(id), { method: "DELETE" }); made.node.remove(); ondelete(id); toast(t.deleted(1)); } catch (error) { toast(error.message); }
  }

  function look(state) {
    const ready = state.pages.done > 0 ? "yes" : "";
    if (ready === pictured) return;
    pictured = ready;
    const fresh = thumb(state, open, shown);
    picture.replaceWith(fresh);
    picture = fresh;
  }

  function update(state) {
    made.state = state;
    name.textContent = state.file_name || id;
    look(state);
    if (!ended(state)) { running(state); return; }
    const key = `${state.status}${state.run}`;
    if (key === drawn) return;
    drawn = key;
    finished(state);
  }

  function running(state) {
    const { total, done, failed } = state.pages;
    const step = state.status === "queued" ? t.queued(state.queue_position) : total ? t.reading(done + failed, total) : t.opening;
    facts.replaceChildren(h("li", { class: "pill accent" }, step), ...(Number.isFinite(state.eta_seconds) ? [h("li", {}, t.eta(state.eta_seconds))] : []));
    if (drawn !== "running") {
      drawn = "running";
      actions.replaceChildren(button(t.cancel, { kind: "small", onclick: cancel }));
      content.replaceChildren(h("div", { class: "progress wait", role: "progressbar", "aria-label": first.file_name, "aria-valuemin": 0, "aria-valuemax": 100 }, h("i", {})));
    }
    const bar = content.querySelector(".progress");
    const share = total > 1 ? (done + failed) / total : 0;
    bar.classList.toggle("wait", share === 0);
    if (share) { bar.firstChild.style.width = `${Math.round(share * 100)}%`; bar.setAttribute("aria-valuenow", Math.round(share * 100)); }
  }

  async function finished(state) {
    const read = state.pages.done > 0;
    const time = state.finished_at && state.started_at ? (Date.parse(state.finished_at) - Date.parse(state.started_at)) / 1000 : null;
    const engine = h("li", {}, named(state.engine || state.model));
    facts.replaceChildren(...[
      state.status === "completed" ? h("li", {}, confidence(state.confidence)) : h("li", { class: `pill ${state.status === "failed" ? "poor" : ""}` }, t.states[state.status]),
      read && state.words !== null && h("li", {}, t.words(state.words)), read && state.languages_found.length > 0 && h("li", {}, t.languages(state.languages_found)), state.pages.total > 0 && h("li", {}, t.pages(state.pages.total)), engine, time !== null && h("li", {}, t.seconds(time)),
    ].filter(Boolean));
    const more = button(t.more, { only: true, icon: "dots", kind: "small", "aria-haspopup": "menu", "aria-expanded": "false" });
    more.addEventListener("click", () => menu(more, [...(read ? formats(state) : []), ...(read ? [null] : []), { label: t.delete, run: remove }]));
    const copied = button(t.copy, { icon: "copy", kind: "small", onclick: async () => copy(await text(id), copied) });
    actions.replaceChildren(...(unread(state) ? [button(t.retry, { kind: "small", onclick: again })] : []),
      ...(read ? [copied, button(t.download, { icon: "down", kind: "small", onclick: () => save(id, "txt") }), button(t.view, { icon: "book", kind: "small", onclick: open })] : []), more);
    content.replaceChildren();
    if (state.status === "failed") {
      content.append(h("div", { class: "fail" }, h("b", {}, t.failedTitle), state.error?.detail ?? t.failed));
      return;
    }
    if (!read) return;
    try {
      if (state.pages.total > MANY) { content.replaceChildren(await longText(id), h("p", { class: "muted more" }, t.openForMore)); return; }
      const result = await get(`${job(id)}/result`);
      const readers = [...new Set(result.page_results.filter((page) => !page.error).map((page) => page.engine))];
      if (readers.length) engine.textContent = readers.join(", ");
      content.replaceChildren(box(spaced(result.text)), ...notes(result.page_results));
    } catch (error) {
      content.replaceChildren(h("div", { class: "fail" }, error.message));
    }
  }

  update(first);
  return made;
}

function notes(pages) {
  const found = remarks(pages);
  return found.length ? [h("ul", { class: "notes" }, found.slice(0, 6).map((each) => h("li", {}, icon("warn"), each)))] : [];
}

function box(whole) {
  return whole.trim() ? folded(whole.slice(0, SHOWN), whole.split("\n").length > 8 || whole.length > 700, () => whole) : h("p", { class: "muted" }, t.noText);
}

/** The beginning of a long document's text; the rest comes when it is asked for. */
async function longText(id) {
  const reader = (await call(`${job(id)}/export?format=txt`)).body.pipeThrough(new TextDecoderStream()).getReader();
  let begun = "";
  let done = false;
  while (begun.length < SHOWN && !done) {
    const part = await reader.read();
    done = part.done;
    begun += part.value ?? "";
  }
  await reader.cancel();
  return folded(spaced(begun.slice(0, SHOWN)), true, async () => spaced(await text(id)));
}

const spaced = (whole) => whole.replaceAll("\f", "\n\n");

function folded(begun, long, whole) {
  const pre = h("pre", { tabindex: "0", dir: "auto", "aria-label": t.results }, begun);
  const made = h("div", { class: `text${long ? " long" : ""}` }, pre);
  const toggle = button(t.showAll, { kind: "quiet small more", "aria-expanded": "false", onclick: async () => {
    const open = made.classList.toggle("open");
    toggle.querySelector("span").textContent = open ? t.showLess : t.showAll;
    toggle.setAttribute("aria-expanded", String(open));
    pre.textContent = open ? await whole() : begun;
  } });
  if (long) made.append(toggle);
  return made;
}
