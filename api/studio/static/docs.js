// The API's description: searching it, and opening what a link leads to. Without this it is whole too.
import "./chrome.js";
import t from "./strings.en.js";

const entries = [...document.querySelectorAll(".entry")].map((node) => ({ node, text: node.textContent.toLowerCase() }));
const sections = [...document.querySelectorAll(".routes")];
const field = document.getElementById("find");
const found = document.getElementById("found");

field.addEventListener("input", () => {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const { node, text } of entries) {
    node.hidden = !words.every((word) => text.includes(word));
    shown += !node.hidden;
  }
  for (const section of sections) section.hidden = !section.querySelector(".entry:not([hidden])");
  found.textContent = words.length ? t.entries(shown) : "";
});

function open() {
  const entry = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!entry?.matches(".entry")) return;
  if (entry.hidden) { field.value = ""; field.dispatchEvent(new Event("input")); }
  entry.open = true;
  entry.scrollIntoView();
}
addEventListener("hashchange", open);
open();
