import { describe, expect, it, onTestFinished } from 'vitest';
import { fakeLanguageModel } from '../testing/fake-language-model.ts';
import type { FakeOptions } from '../testing/fake-language-model.ts';
import { OpenAI } from './index.ts';
import type { ChatCompletionChunk, ChatCompletionCreateParams } from './index.ts';

function createClient(options: FakeOptions = {}): {
  client: OpenAI;
  model: string;
  Model: typeof fake.Model;
} {
  const fake = fakeLanguageModel(options);
  const client = new OpenAI({ LanguageModel: fake.Model, models: { tiny: fake.model } });
  onTestFinished(() => client.destroy());
  return { client, model: 'tiny', Model: fake.Model };
}

const pixel = 'data:image/png;base64,iVBORw0KGgo=';
const hello = [{ role: 'user', content: 'HELLO' }] as const;

async function collect(chunks: AsyncIterable<ChatCompletionChunk>): Promise<ChatCompletionChunk[]> {
  const all: ChatCompletionChunk[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return all;
}

describe('chat.completions.create', () => {
  it('answers what the session would answer, in the shape of a ChatCompletion', async () => {
    const { client, model } = createClient();
    const completion = await client.chat.completions.create({ model, messages: hello });
    expect(completion).toMatchObject({
      object: 'chat.completion',
      model: 'tiny',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: 10,
        completion_tokens: 5,
        total_tokens: 15,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    });
    expect(completion.choices[0].message.content).toHaveLength(5);
    expect(completion.id).toMatch(/^chatcmpl-/);
    expect(Math.abs(completion.created - Date.now() / 1000)).toBeLessThan(60);
  });

  it('streams the same answer as chunks: role, content, reason, usage where asked for', async () => {
    const { client, model } = createClient();
    const whole = await client.chat.completions.create({ model, messages: hello });
    const chunks = await collect(
      await client.chat.completions.create({
        model,
        messages: hello,
        stream: true,
        stream_options: { include_usage: true },
      }),
    );
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks[0].choices[0].delta).toEqual({ role: 'assistant', content: '' });
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');
    expect(text).toBe(whole.choices[0].message.content);
    expect(chunks.at(-2)!.choices[0]).toMatchObject({ delta: {}, finish_reason: 'stop' });
    expect(chunks.at(-1)!.choices).toEqual([]);
    expect(chunks.at(-1)!.usage?.completion_tokens).toBe(5);
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
  });

  it('limits, stops, constrains', async () => {
    const { client, model } = createClient();
    const ask = async (params: Partial<ChatCompletionCreateParams>) =>
      (await client.chat.completions.create({ model, messages: hello, ...params, stream: false })).choices[0];
    const { content } = (await ask({})).message;
    expect(await ask({ max_completion_tokens: 2 })).toMatchObject({
      message: { content: content.slice(0, 2) },
      finish_reason: 'length',
    });
    expect((await ask({ max_tokens: 3 })).message.content).toBe(content.slice(0, 3));
    const stop = content[2];
    expect((await ask({ stop })).message.content).toBe(content.slice(0, content.indexOf(stop)));
    const schema = { enum: [10, 20] };
    const format = { type: 'json_schema', json_schema: { name: 'count', schema, strict: true } } as const;
    await expect(ask({ response_format: format })).rejects.toMatchObject({ code: 'unsupported' });
  });

  it('gives log-probabilities of each token', async () => {
    const { client, model } = createClient();
    const params = { model, messages: hello, logprobs: true, top_logprobs: 2 } as const;
    const [choice] = (await client.chat.completions.create(params)).choices;
    const tokens = choice.logprobs!.content;
    expect(tokens.map(({ token }) => token).join('')).toBe(choice.message.content);
    for (const { token, bytes, logprob, top_logprobs: top } of tokens) {
      expect(bytes).toEqual([...new TextEncoder().encode(token)]);
      expect(logprob).toBeLessThanOrEqual(0);
      expect(top).toHaveLength(2);
    }
    const chunks = await collect(await client.chat.completions.create({ ...params, stream: true }));
    expect(chunks.flatMap(({ choices }) => choices[0].logprobs?.content ?? [])).toEqual(tokens);
  });

  it('takes pictures as data: addresses and Blobs, fetches nothing', async () => {
    const { client, model } = createClient();
    const ask = (url: string | Blob) =>
      client.chat.completions.create({
        model,
        messages: [
          { role: 'developer', content: 'BRIEF' },
          {
            role: 'user',
            content: [
              { type: 'image_url', image_url: { url } },
              { type: 'text', text: 'WHAT' },
            ],
          },
        ],
      });
    const { usage } = await ask(pixel);
    expect(usage.prompt_tokens).toBe('BRIEF'.length + 3 + 4 + 'WHAT'.length + 3 + 2);
    expect((await ask(new Blob([Uint8Array.of(1)]))).usage.prompt_tokens).toBe(usage.prompt_tokens);
    await expect(ask('https://example.org/a.png')).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(ask('data:image/png;base64,%%%')).rejects.toBeInstanceOf(Error);
  });

  it('names what it cannot honour', async () => {
    const { client, model } = createClient();
    const ask = (params: object) => client.chat.completions.create({ model, messages: hello, ...params });
    await expect(ask({ tools: [] })).rejects.toMatchObject({
      name: 'NotSupportedError',
      code: 'unsupported',
      message: expect.stringMatching(/^tools: /) as string,
    });
    await expect(ask({ n: 2 })).rejects.toMatchObject({ code: 'unsupported' });
    await expect(ask({ messages: [] })).rejects.toBeInstanceOf(TypeError);
    await expect(ask({ temperature: -1 })).rejects.toBeInstanceOf(TypeError);
    await expect(ask({ user: 'me', store: false, tools: null })).resolves.toBeDefined();
  });

  it('aborts by signal, and by leaving the loop', async () => {
    const { client, model } = createClient({ answerLength: 400 });
    const signal = AbortSignal.abort(new Error('no'));
    const params = { model, messages: hello, stream: true, max_tokens: 300 } as const;
    await expect(client.chat.completions.create(params, { signal })).rejects.toBe(signal.reason);
    const stream = await client.chat.completions.create(params);
    for await (const chunk of stream) {
      expect(chunk.choices[0].delta.role).toBe('assistant');
      break;
    }
    expect(stream.controller.signal.aborted).toBe(true);
    const stopped = await client.chat.completions.create(params);
    stopped.controller.abort();
    await collect(stopped);
  });

  it('keeps the model open between requests and closes it at the end', async () => {
    const { engines, Model, model } = fakeLanguageModel();
    const client = new OpenAI({ LanguageModel: Model });
    for (let i = 0; i < 3; i++) await client.chat.completions.create({ model, messages: hello });
    expect(engines).toHaveLength(1);
    expect(engines[0].length).toBeGreaterThan(0);
    client.destroy();
    await expect.poll(() => engines[0].length).toBe(0);
  });
});
