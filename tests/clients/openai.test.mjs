// OpenAI's JavaScript client against the running service: only its base URL and key are changed.
import assert from 'node:assert';
import { test } from 'node:test';
import OpenAI from 'openai';

const client = new OpenAI({
  baseURL: `${process.env.SERVICE_URL}/openai/v1`, apiKey: 'anything', maxRetries: 0,
});
const image = (url) => ({ type: 'image_url', image_url: { url } });
const file = { type: 'file', file: { file_data: process.env.PDF_URL, filename: 'three.pdf' } };
const ask = (part, more = {}) => client.chat.completions.create({
  model: 'auto', messages: [{ role: 'user', content: [part] }], ...more,
});

test('a data URL is read and the usage sums', async () => {
  const answer = await ask(image(process.env.IMAGE_URL));
  assert.deepEqual(answer.choices[0].message.content.split(/\s+/), ['Hello', 'client']);
  const { prompt_tokens, completion_tokens, total_tokens } = answer.usage;
  assert.equal(prompt_tokens + completion_tokens, total_tokens);
  assert.match(answer._request_id, /^req_/);
});

test('a stream adds up to the text', async () => {
  const whole = await ask(file);
  let text = '';
  for await (const chunk of await ask(file, { stream: true })) {
    text += chunk.choices[0].delta.content ?? '';
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.match(text, /Alpha[^]*Bravo[^]*Charlie/);
});

test('max_tokens ends with length', async () => {
  const answer = await ask(file, { max_tokens: 3 });
  assert.equal(answer.choices[0].finish_reason, 'length');
});

test('errors have their classes, codes and request IDs', async () => {
  await assert.rejects(ask(image('http://10.0.0.1/a.png')), (error) =>
    error instanceof OpenAI.BadRequestError && error.code === 'invalid_image_url'
      && error.param === 'messages' && error.requestID.startsWith('req_'));
  await assert.rejects(ask(file, { model: 'gpt-4o' }), (error) =>
    error instanceof OpenAI.NotFoundError && error.code === 'model_not_found');
  await assert.rejects(ask(file, { n: 2 }), OpenAI.BadRequestError);
});

test('models are listed and an unknown one is not found', async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes('auto'));
  await assert.rejects(client.models.retrieve('gpt-4o'), OpenAI.NotFoundError);
});

test('a batch is worked off, listed and cannot be cancelled any more', async () => {
  const messages = [{ role: 'user', content: [image(process.env.IMAGE_URL)] }];
  const line = JSON.stringify({
    custom_id: 'one', method: 'POST', url: '/v1/chat/completions', body: { model: 'auto', messages },
  });
  const input = await client.files.create({
    file: await OpenAI.toFile(Buffer.from(`${line}\n`), 'in.jsonl'), purpose: 'batch',
  });
  let batch = await client.batches.create({
    input_file_id: input.id, endpoint: '/v1/chat/completions', completion_window: '24h',
  });
  while (['validating', 'in_progress', 'finalizing'].includes(batch.status)) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    batch = await client.batches.retrieve(batch.id);
  }
  assert.deepEqual(batch.request_counts, { total: 1, completed: 1, failed: 0 });
  const output = JSON.parse(await (await client.files.content(batch.output_file_id)).text());
  assert.match(output.response.body.choices[0].message.content, /Hello client/);
  const ids = [];
  for await (const listed of client.batches.list({ limit: 1 })) ids.push(listed.id);
  assert.ok(ids.includes(batch.id));
  await assert.rejects(client.batches.cancel(batch.id), OpenAI.ConflictError);
});
