// Mistral's JavaScript client against a running service: SERVER_URL, IMAGE and PDF (data: URLs).
import assert from "node:assert/strict";
import { test } from "node:test";

import { Mistral } from "@mistralai/mistralai";
import { HTTPValidationError } from "@mistralai/mistralai/models/errors";

const { SERVER_URL, IMAGE, PDF } = process.env;
const client = new Mistral({ serverURL: SERVER_URL, apiKey: "none" });
const model = "mistral-ocr-latest";

test("chosen pages of a PDF keep their index", async () => {
  const document = { type: "document_url", documentUrl: PDF };
  const answer = await client.ocr.process({ model, document, pages: "0,2-3" });
  assert.deepEqual(answer.pages.map((page) => page.index), [0, 2]);
  assert.match(answer.pages[1].markdown, /Charlie/);
  assert.equal(answer.usageInfo.pagesProcessed, 2);
});

test("an image is a string or an object", async () => {
  for (const imageUrl of [IMAGE, { url: IMAGE }]) {
    const document = { type: "image_url", imageUrl };
    const answer = await client.ocr.process({ model, document });
    assert.match(answer.pages[0].markdown, /Hello client/);
    assert.equal(answer.pages[0].dimensions.width, 620);
  }
});

test("an uploaded file is read by its ID", async () => {
  const content = Buffer.from(IMAGE.split(",")[1], "base64");
  const file = { fileName: "a.png", content };
  const made = await client.files.upload({ file, purpose: "ocr" });
  const document = { type: "file", fileId: made.id };
  const answer = await client.ocr.process({ model, document });
  assert.match(answer.pages[0].markdown, /Hello client/);
  const { url } = await client.files.getSignedUrl({ fileId: made.id });
  assert.equal((await fetch(url)).status, 200);
});

test("blocks and confidences come as they are asked for", async () => {
  const document = { type: "image_url", imageUrl: IMAGE };
  const answer = await client.ocr.process({
    model, document, tableFormat: "html", includeImageBase64: true,
    confidenceScoresGranularity: "word",
  });
  const [page] = answer.pages;
  assert.equal(page.blocks[0].type, "text");
  const words = page.confidenceScores.wordConfidenceScores.map((word) => word.text);
  assert.deepEqual(words, ["Hello", "client"]);
  assert.deepEqual([page.images, page.tables], [[], []]);
});

test("a request that is wrong raises a validation error with its place", async () => {
  const document = { type: "image_url", imageUrl: IMAGE };
  await assert.rejects(client.ocr.process({ model, document, pages: "5-1" }), (error) => {
    assert.ok(error instanceof HTTPValidationError, String(error));
    assert.deepEqual(error.detail[0].loc, ["body", "pages"]);
    return true;
  });
});
