// `/admin`: tenants with what they keep, and their tokens.
import { call, get, post } from "./api.js";
import { reach } from "./chrome.js";
import { button, copy, h, size, toast } from "./dom.js";
import t from "./strings.en.js";
import { table } from "./tables.js";

const ADMIN = "/api/v1/admin";

const field = (label, control, hint) => h("div", { class: "field" }, h("label", { for: control.id }, label), Object.assign(control, { placeholder: hint ?? "" }));
const input = (id) => h("input", { id, type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "none" });

const tenantName = input("tenant-name");
const tenantRows = h("div", {});
const counted = h("p", {});
document.getElementById("tenants").append(
  h("header", {}, h("h2", { id: "tenants-title" }, t.tenants), counted), tenantRows,
  h("form", { class: "make", onsubmit: makeTenant }, field(t.newTenant, tenantName, t.tenantHint), button(t.createTenant, { type: "submit" })));

const owner = h("select", { id: "owner", required: true });
const label = input("label");
const may = h("input", { type: "checkbox", id: "may" });
const whose = h("select", { id: "whose", "aria-label": t.tenant, onchange: drawTokens });
const first = h("p", { class: "none", hidden: true }, t.firstToken);
const secret = h("div", { role: "status" });
const tokenRows = h("div", {});
document.getElementById("tokens").append(
  h("header", {}, h("h2", { id: "tokens-title" }, t.tokens), h("span", { class: "grow" }), whose), first,
  h("form", { class: "make", onsubmit: makeToken }, field(t.tenant, owner), field(t.label, label, t.labelHint), h("label", { class: "check" }, may, t.adminToken), button(t.createToken, { type: "submit", kind: "primary" })),
  secret, tokenRows);

let tenants = [];
let tokens = [];

async function load() {
  try {
    const [{ data }, made, usage] = await Promise.all([get(`${ADMIN}/tenants`), get(`${ADMIN}/tokens`), get(`${ADMIN}/usage`)]);
    reach(true);
    tenants = data;
    tokens = made.data;
    drawTenants(usage);
    drawChoices();
    drawTokens();
  } catch (error) {
    if (error.status) tenantRows.replaceChildren(h("p", { class: "none error" }, error.message), h("div", { class: "foot" }, button(t.retry, { onclick: load })));
    else reach(false);
  }
}

function drawTenants({ counted_at: at, data }) {
  counted.textContent = at ? t.countedAt(t.when(new Date(at))) : t.notCounted;
  const used = new Map(data.map((each) => [each.tenant, each]));
  // On a loopback server people work without a tenant's name: what they keep is listed, too.
  const strangers = data.filter((each) => !tenants.some((tenant) => tenant.name === each.tenant) && each.bytes > 0).map((each) => ({ name: each.tenant }));
  tenantRows.replaceChildren(table([t.tenant, [t.jobsHead], [t.pagesHead], [t.filesHead], [t.stored], [t.retention], h("span", { class: "sr" }, t.actions)], [...tenants, ...strangers].map((tenant) => {
    const usage = used.get(tenant.name) ?? { jobs: 0, pages: 0, files: 0, bytes: 0 };
    const known = tenant.created_at !== undefined;
    return [
      [h("b", {}, tenant.name), h("span", { class: "sub" }, known ? t.madeOn(t.day(new Date(tenant.created_at))) : t.withoutTenant)],
      ...[usage.jobs, usage.pages, usage.files].map((count) => [t.count(count)]), [size(usage.bytes)], [known ? t.keptDays(tenant.retention_days) : "–"],
      { act: known ? [button(t.change, { kind: "small", "aria-label": t.changeFor(tenant.name), onclick: () => changeRetention(tenant) })] : [] },
    ];
  }), t.noTenants));
}

