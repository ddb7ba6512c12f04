// What every page has: the theme, signing out, and saying when the line is down.
import { call } from "./api.js";
import t from "./strings.en.js";

const root = document.documentElement;
document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("casola.theme", root.dataset.theme);
});

document.getElementById("sign-out")?.addEventListener("click", async () => {
  await call("/session", { method: "DELETE" });
  location.assign("/sign-in");
});

const AGAIN_MS = 4000;
const bar = document.getElementById("offline");
let asking = 0;

/** Whether the service answers; what the browser says of the line is only a hint, for the service may be on this machine. */
export function reach(well) {
  bar.textContent = navigator.onLine ? t.unreachable : t.offline;
  bar.hidden = well;
  clearTimeout(asking);
  if (!well) asking = setTimeout(ask, AGAIN_MS);
}

async function ask() {
  try { reach((await fetch("/healthz", { cache: "no-store" })).ok); } catch { reach(false); }
}
addEventListener("online", ask);
addEventListener("offline", ask);
