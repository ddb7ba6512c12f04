// OpenAI's Responses with its JavaScript client: only the base URL and the key are changed.
import assert from 'node:assert';
import { test } from 'node:test';
import OpenAI from 'openai';

const client = new OpenAI({
  baseURL: `${process.env.SERVICE_URL}/openai/v1`, apiKey: 'anything', maxRetries: 0,
});
const image = { type: 'input_image', image_url: process.env.IMAGE_URL, detail: 'auto' };
const file = { type: 'input_file', file_data: process.env.PDF_URL, filename: 'three.pdf' };
const input = (...parts) => [{ role: 'user', content: parts }];

test('an image and a PDF are the output text', async () => {
  const made = await client.responses.create({ model: 'auto', input: input(image, file) });
  assert.match(made.output_text, /Hello client\n\nAlpha page\fBravo page\fCharlie page/);
  assert.equal(made.usage.input_tokens + made.usage.output_tokens, made.usage.total_tokens);
  const again = await client.responses.retrieve(made.id);
  assert.deepEqual({ ...again, completed_at: 0 }, { ...made, completed_at: 0 });
});

test('a stream adds up to the text', async () => {
  const stream = client.responses.stream({ model: 'auto', input: input(file) });
  let text = '';
  stream.on('response.output_text.delta', (event) => { text += event.delta; });
  const made = await stream.finalResponse();
  assert.equal(made.status, 'completed');
  assert.equal(text, made.output_text);
  assert.match(text, /Alpha[^]*Bravo[^]*Charlie/);
});

test('work in the background is polled, cancelled and deleted', async () => {
  let made = await client.responses.create({
    model: 'auto', input: input(file), background: true, metadata: { a: 'b' },
  });
  while (['queued', 'in_progress'].includes(made.status)) {
    await new Promise((resolve) => { setTimeout(resolve, 100); });
    made = await client.responses.retrieve(made.id);
  }
  assert.equal(made.status, 'completed');
  assert.deepEqual(made.metadata, { a: 'b' });
  assert.equal((await client.responses.cancel(made.id)).status, 'completed');
  await client.responses.delete(made.id);
  await assert.rejects(client.responses.retrieve(made.id), OpenAI.NotFoundError);
});

test('what cannot be read names the input', async () => {
  const wrong = { ...image, image_url: 'http://10.0.0.1/a.png' };
  await assert.rejects(client.responses.create({ model: 'auto', input: input(wrong) }), (error) =>
    error instanceof OpenAI.BadRequestError && error.code === 'invalid_image_url'
      && error.param === 'input' && error.requestID.startsWith('req_'));
});
