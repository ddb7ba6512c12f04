// `/ocr`: from files to cards with their text.
import { ended, get, job, post, text, upload, Watch } from "./api.js";
import { card, unread } from "./card.js";
import { reach } from "./chrome.js";
import { button, copy, h, icon, toast } from "./dom.js";
import { fromTransfer, Queue } from "./queue.js";
import { settings } from "./settings.js";
import t from "./strings.en.js";

const MAX_MB = Number(document.documentElement.dataset.maxMb);
/** Bytes of one request: the service takes sixteen full files, this leaves room. */
const REQUEST_BYTES = MAX_MB * 1e6 * 12;
const RUNNING = "casola.running";

const composer = document.getElementById("composer");
const results = document.getElementById("results");
const cards = new Map();
const batches = new Map();

const queue = new Queue(draw);
const chosen = await settings();
const watch = new Watch(update, reach);

const pick = (props) => h("input", { type: "file", class: "sr", tabindex: "-1", "aria-hidden": "true", ...props, onchange: (event) => { queue.add([...event.target.files]); event.target.value = ""; } });
const files = pick({ id: "files", multiple: true, accept: "image/*,.pdf,.tif,.tiff,.heic,.heif,.avif" });
const folder = pick({ id: "folder", multiple: true, webkitdirectory: true });
const camera = pick({ id: "camera", accept: "image/*", capture: "environment" });
const link = h("input", { type: "url", placeholder: "https://", "aria-label": t.url, onkeydown: (event) => { if (event.key === "Enter") { event.preventDefault(); addLink(); } } });
const linkRow = h("div", { class: "urlrow", hidden: true }, link, button(t.add, { onclick: addLink }));
/** Fingers neither drop nor paste. */
const touch = matchMedia("(pointer: coarse)").matches;
const headline = h("b", {}, touch ? t.choose : t.drop);
const zone = h("div", { class: "zone" },
  h("div", { class: "mark" }, icon("up")), headline, touch ? null : h("p", {}, t.paste),
  h("div", { class: "ways" },
    button(t.browse, { onclick: () => files.click() }), button(t.folder, { onclick: () => folder.click() }),
    touch && button(t.camera, { onclick: () => camera.click() }),
    button(t.fromUrl, { onclick: () => { linkRow.hidden = !linkRow.hidden; if (!linkRow.hidden) link.focus(); } })),
  h("p", {}, t.formats(MAX_MB)));
const counted = h("h2", {});
const head = h("div", { class: "queue-head", hidden: true }, h("div", { role: "status" }, counted), h("span", { class: "grow" }), button(t.clear, { kind: "quiet small", onclick: () => { queue.clear(); files.focus(); } }));
const tiles = h("ul", { class: "queue", hidden: true });
const submit = button(t.submit(0), { kind: "primary submit", disabled: true, onclick: send });
composer.append(files, folder, camera, zone, linkRow, head, tiles,
  h("div", { class: "settings" }, chosen.model, chosen.language, h("span", { class: "grow" }), submit), chosen.about, chosen.options);

const cancelAll = button(t.cancelAll, { kind: "small", onclick: () => { for (const made of cards.values()) if (!ended(made.state)) made.cancel(); } });
const retryAll = button(t.retryFailed, { kind: "small", onclick: () => { for (const made of cards.values()) if (unread(made.state)) made.retry(); } });
const copyAll = button(t.copyAll, { kind: "small", icon: "copy", onclick: async () => {
  const done = [...cards.values()].filter((made) => made.state.status === "completed");
  copy((await Promise.all(done.map((made) => text(made.state.request_id)))).join("\n\n"), copyAll);
} });
const zip = button(t.zip, { kind: "small", icon: "down", onclick: () => { for (const id of batches.keys()) location.assign(`/api/v1/batches/${encodeURIComponent(id)}/export?of=txt`); } });
const dismiss = button(t.dismiss, { kind: "quiet small", onclick: () => { for (const [id, made] of cards) if (ended(made.state)) { made.node.remove(); cards.delete(id); } keep(); arrange(); } });
results.append(h("div", { class: "section-head" }, h("h2", {}, t.results), h("span", { class: "grow" }), cancelAll, retryAll, copyAll, zip, dismiss));

function addLink() {
  if (!URL.canParse(link.value) || !/^https?:/.test(link.value)) { toast(t.badUrl); return; }
  queue.addUrl(link.value);
  link.value = "";
  linkRow.hidden = true;
}

function draw() {
  const good = queue.good();
  composer.classList.toggle("has-files", queue.items.length > 0);
  headline.textContent = queue.items.length ? (touch ? t.chooseMore : t.dropMore) : touch ? t.choose : t.drop;
  head.hidden = tiles.hidden = queue.items.length === 0;
  counted.textContent = good.length ? t.ready(good.length) : t.notReady(queue.items.length);
  tiles.replaceChildren(...queue.items.map((item) => item.node));
  submit.querySelector("span").textContent = t.submit(good.length);
  submit.disabled = good.length === 0 || !chosen.live();
}

