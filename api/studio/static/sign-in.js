import { call } from "./api.js";
import "./chrome.js";
import t from "./strings.en.js";

const field = document.getElementById("token");
document.getElementById("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await call("/session", { json: { token: field.value } });
    location.assign("/ocr");
  } catch (error) {
    document.getElementById("token-error").textContent = error.status === 401 ? t.badToken : error.message;
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }
});
field.focus();
