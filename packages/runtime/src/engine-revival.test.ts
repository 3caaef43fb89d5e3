import { SpeedqError } from '@speedq/format';
import { describe, expect, it } from 'vitest';
import { Conversation } from './conversation.ts';
import { ChatEngine } from './engine.ts';
import type { RespondOptions } from './engine.ts';
import type { ChatMessage } from './prompt.ts';
import { seededRandom } from './random.ts';
import { FakeModel, fakeCodec } from './testing/fake-model.ts';
import type { FakeFeatures } from './testing/fake-model.ts';

const lost = (): SpeedqError => new SpeedqError('device-lost', 'gone');

/** A model whose device is lost at its `life`-th call, and stays so. */
class MortalModel extends FakeModel {
  life: number;

  constructor(life: number) {
    super({ answerLength: 1000 });
    this.life = life;
  }

  override encodeImages(pixels: Float32Array, tiles: number): Promise<FakeFeatures> {
    return this.living(() => super.encodeImages(pixels, tiles));
  }

  override prefill(ids: Uint32Array, images: readonly FakeFeatures[]): Promise<number> {
    return this.living(() => super.prefill(ids, images));
  }

  override decode(count: number): Promise<Uint32Array> {
    return this.living(() => super.decode(count));
  }

  override readLogits(): Promise<Float32Array> {
    return this.living(() => super.readLogits());
  }

  private living<T>(work: () => Promise<T>): Promise<T> {
    return this.life-- > 0 ? work() : Promise.reject(lost());
  }
}

const question: ChatMessage = {
  role: 'user',
  parts: [
    { type: 'image', picture: { tiles: 2, pixels: Float32Array.of(40) } },
    { type: 'image', picture: { tiles: 1, pixels: Float32Array.of(41) } },
    { type: 'text', text: 'WHAT' },
  ],
};

async function ask(engine: ChatEngine, options: RespondOptions): Promise<string[]> {
  const tokens: string[] = [];
  const logProbs = options.logProbs && {
    count: 0,
    onToken: ({ text }: { text: string }) => tokens.push(text),
  };
  let text = '';
  for await (const piece of new Conversation(engine).respond([question], {
    maxNewTokens: 12,
    ...options,
    logProbs,
  }))
    text += piece;
  return [text, ...tokens];
}

describe('when the device is lost', () => {
  it.each<[string, () => RespondOptions]>([
    ['greedy', () => ({})],
    ['sampled', () => ({ sampling: { temperature: 2, random: seededRandom(3) } })],
    ['penalized', () => ({ sampling: { temperature: 0, repetitionPenalty: 3, random: Math.random } })],
    ['constrained', () => ({ responseConstraint: /[A-F]{3}a[G-Z]{4,9}/ })],
    ['with log-probabilities', () => ({ logProbs: { count: 0, onToken: () => {} } })],
    ['limited', () => ({ maxNewTokens: 7 })],
  ])('%s answers go on with the same tokens, at whichever call it happened', async (_kind, options) => {
    const expected = await ask(new ChatEngine(new FakeModel({ answerLength: 1000 }), fakeCodec), options());
    expect(expected[0].length).toBeGreaterThan(5);
    for (let life = 0; ; life++) {
      const first = new MortalModel(life);
      let revivals = 0;
      const revive = () => {
        revivals++;
        return Promise.resolve(new MortalModel(Infinity));
      };
      const engine = new ChatEngine(first, fakeCodec, { revive });
      expect(await ask(engine, options()), `lost at call ${life}`).toEqual(expected);
      if (revivals === 0) {
        expect(life).toBeGreaterThan(4);
        return;
      }
      expect(revivals).toBe(1);
      // And the next question is answered by the new one.
      expect(await ask(engine, options())).toEqual(expected);
      expect(revivals).toBe(1);
    }
  });

  it('again and again, it goes on as long as there is a token in between', async () => {
    const expected = await ask(new ChatEngine(new FakeModel({ answerLength: 1000 }), fakeCodec), {});
    // Two pictures, two prefills, one decode: then it is lost again.
    const revive = () => Promise.resolve(new MortalModel(5));
    const engine = new ChatEngine(new MortalModel(5), fakeCodec, { revive });
    expect(await ask(engine, {})).toEqual(expected);
  });

  it('says so, retryable, when no device lives; a later question tries again', async () => {
    let life = 0;
    const engine = new ChatEngine(new MortalModel(0), fakeCodec, {
      revive: () => Promise.resolve(new MortalModel(life)),
    });
    await expect(ask(engine, {})).rejects.toMatchObject({ code: 'device-lost', isRetryable: true });
    life = Infinity;
    const expected = await ask(new ChatEngine(new FakeModel({ answerLength: 1000 }), fakeCodec), {});
    expect(await ask(engine, {})).toEqual(expected);
  });

  it('without a way to another one it says so', async () => {
    await expect(ask(new ChatEngine(new MortalModel(3), fakeCodec), {})).rejects.toMatchObject({
      code: 'device-lost',
    });
  });
});

/** A cache that cannot grow beyond `capacity`, which is found out when it must. */
class SmallModel extends FakeModel {
  override maxContext = 1000;
  private readonly capacity: number;

  constructor(capacity: number) {
    super({ answerLength: 200 });
    this.capacity = capacity;
  }

  override prefill(ids: Uint32Array, images: readonly FakeFeatures[]): Promise<number> {
    return this.growing(ids.length) ?? super.prefill(ids, images);
  }

  override decode(count: number): Promise<Uint32Array> {
    return this.growing(count) ?? super.decode(count);
  }

  private growing(count: number): Promise<never> | undefined {
    if (this.length + count <= this.capacity) return undefined;
    this.maxContext = this.capacity;
    return Promise.reject(new SpeedqError('out-of-memory', 'no room'));
  }
}

describe('when memory gives out', () => {
  const say = (text: string): ChatMessage => ({ role: 'user', parts: [{ type: 'text', text }] });
  const answer = async (conversation: Conversation, text: string, options: RespondOptions = {}) => {
    let got = '';
    for await (const piece of conversation.respond([say(text)], options)) got += piece;
    return got;
  };

  it('an answer ends as at any end of the context, and the context is smaller from then on', async () => {
    const engine = new ChatEngine(new SmallModel(64), fakeCodec);
    const conversation = new Conversation(engine);
    let reason: unknown;
    const got = await answer(conversation, 'WHAT', {
      onStats: ({ finishReason }) => (reason = finishReason),
    });
    expect(reason).toBe('length');
    expect(got.length).toBeGreaterThan(40);
    expect(conversation.contextWindow).toBe(64);
  });

  it('old turns are forgotten where they may be, and otherwise the error gives the numbers', async () => {
    for (const contextOverflow of ['drop-oldest', 'error'] as const) {
      const engine = new ChatEngine(new SmallModel(64), fakeCodec);
      const conversation = new Conversation(engine, [], { contextOverflow });
      await answer(conversation, 'A'.repeat(30), { maxNewTokens: 10 });
      const second = answer(conversation, 'B'.repeat(30), { maxNewTokens: 10 });
      if (contextOverflow === 'error')
        await expect(second).rejects.toMatchObject({ code: 'context-exceeded' });
      else expect((await second).length).toBe(10);
      expect(conversation.contextWindow).toBe(64);
      expect(conversation.droppedMessages).toBe(contextOverflow === 'error' ? 0 : 2);
    }
  });
});
