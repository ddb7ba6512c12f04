// `/status`: how the service is doing, asked again every few seconds.
import { call, get } from "./api.js";
import { reach } from "./chrome.js";
import { button, h, icon, size, toast } from "./dom.js";
import t from "./strings.en.js";
import { figure, panel, table } from "./tables.js";

const EVERY_MS = 3000;
/** Above this share of its memory Valkey is worth a look; submissions stop at 75 % of it. */
const FULL = 0.6;
const DEAD = "/api/v1/dead";

const root = document.getElementById("status");
const updated = document.getElementById("updated");
const dead = document.getElementById("dead");
let letters = -1;

async function refresh() {
  try {
    const told = await get("/api/v1/status");
    reach(true);
    draw(told);
    updated.textContent = t.updatedAt(new Date(told.at));
    if (told.activity && told.activity.dead_letters !== letters) {
      letters = told.activity.dead_letters;
      await list();
    }
  } catch (error) {
    if (error.status >= 400 && error.status < 500) root.replaceChildren(h("p", { class: "error" }, error.message));
    else reach(false);
  }
}

function draw({ parts, ready, records, activity, engines }) {
  root.replaceChildren(health(parts, ready), ...(activity ? [
    figures(activity, records), queues(activity.queues),
    h("div", { class: "two" }, h("div", {}, enginesOf(engines), failures(activity.failures)), workers(activity.workers)),
  ] : []));
}

function health(parts, ready) {
  return h("ul", { class: "parts card", "aria-label": t.health },
    h("li", { class: `all ${ready ? "good" : "poor"}` }, icon(ready ? "check" : "warn"), ready ? t.allWell : t.notWell),
    Object.entries(parts).map(([name, part]) => h("li", {}, h("span", { class: part.ready ? "good" : "poor" }, icon(part.ready ? "check" : "warn")), h("span", { class: part.ready ? "" : "poor" }, part.ready ? t.parts[name] ?? name : part.detail))));
}

function figures(activity, records) {
  const oldest = Math.max(-1, ...activity.queues.map((queue) => queue.oldest_seconds ?? -1));
  const running = activity.queues.reduce((sum, queue) => sum + queue.running, 0);
  const share = records.max_bytes ? records.used_bytes / records.max_bytes : null;
  return h("dl", { class: "figures" },
    figure(t.rate, t.perSecond(activity.pages_per_second), t.rateWhy),
    figure(t.pending, t.count(activity.pending_pages), `${t.runningNow(running)} · ${size(activity.pending_bytes)}`),
    figure(t.oldest, oldest < 0 ? "–" : t.age(oldest), oldest < 0 ? t.nothingWaits : t.oldestWhy),
    figure(t.deadLetters, t.count(activity.dead_letters), activity.dead_letters ? t.deadWhy : t.noDead),
    figure(`Valkey ${records.version}`, size(records.used_bytes), h("span", { class: share > FULL ? "error" : "" }, share === null ? t.noLimit : t.shareOf(share, size(records.max_bytes)), records.append_only ? "" : ` · ${t.notAppended}`)));
}

function queues(found) {
  return panel(t.queues, t.queuesWhy, table([t.queue, [t.waiting], [t.running], [t.oldest], [t.pace]], found.map((queue) => [
    [h("code", {}, queue.name), queue.served ? null : h("span", { class: "sub error" }, t.unserved)],
    [t.count(queue.waiting)], [t.count(queue.running)], [queue.oldest_seconds === null ? "–" : t.age(queue.oldest_seconds)], [queue.seconds_per_step === null ? "–" : t.seconds(queue.seconds_per_step)],
  ]), t.noQueues));
}

function enginesOf(found) {
  return panel(t.engines, null, table([t.model, t.version, [t.workers]], found.map((engine) => [
    [engine.name, engine.live ? null : h("span", { class: "sub" }, t.notLive)], [h("span", { class: "muted" }, engine.version ?? "–")], [t.count(engine.workers)],
  ]), t.noEngine));
}

function failures(found) {
  return panel(t.failures, t.failuresWhy, table([t.reason, [t.pagesHead]], found.map((failure) => [
    [h("code", {}, failure.code), h("span", { class: "sub" }, `${failure.ours ? t.ours : t.theirs} · ${failure.meaning}`)], [t.count(failure.count)],
  ]), t.noFailures));
}

function workers(found) {
  return panel(t.workers, t.workersWhy, table([t.worker, t.does, [t.seen]], found.map((child) => [
    [h("code", {}, child.name)], [child.does.map((each) => t.doing[each] ?? each).join(", ")], [t.ago(child.seen_seconds)],
  ]), t.noWorkers));
}

/** Jobs with pages that failed through our fault; drawn anew only when their number changes, so that a button keeps its focus. */
async function list(after = "") {
  dead.hidden = letters === 0;
  if (dead.hidden) { dead.replaceChildren(); return; }
  const answer = await get(`${DEAD}?limit=20${after ? `&after=${encodeURIComponent(after)}` : ""}`);
  const rows = answer.data.map((letter) => [
    [h("code", {}, letter.request_id), h("span", { class: "sub" }, `${letter.tenant} · ${letter.engine} · ${t.when(new Date(letter.failed_at))}`)],
    [what(letter)],
    { act: [button(t.retry, { kind: "small", "aria-label": `${t.retry}: ${letter.request_id}`, onclick: () => act(`${DEAD}/${letter.request_id}/retry`, "POST", t.readAgain(letter.request_id)) }),
      button(t.takeOff, { kind: "small quiet", "aria-label": `${t.takeOff}: ${letter.request_id}`, onclick: () => act(`${DEAD}/${letter.request_id}`, "DELETE", t.takenOff(letter.request_id)) })] },
  ]);
  const body = table([t.job, t.whatFailed, h("span", { class: "sr" }, t.actions)], rows, t.noDead);
  if (after) { dead.querySelector("tbody").append(...body.querySelectorAll("tbody tr")); dead.querySelector(".foot")?.remove(); }
  else dead.replaceChildren(panel(t.deadLetters, t.deadLong, body, "dead-title"));
  if (answer.has_more) dead.firstChild.append(h("div", { class: "foot" }, button(t.showMore, { kind: "quiet", onclick: () => list(answer.next) })));
}

function what(letter) {
  const told = letter.pages.slice(0, 3).map((page) => t.failedPage(page.page, page.code, page.attempts));
  const more = letter.pages.length - told.length;
  return [letter.code, ...told, more > 0 && t.andPages(more)].filter(Boolean).join(", ");
}

async function act(path, method, done) {
  try {
    await call(path, { method });
    toast(done);
    letters = -1;
    await refresh();
    (dead.querySelector("button") ?? document.getElementById("main")).focus();
  } catch (error) { toast(error.message); }
}

await refresh();
setInterval(() => { if (!document.hidden) refresh(); }, EVERY_MS);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
