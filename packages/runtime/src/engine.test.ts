import { describe, expect, it } from 'vitest';
import { Conversation } from './conversation.ts';
import { ChatEngine } from './engine.ts';
import type { ResponseStats, RespondOptions, TextLogProbs } from './engine.ts';
import type { ChatMessage, Picture } from './prompt.ts';
import { FakeModel, fakeCodec, TOKENS_PER_TILE } from './testing/fake-model.ts';

const say = (text: string): ChatMessage => ({ role: 'user', parts: [{ type: 'text', text }] });
const show = (picture: Picture, text: string): ChatMessage => ({
  role: 'user',
  parts: [
    { type: 'image', picture },
    { type: 'text', text },
  ],
});
const picture = (value: number, tiles = 2): Picture => ({ tiles, pixels: Float32Array.of(value) });

async function ask(
  conversation: Conversation,
  message: ChatMessage,
  options: RespondOptions = {},
): Promise<{ text: string; stats: ResponseStats }> {
  let text = '';
  let stats!: ResponseStats;
  const pieces = conversation.respond([message], { ...options, onStats: (value) => (stats = value) });
  for await (const piece of pieces) text += piece;
  return { text, stats };
}

/** The same questions asked of an engine that has cached nothing: what every answer must equal. */
async function fresh(
  messages: readonly ChatMessage[],
  message: ChatMessage,
  answerLength?: number,
): Promise<string> {
  const engine = new ChatEngine(new FakeModel({ answerLength }), fakeCodec);
  return (await ask(new Conversation(engine, messages), message)).text;
}

const assistant = (text: string): ChatMessage => ({ role: 'assistant', parts: [{ type: 'text', text }] });

