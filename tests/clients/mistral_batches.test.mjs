// Mistral's batch jobs by its JavaScript client: SERVER_URL, IMAGE and PDF (data: URLs).
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { Mistral } from "@mistralai/mistralai";
import { HTTPValidationError, SDKError } from "@mistralai/mistralai/models/errors";

const { SERVER_URL, IMAGE, PDF } = process.env;
const client = new Mistral({ serverURL: SERVER_URL, apiKey: "none" });
const endpoint = "/v1/ocr";
const ENDS = ["SUCCESS", "FAILED", "TIMEOUT_EXCEEDED", "CANCELLED"];
const asked = (url) => ({ document: { type: "image_url", image_url: url } });

async function ended(jobId, inline = false) {
  for (let looks = 0; looks < 600; looks += 1) {
    const job = await client.batch.jobs.get({ jobId, inline });
    if (ENDS.includes(job.status)) return job;
    await pause(200);
  }
  throw new Error(`${jobId} did not end`);
}

async function upload(...lines) {
  const content = new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  const made = await client.files.upload({ file: { fileName: "in.jsonl", content }, purpose: "batch" });
  return made.id;
}

async function linesOf(fileId) {
  const text = await new Response(await client.files.download({ fileId })).text();
  return text.trim().split("\n").map((line) => JSON.parse(line));
}

test("a job of two files", async () => {
  const document = { type: "document_url", document_url: PDF };
  const inputFiles = [
    await upload({ custom_id: "a", body: asked(IMAGE) }),
    await upload(
      { custom_id: "b", body: { document, pages: [0, 2] } },
      { custom_id: "c", body: asked("data:image/png;base64,AAAA") },
    ),
  ];
  const metadata = { for: "a test" };
  const made = await client.batch.jobs.create({
    endpoint, inputFiles, model: "tesseract", metadata, timeoutHours: 2,
  });
  assert.deepEqual([made.object, made.inputFiles, made.model], ["batch", inputFiles, "tesseract"]);
  const job = await ended(made.id);
  assert.equal(job.status, "SUCCESS");
  assert.deepEqual({ ...job.metadata }, metadata);
  assert.deepEqual(
    [job.totalRequests, job.completedRequests, job.succeededRequests, job.failedRequests],
    [3, 3, 2, 1],
  );
  const output = new Map((await linesOf(job.outputFile)).map((line) => [line.custom_id, line.response]));
  assert.deepEqual([...output.keys()].sort(), ["a", "b"]);
  assert.match(output.get("a").body.pages[0].markdown, /Hello client/);
  assert.deepEqual(output.get("b").body.pages.map((page) => page.index), [0, 2]);
  const [error] = await linesOf(job.errorFile);
  assert.equal(error.custom_id, "c");
  assert.equal(Math.floor(error.response.status_code / 100), 4);
});

test("requests and answers inline", async () => {
  const requests = [{ customId: "x", body: asked(IMAGE) }, { body: asked("nothing") }];
  const made = await client.batch.jobs.create({ endpoint, model: "tesseract", requests });
  const job = await ended(made.id, true);
  assert.deepEqual([job.inputFiles, job.succeededRequests, job.failedRequests], [[], 1, 1]);
  const answers = new Map(job.outputs.map((line) => [line.custom_id, line.response]));
  assert.match(answers.get("x").body.pages[0].markdown, /Hello client/);
  assert.equal(answers.get("1").status_code, 422);
  assert.ok((await client.batch.jobs.delete({ jobId: job.id })).deleted);
  await assert.rejects(client.batch.jobs.get({ jobId: job.id }), (error) => {
    assert.ok(error instanceof SDKError, String(error));
    return error.statusCode === 404;
  });
});

test("a broken line fails the job", async () => {
  const inputFiles = [await upload({ custom_id: "a" })];
  const made = await client.batch.jobs.create({ endpoint, inputFiles });
  const job = await ended(made.id);
  assert.equal(job.status, "FAILED");
  assert.deepEqual(job.errors.map((error) => error.message), ["Line 1: 'body' is an object."]);
});

test("jobs are cancelled and listed", async () => {
  const lines = Array.from({ length: 60 }, (_, n) => ({ custom_id: `${n}`, body: asked(IMAGE) }));
  const inputFiles = [await upload(...lines)];
  const made = await client.batch.jobs.create({ endpoint, model: "tesseract", inputFiles });
  const stopped = await client.batch.jobs.cancel({ jobId: made.id });
  assert.ok(["CANCELLATION_REQUESTED", "CANCELLED"].includes(stopped.status));
  assert.equal((await ended(made.id)).status, "CANCELLED");
  const found = await client.batch.jobs.list({ status: ["CANCELLED"], pageSize: 1 });
  assert.deepEqual(found.data.map((job) => job.id), [made.id]);
});

test("what is wrong is rejected with its status", async () => {
  const wrong = [
    [{ endpoint: "/v1/chat/completions", inputFiles: ["file-unknown"] }, 422],
    [{ endpoint }, 422],
    [{ endpoint, inputFiles: ["file-unknown"], timeoutHours: 0 }, 422],
    [{ endpoint, inputFiles: ["file-unknown"] }, 400],
  ];
  for (const [request, status] of wrong) {
    await assert.rejects(client.batch.jobs.create(request), (error) => {
      assert.ok(error instanceof HTTPValidationError || error instanceof SDKError, String(error));
      return error.statusCode === status;
    });
  }
});