// Files over the whole page.
let depth = 0;
const over = (on) => composer.classList.toggle("over", on);
const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragenter", (event) => { if (carries(event)) { depth += 1; over(true); event.preventDefault(); } });
addEventListener("dragover", (event) => { if (carries(event)) event.preventDefault(); });
addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); if (!depth) over(false); });
addEventListener("drop", async (event) => {
  if (!carries(event)) return;
  event.preventDefault();
  depth = 0;
  over(false);
  queue.add(await fromTransfer(event.dataTransfer));
});
addEventListener("paste", (event) => {
  const found = [...(event.clipboardData?.files ?? [])];
  if (found.length) { event.preventDefault(); queue.add(found); }
});

async function send() {
  const items = queue.good();
  submit.disabled = true;
  const label = submit.querySelector("span");
  const total = items.reduce((sum, item) => sum + (item.file?.size ?? 0), 0) || 1;
  let sent = 0;
  const failed = [];
  const made = [];
  for (const group of groups(items)) {
    const bytes = group.reduce((sum, item) => sum + (item.file?.size ?? 0), 0);
    const tell = (loaded) => { share(group, loaded); label.textContent = t.sending(Math.min(1, (sent + Math.min(loaded, bytes)) / total)); };
    try {
      made.push(...drawnAs(group, await deliver(group, tell)));
    } catch (error) {
      // One bad file refuses its whole request: the others go alone.
      const alone = group.length > 1 && error.status >= 400 && error.status < 500 && error.status !== 429;
      for (const item of alone ? group : []) {
        try { made.push(...drawnAs([item], await deliver([item], () => {}))); } catch (reason) { failed.push(item); item.refuse(reason.message); }
      }
      if (!alone) for (const item of group) { failed.push(item); toast(error.message, null, null, 9000); break; }
      if (!alone) failed.push(...group);
    }
    sent += bytes;
  }
  queue.keep((item) => failed.includes(item) || !items.includes(item));
  for (const { state, shown } of made.reverse()) show(state, shown);
  keep();
  watch.add(made.map(({ state }) => state.request_id));
  if (made.length) { results.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" }); }
}

/** Each job with the picture of its file, which is the card's from now on. */
function drawnAs(group, states) {
  return states.map((state, at) => {
    const { shown } = group[at];
    group[at].shown = null;
    return { state, shown };
  });
}

/** What is on its way of each file: they follow each other in the request. */
function share(group, loaded) {
  let left = loaded;
  for (const { file, sent } of group) { if (file) { sent(Math.min(1, Math.max(0, left) / file.size)); left -= file.size; } }
}

async function deliver(group, tell) {
  const headers = { "Idempotency-Key": crypto.randomUUID?.() ?? String(Math.random()) };
  const fields = { ...chosen.values(), lane: "interactive" };
  const answer = group[0].url ? await post("/api/v1/jobs", { ...fields, urls: group.map((item) => item.url) }) : await upload("/api/v1/jobs", form(group, fields), headers, tell);
  return answer.jobs ?? [answer];
}

function form(group, fields) {
  const made = new FormData();
  for (const [name, value] of Object.entries(fields)) made.append(name, String(value));
  for (const item of group) made.append("file", item.file, item.name);
  return made;
}

function groups(items) {
  const found = [];
  const urls = items.filter((item) => item.url);
  if (urls.length) found.push(urls);
  let room = 0;
  for (const item of items.filter((each) => each.file)) {
    if (room < item.file.size) { found.push([]); room = REQUEST_BYTES; }
    found.at(-1).push(item);
    room -= item.file.size;
  }
  return found;
}

function show(state, shown) {
  const made = card(state, { shown, onretry: (id) => watch.add([id]), ondelete: (id) => { cards.delete(id); keep(); arrange(); } });
  cards.set(state.request_id, made);
  results.querySelector(".section-head").after(made.node);
  arrange();
}

function update(state) {
  const made = cards.get(state.request_id);
  if (state.status === "gone") { made?.node.remove(); cards.delete(state.request_id); keep(); }
  else if (made) made.update(state);
  else show(state);
  arrange();
}

function arrange() {
  const states = [...cards.values()].map((made) => made.state);
  batches.clear();
  for (const state of states) if (state.batch_id && states.filter((each) => each.batch_id === state.batch_id).every(ended)) batches.set(state.batch_id, true);
  results.hidden = !cards.size;
  cancelAll.hidden = states.every(ended);
  const done = states.filter((state) => state.status === "completed").length;
  retryAll.hidden = states.filter(unread).length < 2;
  copyAll.hidden = done < 2;
  zip.hidden = !batches.size;
  dismiss.hidden = !states.some(ended);
}

/** Which cards this tab shows: IDs only, which say nothing without the right to read them. */
function keep() {
  sessionStorage.setItem(RUNNING, JSON.stringify([...cards.keys()].slice(-100)));
}

async function restore() {
  const left = [];
  for (const id of JSON.parse(sessionStorage.getItem(RUNNING) ?? "[]")) {
    try {
      const state = await get(job(id));
      show(state);
      if (!ended(state)) left.push(id);
    } catch (error) {
      // Without an answer it is asked for until there is one.
      if (![404, 410].includes(error.status)) left.push(id);
    }
  }
  if (left.length) watch.add(left);
}

draw();
await restore();
composer.dataset.ready = "true";