describe('ChatEngine', () => {
  it('a second turn computes only what is new and answers as if it had computed everything', async () => {
    const model = new FakeModel();
    const conversation = new Conversation(new ChatEngine(model, fakeCodec));
    const photo = picture(40);
    const first = await ask(conversation, show(photo, 'WHAT'));
    const prefilled = model.prefilled;
    const second = await ask(conversation, say('WHERE'));
    expect(second.text).toBe(await fresh([show(photo, 'WHAT'), assistant(first.text)], say('WHERE')));
    expect(second.stats.reusedTokens).toBeGreaterThanOrEqual(prefilled);
    expect(model.prefilled - prefilled).toBe(second.stats.promptTokens - second.stats.reusedTokens);
    expect(model.encoded).toBe(1);
  });

  it('another picture under the same words is another prompt', async () => {
    const model = new FakeModel();
    const engine = new ChatEngine(model, fakeCodec);
    const one = await ask(new Conversation(engine), show(picture(40), 'WHAT'));
    const two = await ask(new Conversation(engine), show(picture(41), 'WHAT'));
    expect(two.text).toBe(await fresh([], show(picture(41), 'WHAT')));
    expect(two.text).not.toBe(one.text);
    expect(two.stats.reusedTokens).toBe(2);
  });

  it('two questions about one picture share its tokens', async () => {
    const model = new FakeModel();
    const base = new Conversation(new ChatEngine(model, fakeCodec));
    const photo = picture(40);
    await ask(base.clone(), show(photo, 'WHAT'));
    const { text, stats } = await ask(base.clone(), show(photo, 'WHERE'));
    expect(text).toBe(await fresh([], show(photo, 'WHERE')));
    expect(stats.reusedTokens).toBe(2 + 2 * TOKENS_PER_TILE + 'WH'.length);
  });

  it('conversations that take turns do not hear each other', async () => {
    const engine = new ChatEngine(new FakeModel(), fakeCodec);
    const a = new Conversation(engine);
    const b = new Conversation(engine, [say('HELLO'), assistant('HI')]);
    const firstA = await ask(a, show(picture(40), 'WHAT'));
    const firstB = await ask(b, say('WHO'));
    const secondA = ask(a, say('WHY'));
    const secondB = ask(b, say('HOW'));
    expect((await secondA).text).toBe(
      await fresh([show(picture(40), 'WHAT'), assistant(firstA.text)], say('WHY')),
    );
    expect((await secondB).text).toBe(
      await fresh([say('HELLO'), assistant('HI'), say('WHO'), assistant(firstB.text)], say('HOW')),
    );
  });

  it('an aborted answer leaves the conversation as it was', async () => {
    const conversation = new Conversation(new ChatEngine(new FakeModel({ answerLength: 30 }), fakeCodec));
    const controller = new AbortController();
    const pieces = conversation.respond([say('LONG')], { signal: controller.signal });
    await pieces.next();
    controller.abort();
    await expect(pieces.next()).rejects.toMatchObject({ name: 'AbortError' });
    expect(conversation.contextUsage).toBe(0);

    const again = await ask(conversation, say('LONG'), { maxNewTokens: 4 });
    const reference = new Conversation(new ChatEngine(new FakeModel({ answerLength: 30 }), fakeCodec));
    expect(again.text).toBe((await ask(reference, say('LONG'), { maxNewTokens: 4 })).text);
    // The aborted run's prompt is still in the cache; only its last token is computed again.
    expect(again.stats.reusedTokens).toBe(again.stats.promptTokens - 1);
  });

  it('keeps the features of the last pictures up to sixteen tiles and frees the others', async () => {
    const model = new FakeModel();
    const engine = new ChatEngine(model, fakeCodec);
    const pictures = Array.from({ length: 7 }, (_, i) => picture(40 + i, 4));
    for (const one of pictures) await ask(new Conversation(engine), show(one, 'WHAT'));
    expect(model.live).toBe(4);
    // More pictures in one prompt than are kept all reach the model, and never all at once.
    const parts = pictures.map((one) => ({ type: 'image' as const, picture: one }));
    const all = await ask(new Conversation(engine), { role: 'user', parts });
    expect(all.text).toBe(await fresh([], { role: 'user', parts }));
    expect(model.live).toBe(4);
    await ask(new Conversation(engine), show(picture(60, 30), 'WHAT'));
    expect(model.live).toBe(1);
    expect(model.mostLive).toBe(5);
    engine.destroy();
    expect(model.live).toBe(0);
  });

  it('knows a picture by its content key, in the KV cache and among the features', async () => {
    const model = new FakeModel();
    const engine = new ChatEngine(model, fakeCodec);
    const copy = (): Picture => ({ ...picture(40), key: 'cat' });
    await ask(new Conversation(engine), show(copy(), 'WHAT'));
    const again = await ask(new Conversation(engine), show(copy(), 'WHERE'));
    expect(again.stats.reusedTokens).toBe(2 + 2 * TOKENS_PER_TILE + 'WH'.length);
    // After another text in front of it the cache is of no use, but the features are.
    const moved = [{ role: 'user' as const, parts: [{ type: 'text' as const, text: 'X' }] }, assistant('Y')];
    const third = await ask(new Conversation(engine, moved), show(copy(), 'WHAT'));
    expect(third.stats.encodedTiles).toBe(0);
    expect(third.text).toBe(await fresh(moved, show(copy(), 'WHAT')));
    expect(model.encoded).toBe(1);
  });

  it('an edited earlier turn keeps what stands before the edit, pictures of other turns included', async () => {
    const model = new FakeModel();
    const engine = new ChatEngine(model, fakeCodec);
    const [cat, dog] = [picture(40), picture(50)];
    const first = await ask(new Conversation(engine), show(cat, 'WHAT'));
    const history = [show(cat, 'WHAT'), assistant(first.text)];
    await ask(new Conversation(engine, history), show(dog, 'AND THIS'));
    const before = model.prefilled;
    const { text, stats } = await ask(new Conversation(engine, history), show(dog, 'OR THAT'));
    expect(text).toBe(await fresh(history, show(dog, 'OR THAT')));
    expect(stats.encodedTiles).toBe(0);
    // All but the edited words: the first question and answer, both pictures.
    expect(model.prefilled - before).toBe('OR THAT'.length + 1 + 2);
    expect(model.encoded).toBe(2);
  });

  it('counts the context and refuses what does not fit before computing anything', async () => {
    const model = new FakeModel({ maxContext: 24 });
    const conversation = new Conversation(new ChatEngine(model, fakeCodec));
    expect(conversation.measure([say('ABC')])).toBe(6);
    conversation.append([say('ABC')]);
    expect(conversation.contextUsage).toBe(6);
    await expect(ask(conversation, say('ABCDEFGHIJKLMNOPQRSTUVWXYZ'))).rejects.toMatchObject({
      code: 'context-exceeded',
    });
    expect(() => conversation.append([say('ABCDEFGHIJKLMNOPQRSTUVWXYZ')])).toThrow(/24/);
    expect(model.prefilled).toBe(0);
    expect(conversation.contextUsage).toBe(6);
  });

  it('a stop string ends the answer before it, wherever tokens end, and the next turn is right', async () => {
    const model = new FakeModel({ answerLength: 20 });
    const conversation = new Conversation(new ChatEngine(model, fakeCodec));
    const whole = await fresh([], say('LONG'), 20);
    const stop = whole.slice(7, 10);
    const pieces: string[] = [];
    let stats!: ResponseStats;
    for await (const piece of conversation.respond([say('LONG')], {
      stop: [stop],
      onStats: (s) => (stats = s),
    })) {
      pieces.push(piece);
    }
    const text = whole.slice(0, whole.indexOf(stop));
    expect(pieces.join('')).toBe(text);
    expect(pieces.every((piece) => piece !== '')).toBe(true);
    expect(stats.finishReason).toBe('stop');
    expect(model.cache.length).toBeLessThanOrEqual(stats.promptTokens + text.length + stop.length);
    const next = await ask(conversation, say('WHY'));
    expect(next.text).toBe(await fresh([say('LONG'), assistant(text)], say('WHY'), 20));
  });

  it('a caller that stops reading leaves a cache that later answers can trust', async () => {
    const engine = new ChatEngine(new FakeModel({ answerLength: 20 }), fakeCodec);
    for await (const piece of new Conversation(engine).respond([say('LONG')])) if (piece !== '') break;
    expect((await ask(new Conversation(engine), say('LONG'))).text).toBe(await fresh([], say('LONG'), 20));
  });

  it('an empty stop string is refused before anything is computed', async () => {
    const model = new FakeModel();
    const conversation = new Conversation(new ChatEngine(model, fakeCodec));
    await expect(ask(conversation, say('A'), { stop: [''] })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
    expect(model.prefilled).toBe(0);
  });

  it('a constraint holds the answer to it, and the next turn is free again', async () => {
    const conversation = new Conversation(new ChatEngine(new FakeModel(), fakeCodec));
    const { text, stats } = await ask(conversation, say('HI'), { responseConstraint: /(CAT|DOG){2}/ });
    expect(text).toMatch(/^(CAT|DOG){2}$/);
    expect(stats.finishReason).toBe('stop');
    const cut = await ask(conversation, say('HI'), { responseConstraint: /(CAT|DOG){2}/, maxNewTokens: 4 });
    expect(cut.stats.finishReason).toBe('length');
    const refused = ask(conversation, say('HI'), { responseConstraint: { type: 'text' } });
    await expect(refused).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  it('log-probabilities come with the text of their tokens', async () => {
    const conversation = new Conversation(new ChatEngine(new FakeModel(), fakeCodec));
    const tokens: TextLogProbs[] = [];
    const { text, stats } = await ask(conversation, say('HI'), {
      logProbs: { count: 1, onToken: (token) => tokens.push(token) },
    });
    expect(tokens.map((token) => token.text).join('')).toBe(text);
    expect(tokens.map((token) => token.top[0].text).join('')).toBe(text);
    expect(stats.finishReason).toBe('stop');
  });

  describe('a conversation that outgrows the context', () => {
    const system: ChatMessage = { role: 'system', parts: [{ type: 'text', text: 'SYS' }] };
    const options = { contextOverflow: 'drop-oldest' } as const;

    it('forgets its oldest turns, never the system prompt, and answers like one that never had them', async () => {
      const model = new FakeModel({ maxContext: 48 });
      const conversation = new Conversation(new ChatEngine(model, fakeCodec), [system], options);
      const turns: ChatMessage[][] = [];
      for (const word of ['FIRST', 'SECOND', 'THIRD', 'FOURTH']) {
        const { text } = await ask(conversation, say(word));
        turns.push([say(word), assistant(text)]);
        const kept = turns.slice(conversation.droppedMessages / 2, -1).flat();
        expect(text).toBe(await fresh([system, ...kept], say(word)));
      }
      expect(conversation.droppedMessages).toBeGreaterThan(0);
      expect(conversation.contextUsage).toBeLessThan(48);
      expect(conversation.clone().contextUsage).toBe(conversation.contextUsage);
    });

    it('forgets nothing for an answer that failed', async () => {
      const model = new FakeModel({ maxContext: 40 });
      const conversation = new Conversation(new ChatEngine(model, fakeCodec), [system], options);
      await ask(conversation, say('FIRST'));
      const usage = conversation.contextUsage;
      const long = say('ABCDEFGHIJKLM');
      await expect(ask(conversation, long, { signal: AbortSignal.abort() })).rejects.toThrow();
      expect([conversation.contextUsage, conversation.droppedMessages]).toEqual([usage, 0]);
      await ask(conversation, long);
      expect(conversation.droppedMessages).toBe(2);
    });

    it('is an error where a single question is too long, and then nothing is forgotten', async () => {
      const model = new FakeModel({ maxContext: 40 });
      const conversation = new Conversation(new ChatEngine(model, fakeCodec), [system], options);
      await ask(conversation, say('FIRST'));
      const usage = conversation.contextUsage;
      await expect(ask(conversation, say('A'.repeat(40)))).rejects.toMatchObject({
        code: 'context-exceeded',
      });
      expect(() => conversation.append([say('A'.repeat(40))])).toThrow(/room for 40/);
      expect([conversation.contextUsage, conversation.droppedMessages]).toEqual([usage, 0]);
    });
  });
});