function drawChoices() {
  const names = tenants.map((tenant) => tenant.name);
  const kept = [owner.value, whose.value];
  owner.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
  whose.replaceChildren(h("option", { value: "" }, t.allTenants), ...names.map((name) => h("option", { value: name }, name)));
  if (names.includes(kept[0])) owner.value = kept[0];
  if (names.includes(kept[1])) whose.value = kept[1];
  first.hidden = tokens.length > 0;
  if (!tokens.length) may.checked = true;
}

function drawTokens() {
  const shown = tokens.filter((token) => !whose.value || token.tenant === whose.value);
  tokenRows.replaceChildren(table([t.label, t.tenant, t.kind, t.made, h("span", { class: "sr" }, t.actions)], shown.map((token) => [
    [token.label || h("span", { class: "muted" }, t.unlabelled), h("span", { class: "sub" }, h("code", {}, token.id))], [token.tenant], [token.admin ? t.kindAdmin : t.kindTenant], [t.day(new Date(token.created_at))],
    { act: [token.revoked_at ? h("span", { class: "muted" }, t.revoked(t.day(new Date(token.revoked_at)))) : button(t.revoke, { kind: "small danger", "aria-label": t.revokeFor(token.label || token.id), onclick: () => revoke(token) })] },
  ]), t.noTokens));
}

async function makeTenant(event) {
  event.preventDefault();
  await attempt(async () => {
    const made = await post(`${ADMIN}/tenants`, { name: tenantName.value.trim() });
    tenantName.value = "";
    toast(t.tenantMade(made.name));
    await load();
    owner.value = made.name;
  });
}

async function makeToken(event) {
  event.preventDefault();
  await attempt(async () => {
    const made = await post(`${ADMIN}/tokens`, { tenant: owner.value, label: label.value.trim(), admin: may.checked });
    const copied = button(t.copy, { icon: "copy", kind: "small", onclick: () => copy(made.token, copied) });
    secret.replaceChildren(h("div", { class: "secret" }, h("b", {}, t.secretOnce), h("div", { class: "row" }, h("code", {}, made.token), copied)));
    label.value = "";
    may.checked = false;
    // From the first token on this page needs one itself.
    if (tokens.length) await load();
  });
}

function revoke(token) {
  ask(t.revokeTitle, [h("p", {}, `${token.label || token.id} · ${token.tenant}`), h("p", {}, t.revokeWhy)], t.revoke, async () => {
    await post(`${ADMIN}/tokens/${encodeURIComponent(token.id)}/revoke`);
    toast(t.revokedNow(token.id));
  });
}

function changeRetention(tenant) {
  const days = h("input", { id: "days", type: "text", inputmode: "decimal", value: tenant.retention_days ?? "", "aria-describedby": "days-hint" });
  ask(t.changeFor(tenant.name), [h("label", { for: "days" }, t.retention), days, h("p", { id: "days-hint" }, t.keptHint)], t.save, async () => {
    const value = days.value.trim().replace(",", ".");
    if (value !== "" && !/^\d+(\.\d+)?$/.test(value)) throw new Error(t.notDays);
    await call(`${ADMIN}/tenants/${encodeURIComponent(tenant.name)}`, { method: "PATCH", json: { retention_days: value === "" ? null : Number(value) } });
  });
}

/** A question with one answer beside "Close"; it stays open, and says why, when that fails. */
function ask(title, content, answer, run) {
  const opener = document.activeElement;
  const why = h("p", { class: "error", role: "alert" });
  const dialog = h("dialog", { class: "card signin", "aria-label": title }, h("h2", {}, title), ...content, why,
    button(answer, { kind: "primary", onclick: async () => {
      try { await run(); dialog.close(); await load(); } catch (error) { why.textContent = error.message; }
    } }), button(t.close, { onclick: () => dialog.close() }));
  dialog.addEventListener("close", () => { dialog.remove(); if (opener?.isConnected) opener.focus(); });
  document.body.append(dialog);
  dialog.showModal();
}

async function attempt(run) {
  try { await run(); } catch (error) { toast(error.message, null, null, 9000); }
}

await load();
