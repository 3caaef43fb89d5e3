/** Through the SDK itself: what it accepts and understands is the reference. */
import { generateText, jsonSchema, Output, streamText } from 'ai';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fakeLanguageModel } from '../testing/fake-language-model.ts';
import type { FakeOptions } from '../testing/fake-language-model.ts';
import { createSpeedq } from './index.ts';
import type { SpeedqProvider } from './index.ts';

function createProvider(options: FakeOptions = {}): SpeedqProvider {
  const fake = fakeLanguageModel(options);
  const provider = createSpeedq({ LanguageModel: fake.Model, models: { tiny: fake.model } });
  onTestFinished(() => provider.destroy());
  return provider;
}

describe('the provider in the AI SDK', () => {
  it('generates text, with usage and finish reason', async () => {
    const model = createProvider()('tiny');
    expect(model).toMatchObject({ specificationVersion: 'v3', provider: 'speedq', modelId: 'tiny' });
    const result = await generateText({ model, system: 'BRIEF', prompt: 'HELLO' });
    expect(result.text).toHaveLength(5);
    expect(result.finishReason).toBe('stop');
    expect(result.usage).toMatchObject({ inputTokens: 18, outputTokens: 5, totalTokens: 23 });
    expect(result.warnings).toEqual([]);
    const short = await generateText({ model, prompt: 'HELLO', maxOutputTokens: 2 });
    expect(short.text).toHaveLength(2);
    expect(short.finishReason).toBe('length');
  });

  it('streams the same text', async () => {
    const model = createProvider()('tiny');
    const { text } = await generateText({ model, prompt: 'HELLO' });
    const result = streamText({ model, prompt: 'HELLO' });
    const pieces: string[] = [];
    for await (const piece of result.textStream) pieces.push(piece);
    expect(pieces.join('')).toBe(text);
    expect(await result.finishReason).toBe('stop');
    expect((await result.usage).outputTokens).toBe(5);
  });

  it('takes pictures as bytes and as data: addresses', async () => {
    const model = createProvider()('tiny');
    const ask = (image: Uint8Array | string) =>
      generateText({
        model,
        messages: [
          {
            role: 'user',
            content: [
              { type: 'image', image },
              { type: 'text', text: 'WHAT' },
            ],
          },
        ],
      });
    const { usage } = await ask(Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a));
    expect(usage.inputTokens).toBe(4 + 'WHAT'.length + 5);
    expect((await ask('data:image/png;base64,iVBORw0KGgo=')).usage.inputTokens).toBe(usage.inputTokens);
  });

  it('holds output to a schema', async () => {
    const model = createProvider()('tiny');
    const schema = jsonSchema<string>({ enum: ['AA', 'BB'] });
    // The fake model has no quotation marks in its vocabulary: the constraint is there, and unmeetable.
    const output = Output.object({ schema: schema as never });
    await expect(generateText({ model, prompt: 'HELLO', output, maxRetries: 0 })).rejects.toMatchObject({
      code: 'unsupported',
    });
  });

  it('warns of what it does not do', async () => {
    const model = createProvider()('tiny');
    const { warnings } = await generateText({ model, prompt: 'HELLO', presencePenalty: 0.5 });
    expect(warnings).toMatchObject([{ type: 'unsupported', feature: 'presencePenalty' }]);
  });

  it('stops when aborted', async () => {
    const model = createProvider({ answerLength: 400 })('tiny');
    const abortSignal = AbortSignal.abort(new Error('no'));
    await expect(generateText({ model, prompt: 'HELLO', abortSignal, maxRetries: 0 })).rejects.toThrow('no');
  });

  it('turns failures into the error of the stream', async () => {
    const model = createProvider({ maxContext: 20 })('tiny');
    const errors: unknown[] = [];
    const result = streamText({
      model,
      prompt: 'A'.repeat(40),
      onError: ({ error }) => void errors.push(error),
    });
    await result.consumeStream();
    expect(errors).toMatchObject([{ name: 'QuotaExceededError', code: 'context-exceeded' }]);
  });
});
