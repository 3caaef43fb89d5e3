import { describe, expect, it } from 'vitest';
import { generate } from './generate.ts';
import { FakeModel, STOP } from './testing/fake-model.ts';

const stopTokens = new Set([STOP]);
const prompt = Uint32Array.of(20, 21, 22);

async function run(model: FakeModel, options = {}): Promise<number[]> {
  const ids: number[] = [];
  for await (const id of generate(model, prompt, [], { stopTokens, ...options })) ids.push(id);
  return ids;
}

describe('generate', () => {
  it('yields the greedy continuation, one token at a time or in bursts, without the stop token', async () => {
    const model = new FakeModel({ answerLength: 40 });
    const ids = await run(model);
    // The reference feeds every token by itself.
    const single = new FakeModel({ answerLength: 40 });
    const expected: number[] = [];
    for (let id = await single.prefill(prompt, []); id !== STOP; [id] = await single.decode(1))
      expected.push(id);
    expect(ids).toEqual(expected);
    expect(ids).toHaveLength(40);
    expect(Math.max(...model.decodes)).toBeGreaterThan(1);
  });

  it('leaves nothing in the cache that was not yielded', async () => {
    const model = new FakeModel({ answerLength: 11 });
    const ids = await run(model);
    expect(model.cache).toEqual([...prompt, ...ids].slice(0, model.length));
    expect(model.length).toBeGreaterThanOrEqual(prompt.length + ids.length - 1);
  });

  it('stops after maxNewTokens', async () => {
    const all = await run(new FakeModel({ answerLength: 30 }));
    for (const maxNewTokens of [1, 2, 7]) {
      expect(await run(new FakeModel({ answerLength: 30 }), { maxNewTokens })).toEqual(
        all.slice(0, maxNewTokens),
      );
    }
  });

  it('stops at the end of the context', async () => {
    expect(await run(new FakeModel({ maxContext: 8, answerLength: 30 }))).toHaveLength(5);
  });

  it('refuses a prompt that leaves no room', async () => {
    await expect(run(new FakeModel({ maxContext: 3 }))).rejects.toMatchObject({ code: 'context-exceeded' });
  });

  it('a caller that stops early leaves a consistent cache', async () => {
    const model = new FakeModel({ answerLength: 40 });
    const ids: number[] = [];
    for await (const id of generate(model, prompt, [], { stopTokens })) {
      ids.push(id);
      if (ids.length === 6) break;
    }
    expect(model.cache).toEqual([...prompt, ...ids].slice(0, model.length));
  });

  it('rejects with the reason of the signal', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const tokens = generate(new FakeModel({ answerLength: 40 }), prompt, [], {
      stopTokens,
      signal: controller.signal,
    });
    await tokens.next();
    controller.abort(reason);
    await expect(tokens.next()).rejects.toBe(reason);
  });

  it('sampling a certain token equals greedy decoding', async () => {
    const sampling = { temperature: 1, topK: 5, random: () => 0.999 };
    const greedy = await run(new FakeModel({ answerLength: 9 }));
    expect(await run(new FakeModel({ answerLength: 9 }), { sampling })).toEqual(greedy);
    expect(await run(new FakeModel({ maxContext: 8, answerLength: 30 }), { sampling })).toHaveLength(5);
  });
});
