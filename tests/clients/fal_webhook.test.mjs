// A request with a webhook by fal's JavaScript client. Started by test_fal_webhooks.py, which receives it.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { test } from "node:test";
import { createFalClient } from "@fal-ai/client";

const { SERVICE_URL, IMAGE_URL, WEBHOOK_URL, REQUEST_FILE } = process.env;

test("a request is accepted with its webhook", async () => {
  const fal = createFalClient({
    credentials: "anything",
    proxyUrl: { url: `${SERVICE_URL}/fal/proxy`, when: "always" },
  });
  const { request_id: requestId, status } = await fal.queue.submit("fal/ocr", {
    input: { image_url: IMAGE_URL },
    webhookUrl: WEBHOOK_URL,
  });
  assert.equal(status, "IN_QUEUE");
  await writeFile(REQUEST_FILE, requestId);
});
