// The service's API, as docs/api.md has it.
import t from "./strings.en.js";

export class Problem extends Error {
  constructor(status, body) {
    super([body?.detail, body?.advice].filter(Boolean).join(" ") || t.failed);
    this.status = status;
    this.code = body?.code ?? "";
    this.detail = body?.detail ?? "";
  }
}

export async function call(path, { json, ...init } = {}) {
  if (json !== undefined) {
    init.body = JSON.stringify(json);
    init.headers = { "Content-Type": "application/json", ...init.headers };
  }
  const response = await fetch(path, { method: json === undefined ? "GET" : "POST", ...init });
  if (response.status === 401 && path !== "/session") location.assign("/sign-in");
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => null));
  return response;
}

export const get = async (path) => (await call(path)).json();
export const post = async (path, json = {}) => (await call(path, { json })).json();
export const job = (id) => `/api/v1/jobs/${encodeURIComponent(id)}`;
export const text = async (id) => (await call(`${job(id)}/export?format=txt`)).text();

/** Send a form and tell how much of it is on its way: `fetch` cannot. */
export function upload(path, form, headers, onprogress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onprogress(event.loaded);
    request.onload = () => {
      let body = null;
      try { body = JSON.parse(request.responseText); } catch { /* A proxy's own page: `body` stays null. */ }
      if (request.status < 300 && body) resolve(body);
      else reject(new Problem(request.status, body));
    };
    request.onerror = () => reject(new Problem(0, { detail: t.unreachable }));
    request.send(form);
  });
}

const ENDED = ["completed", "failed", "cancelled"];
export const ended = (state) => ENDED.includes(state.status);

/** Jobs of one stream. */
const AT_ONCE = 100;
/** A stream begins with a word about each job: when none comes, something on the way holds it back. */
const SILENCE_MS = 10_000;
const SHORTEST_MS = 400;
const LONGEST_MS = 8000;

/** Keeps jobs up to date: by events, and by asking where those do not come through or the line was lost. */
export class Watch {
  constructor(onjob, onreach) {
    this.onjob = onjob;
    this.onreach = onreach;
    this.ids = new Set();
    this.running = false;
    /** Ends what the loop waits for now. */
    this.wake = () => {};
    addEventListener("online", () => this.wake());
    addEventListener("offline", () => this.wake());
    // A laptop that slept finds its stream dead without having been told.
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.wake(); });
  }

  add(ids) {
    for (const id of ids) this.ids.add(id);
    this.wake();
    this.run();
  }

  async run() {
    if (this.running) return;
    this.running = true;
    let wait = SHORTEST_MS;
    while (this.ids.size) {
      const heard = await this.listen();
      if (!this.ids.size) break;
      const reached = await this.ask();
      this.onreach(reached);
      wait = heard && reached ? SHORTEST_MS : Math.min(LONGEST_MS, wait * 1.6);
      await this.pause(wait);
    }
    this.running = false;
  }

  /** Follow the events of the jobs until the stream ends; tells whether any came. */
  listen() {
    const query = [...this.ids].slice(0, AT_ONCE).map((id) => `request_id=${encodeURIComponent(id)}`).join("&");
    const source = new EventSource(`/api/v1/events?${query}`);
    let heard = false;
    return new Promise((resolve) => {
      const end = () => { clearTimeout(silence); source.close(); resolve(heard); };
      const silence = setTimeout(end, SILENCE_MS);
      const take = (event) => { heard = true; clearTimeout(silence); this.onreach(true); this.told(JSON.parse(event.data)); if (!this.ids.size) end(); };
      source.addEventListener("progress", take);
      source.addEventListener("finished", take);
      // The service's own event of this name is about one job, the browser's about the stream: both are looked into by asking.
      source.onerror = end;
      this.wake = end;
    });
  }

  told(state) {
    if (ended(state) || state.status === "gone") this.ids.delete(state.request_id);
    this.onjob(state);
  }

  /** Ask for each job once; false when the service does not answer. */
  async ask() {
    for (const id of [...this.ids].slice(0, AT_ONCE)) {
      try {
        this.told(await get(job(id)));
      } catch (error) {
        if (error.status === 404 || error.status === 410) this.told({ request_id: id, status: "gone" });
        else return false;
      }
    }
    return true;
  }

  pause(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => { clearTimeout(timer); resolve(); };
    });
  }
}
