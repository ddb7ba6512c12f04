// fal's JavaScript client through /fal/proxy, over TLS. Started by test_fal_js.py.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createFalClient } from "@fal-ai/client";

const { SERVICE_URL, IMAGE_URL, PDF_URL } = process.env;
const proxy = `${SERVICE_URL}/fal/proxy`;
const fal = createFalClient({
  credentials: "anything",
  proxyUrl: { url: proxy, when: "always" },
});
const words = (text) => text.split(/\s+/).filter(Boolean);

test("run answers the data and the request ID", async () => {
  const { data, requestId } = await fal.run("fal/ocr", {
    input: { image_url: IMAGE_URL, sync_mode: true },
  });
  assert.deepEqual(words(data.text), ["Hello", "client"]);
  assert.equal(requestId, data.request_id);
});

for (const mode of ["polling", "streaming"]) {
  test(`subscribe by ${mode} tells every page as a log and answers the text`, async () => {
    const updates = [];
    const { data, requestId } = await fal.subscribe("fal/ocr", {
      input: { image_url: PDF_URL },
      logs: true,
      mode,
      pollInterval: 100,
      onQueueUpdate: (update) => updates.push(structuredClone(update)),
    });
    assert.deepEqual(
      data.text.split("\f").map((page) => words(page)[0]),
      ["Alpha", "Bravo", "Charlie"],
    );
    assert.equal(requestId, data.request_id);
    const last = updates.at(-1);
    assert.equal(last.status, "COMPLETED");
    const [first, ...pages] = last.logs.map(({ message }) => message.split(":")[0]);
    assert.equal(first, "Reading has begun.");
    // In the order in which they were read: several are at once.
    assert.deepEqual(pages.sort(), ["Page 1", "Page 2", "Page 3"]);
    assert.ok(last.metrics.inference_time > 0);
  });
}

test("submit, status, result and cancel work one by one", async () => {
  const { request_id: requestId, queue_position: place } = await fal.queue.submit("fal/ocr", {
    input: { image_url: IMAGE_URL },
    priority: "low",
  });
  assert.ok(Number.isInteger(place));
  await fal.queue.subscribeToStatus("fal/ocr", { requestId });
  const status = await fal.queue.status("fal/ocr", { requestId, logs: true });
  assert.equal(status.status, "COMPLETED");
  const { data } = await fal.queue.result("fal/ocr", { requestId });
  assert.deepEqual(words(data.text), ["Hello", "client"]);
  await assert.rejects(fal.queue.cancel("fal/ocr", { requestId }), { name: "ApiError", status: 400 });
});

test("what is cancelled has no result", async () => {
  const large = await fal.queue.submit("fal/ocr", { input: { image_url: PDF_URL } });
  const requestId = large.request_id;
  await fal.queue.cancel("fal/ocr", { requestId });
  await assert.rejects(fal.queue.result("fal/ocr", { requestId }), (error) => {
    assert.equal(error.status, 499);
    assert.equal(error.requestId, requestId);
    return error.body.error_type === "client_cancelled";
  });
});

test("a stream gives each page and ends with the output", async () => {
  const stream = await fal.stream("fal/ocr", { input: { image_url: PDF_URL } });
  const pages = [];
  for await (const part of stream) pages.push(part);
  const last = await stream.done();
  assert.deepEqual(pages.slice(0, -1).map(({ page }) => page), [1, 2, 3]);
  assert.equal(last.status, "completed");
  assert.equal(stream.requestId, last.request_id);
});

test("a Blob in the input is uploaded through the proxy and read", async () => {
  const blob = await (await fetch(IMAGE_URL)).blob();
  const { data } = await fal.run("fal-ai/got-ocr/v2", { input: { input_image_urls: [blob, blob] } });
  assert.deepEqual(data.outputs.map(words), [["Hello", "client"], ["Hello", "client"]]);
});

test("a wrong input is a ValidationError that names the field", async () => {
  for (const input of [{ sync_mode: true }, { image_url: "no URL" }]) {
    await assert.rejects(fal.run("fal/ocr", { input }), (error) => {
      assert.equal(error.name, "ValidationError");
      assert.equal(error.getFieldErrors("image_url").length, 1);
      assert.ok(error.requestId);
      return error.message.length > 0;
    });
  }
});

test("the proxy refuses any target that is not fal's", async () => {
  for (const target of ["https://example.com/fal/ocr", `${SERVICE_URL}/healthz`, ""]) {
    const answer = await fetch(proxy, { headers: target ? { "x-fal-target-url": target } : {} });
    assert.equal(answer.status, 400);
    assert.equal((await answer.json()).error_type, "bad_request");
  }
});

test("a page of a named site may send fal's headers and read the request ID", async () => {
  const origin = "https://app.example.com";
  const asked = await fetch(proxy, {
    method: "OPTIONS",
    headers: {
      Origin: origin,
      "Access-Control-Request-Method": "POST",
      "Access-Control-Request-Headers": "x-fal-target-url,x-fal-queue-priority",
    },
  });
  assert.equal(asked.headers.get("access-control-allow-origin"), origin);
  assert.match(asked.headers.get("access-control-allow-headers"), /x-fal-target-url/);
  const answer = await fetch(`${SERVICE_URL}/fal/ocr`, { method: "POST", headers: { Origin: origin } });
  assert.match(answer.headers.get("access-control-expose-headers"), /x-fal-request-id/);
});

test("every wrong field of an input is named at once", async () => {
  await assert.rejects(fal.run("fal/ocr", { input: { sync_mode: "yes" } }), (error) => {
    assert.equal(error.name, "ValidationError");
    assert.deepEqual(
      ["image_url", "sync_mode"].map((field) => error.getFieldErrors(field).length),
      [1, 1],
    );
    return true;
  });
});
