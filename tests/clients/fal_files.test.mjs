// Uploads, by fal's own JavaScript client. Started by test_fal_files_js.py.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { createFalClient } from "@fal-ai/client";

const base = process.env.CASOLA_TEST_URL;
const sample = new Blob([await readFile(process.env.CASOLA_TEST_IMAGE)], { type: "image/png" });

const hosts = {
  "fal.run": base,
  "queue.fal.run": `${base}/queue`,
  "rest.fal.ai": `${base}/fal/rest`,
  "rest.alpha.fal.ai": `${base}/fal/rest`,
};

const client = createFalClient({
  credentials: "none",
  requestMiddleware: async (request) => {
    const target = new URL(request.url);
    return { ...request, url: hosts[target.host] + target.pathname + target.search };
  },
});

test("an uploaded blob can be downloaded from the URL that upload gives", async () => {
  const url = await client.storage.upload(new File([sample], "scan é.png", { type: "image/png" }));
  const answer = await fetch(url);
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.arrayBuffer(), await sample.arrayBuffer());
});

test("a blob in the input is uploaded and read", async () => {
  const { data } = await client.run("fal/ocr", { input: { image_url: sample, sync_mode: true } });
  assert.equal(data.status, "completed");
  assert.ok(data.text.includes(process.env.CASOLA_TEST_WORD), data.text);
});

test("a large file is uploaded in parts", async () => {
  // What follows the end of a PNG is ignored by its readers.
  const large = new Blob([sample, new Uint8Array(95 * 1024 * 1024)], { type: "image/png" });
  const url = await client.storage.upload(large, { lifecycle: { expiresIn: "1h" } });
  const answer = await fetch(url);
  assert.equal(answer.status, 200);
  assert.equal((await answer.arrayBuffer()).byteLength, large.size);
});
