import { describe, expect, it } from 'vitest';
import { generate } from './generate.ts';
import type { TokenLogProbs } from './log-probs.ts';
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
    expect(await run(new FakeModel({ answerLength: 9 }), { sampling, maxNewTokens: 4 })).toEqual(
      greedy.slice(0, 4),
    );
  });

  it('says why it ended', async () => {
    const reason = async (model: FakeModel, options = {}): Promise<string> => {
      const tokens = generate(model, prompt, [], { stopTokens, ...options });
      for (;;) {
        const { done, value } = await tokens.next();
        if (done) return value;
      }
    };
    const sampling = { temperature: 1, topK: 1, random: () => 0 };
    for (const options of [{}, { sampling }]) {
      expect(await reason(new FakeModel({ answerLength: 6 }), options)).toBe('stop');
      expect(await reason(new FakeModel({ answerLength: 6 }), { ...options, maxNewTokens: 5 })).toBe(
        'length',
      );
      expect(await reason(new FakeModel({ maxContext: 8, answerLength: 30 }), options)).toBe('length');
    }
  });

  it('an aborted burst yields no further token', async () => {
    const model = new FakeModel({ answerLength: 40 });
    const controller = new AbortController();
    const tokens = generate(model, prompt, [], { stopTokens, signal: controller.signal });
    let count = 0;
    // By then bursts are longer than one token.
    while (count < 10) {
      await tokens.next();
      count++;
    }
    expect(model.decodes.at(-1)).toBeGreaterThan(1);
    controller.abort();
    await expect(tokens.next()).rejects.toMatchObject({ name: 'AbortError' });
    expect(model.length).toBeLessThanOrEqual(prompt.length + count);
  });

  it('a repetition penalty avoids what the prompt and the answer hold already', async () => {
    // The fake's logit for its choice is 50, of all others 0: divided by a thousand it is still the highest.
    const greedy = await run(new FakeModel({ answerLength: 9 }));
    const sampling = { temperature: 0, repetitionPenalty: 1000, random: () => 0 };
    expect(await run(new FakeModel({ answerLength: 9 }), { sampling })).toEqual(greedy);
    class Repeating extends FakeModel {
      override readLogits(): Promise<Float32Array> {
        const logits = new Float32Array(8).fill(1);
        logits[4] = 1.5;
        logits[5] = 1.4;
        return Promise.resolve(logits);
      }
    }
    const ids = await run(new Repeating(), {
      sampling: { temperature: 0, repetitionPenalty: 2, random: () => 0 },
      history: [4],
      maxNewTokens: 3,
      stopTokens: new Set([63]),
    });
    // 4 is in the history: 0.75. Then 5 is penalized to 0.7, and the first of the ones is next.
    expect(ids).toEqual([5, 0, 1]);
  });

  it('names each token with its log-probability before it yields it', async () => {
    const model = new FakeModel({ answerLength: 3 });
    const named: TokenLogProbs[] = [];
    const ids: number[] = [];
    const logProbs = { count: 2, onToken: (token: TokenLogProbs) => named.push(token) };
    for await (const id of generate(model, prompt, [], { stopTokens, logProbs })) {
      expect(named.at(-1)?.id).toBe(id);
      ids.push(id);
    }
    expect(ids).toEqual(await run(new FakeModel({ answerLength: 3 })));
    expect(named.map(({ id }) => id)).toEqual(ids);
    // One logit of 50 among 63 zeros.
    for (const { logProb, top } of named) {
      expect(logProb).toBeCloseTo(-Math.log1p(63 * Math.exp(-50)), 10);
      expect(top).toHaveLength(2);
      expect(top[1].logProb).toBeCloseTo(-50, 5);
    }
  });

  it('a constraint decides which tokens may come and whether the answer may end', async () => {
    // Three tokens out of 20, 21; then the end.
    const accepted: number[] = [];
    const constraint = {
      get canEnd() {
        return accepted.length === 3;
      },
      allowed: () => {
        const bits = new Uint32Array(2);
        if (accepted.length < 3) bits[0] = (1 << 20) | (1 << 21);
        return bits;
      },
      accept: (id: number) => void accepted.push(id),
    };
    const ids = await run(new FakeModel({ answerLength: 40 }), { constraint });
    expect(ids).toHaveLength(3);
    expect(ids.every((id) => id === 20 || id === 21)).toBe(true);
    expect(accepted).toEqual(ids);
    const nothing = { canEnd: false, allowed: () => new Uint32Array(2), accept: () => undefined };
    await expect(run(new FakeModel(), { constraint: nothing })).rejects.toMatchObject({
      code: 'unsupported',
    });
  });
});
