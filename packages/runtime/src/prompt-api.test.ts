/**
 * What the Prompt API's specification (webmachinelearning/prompt-api, index.bs of June 2026, and the shared parts
 * of writing-assistance-apis) says, section by section, of the class that pages use.
 */
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { DownloadProgressEvent } from './create-monitor.ts';
import type { LanguageModel } from './language-model.ts';
import type { LanguageModelCreateOptions } from './language-model-options.ts';
import type { LanguageModelPrompt } from './messages.ts';
import { fakeLanguageModel } from './testing/fake-language-model.ts';
import type { FakeOptions } from './testing/fake-language-model.ts';

async function createSession(
  options: Partial<LanguageModelCreateOptions> = {},
  fake: FakeOptions = {},
): Promise<LanguageModel> {
  const { Model, model } = fakeLanguageModel(fake);
  const session = await Model.create({ model, ...options });
  onTestFinished(() => session.destroy());
  return session;
}

/** What a promise rejects with. */
async function rejection(promise: Promise<unknown>): Promise<Error & { readonly code?: string }> {
  return await promise.then(
    () => {
      throw new Error('It was fulfilled');
    },
    (error: unknown) => error as Error,
  );
}

async function readAll(stream: ReadableStream<string>): Promise<string[]> {
  const chunks: string[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const png = new Blob([Uint8Array.of(1, 2, 3)], { type: 'image/png' });
const untyped = (value: unknown): never => value as never;

describe('the interface', () => {
  it('has every member of the IDL that is neither deprecated nor for extensions alone', async () => {
    const session = await createSession();
    expect(session).toBeInstanceOf(EventTarget);
    for (const name of [
      'prompt',
      'promptStreaming',
      'append',
      'measureContextUsage',
      'clone',
      'destroy',
    ] as const) {
      expect(session[name], name).toBeTypeOf('function');
    }
    for (const name of ['contextUsage', 'contextWindow', 'samplingMode', 'oncontextoverflow'] as const) {
      expect(name in session, name).toBe(true);
    }
    expect(session.contextUsage).toBe(0);
    expect(session.contextWindow).toBe(1000);
    expect(session.oncontextoverflow).toBeNull();
    // Read-only attributes: assignment throws in strict code.
    expect(() => Object.assign(session, { contextUsage: 1 })).toThrow(TypeError);
  });

  it('takes what is no function as null in an event handler attribute', async () => {
    const session = await createSession();
    session.oncontextoverflow = untyped('alert(1)');
    expect(session.oncontextoverflow).toBeNull();
  });
});

describe('availability', () => {
  it('is what the platform says', async () => {
    for (const availability of ['unavailable', 'downloadable', 'available'] as const) {
      const { Model, model } = fakeLanguageModel({ availability });
      expect(await Model.availability({ model })).toBe(availability);
    }
  });

  it("is 'downloading' while a session is being created and 'available' after", async () => {
    let open!: () => void;
    const opening = new Promise<void>((resolve) => (open = resolve));
    const { Model, model } = fakeLanguageModel({ opening });
    const session = Model.create({ model });
    await vi.waitFor(async () => expect(await Model.availability({ model })).toBe('downloading'));
    open();
    (
      await session.then(async (created) => {
        expect(await Model.availability({ model })).toBe('available');
        return created;
      })
    ).destroy();
  });

  it("is 'unavailable' for contents and tools that no model here has", async () => {
    const { Model, model } = fakeLanguageModel({ availability: 'available' });
    const ask = (options: object) => Model.availability({ model, ...options });
    expect(await ask({ expectedInputs: [{ type: 'text' }, { type: 'image' }] })).toBe('available');
    expect(await ask({ expectedInputs: [{ type: 'audio' }] })).toBe('unavailable');
    expect(await ask({ expectedOutputs: [{ type: 'text' }] })).toBe('available');
    expect(await ask({ expectedOutputs: [{ type: 'image' }] })).toBe('unavailable');
    expect(await ask({ tools: [] })).toBe('available');
    expect(await ask({ tools: [{ name: 'weather' }] })).toBe('unavailable');
  });

  it('validates language tags and content types', async () => {
    const { Model, model } = fakeLanguageModel();
    const ask = (expected: object) => Model.availability({ model, expectedInputs: [untyped(expected)] });
    expect(await ask({ type: 'text', languages: ['en', 'zh-Hans', 'de-CH-1901'] })).toBe('downloadable');
    expect(await rejection(ask({ type: 'text', languages: ['not a tag'] }))).toBeInstanceOf(RangeError);
    expect(await rejection(ask({ type: 'smell' }))).toBeInstanceOf(TypeError);
  });
});

describe('create', () => {
  it('calls the monitor at once and fires progress from 0 to 1, never backwards', async () => {
    const progress = [
      { loaded: 30, total: 100 },
      { loaded: 20, total: 100 },
      { loaded: 70, total: 100 },
    ];
    const seen: DownloadProgressEvent[] = [];
    const handled: Event[] = [];
    await createSession(
      {
        monitor(monitor) {
          expect(monitor).toBeInstanceOf(EventTarget);
          monitor.addEventListener('downloadprogress', (event) => seen.push(event as DownloadProgressEvent));
          monitor.ondownloadprogress = (event) => handled.push(event);
        },
      },
      { progress },
    );
    expect(seen.map(({ loaded }) => loaded)).toEqual([0, 0.3, 0.7, 1]);
    expect(seen.every(({ total, lengthComputable }) => total === 1 && lengthComputable)).toBe(true);
    expect(handled).toEqual(seen);
  });

  it("rejects with the monitor's exception", async () => {
    const { Model, model } = fakeLanguageModel();
    const thrown = new Error('monitor');
    const monitor = (): void => {
      throw thrown;
    };
    expect(await rejection(Model.create({ model, monitor }))).toBe(thrown);
  });

  it("rejects with the signal's reason, and never calls the monitor when it was aborted before", async () => {
    const { Model, model, engines } = fakeLanguageModel();
    const monitor = vi.fn();
    const signal = AbortSignal.abort();
    const error = await rejection(Model.create({ model, signal, monitor }));
    expect(error).toBe(signal.reason);
    expect(error.name).toBe('AbortError');
    expect(monitor).not.toHaveBeenCalled();
    expect(engines).toEqual([]);
  });

  it('validates options before it looks at the signal', async () => {
    const { Model, model } = fakeLanguageModel();
    const options = { model, signal: AbortSignal.abort() };
    const initialPrompts = [{ role: untyped('nobody'), content: '' }];
    expect(await rejection(Model.create({ ...options, initialPrompts }))).toBeInstanceOf(TypeError);
  });

  it('rejects with the reason when aborted while it opens', async () => {
    const { Model, model } = fakeLanguageModel({ opening: new Promise(() => {}) });
    const controller = new AbortController();
    const creating = rejection(Model.create({ model, signal: controller.signal }));
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await creating).toBe(reason);
  });

  it('destroys the session with the reason when the signal is aborted later', async () => {
    const controller = new AbortController();
    const session = await createSession({ signal: controller.signal });
    const reason = new Error('page closed');
    controller.abort(reason);
    expect(await rejection(session.prompt('HI'))).toBe(reason);
  });

  it('rejects with NotSupportedError where it is unavailable', async () => {
    const { Model, model } = fakeLanguageModel();
    const error = await rejection(Model.create({ model, expectedInputs: [{ type: 'audio' }] }));
    expect(error).toBeInstanceOf(DOMException);
    expect(error).toMatchObject({ name: 'NotSupportedError', code: 'unsupported' });
  });

  it('rejects with QuotaExceededError for initial prompts that are too long', async () => {
    const { Model, model } = fakeLanguageModel({ maxContext: 20 });
    const initialPrompts = [{ role: 'system', content: 'A'.repeat(40) } as const];
    const error = await rejection(Model.create({ model, initialPrompts }));
    expect(error).toBeInstanceOf(DOMException);
    expect(error).toMatchObject({ name: 'QuotaExceededError', code: 'context-exceeded', quota: 20 });
    expect((error as { requested?: number }).requested).toBeGreaterThan(40);
  });

  it('rejects with OperationError when opening fails, with our code', async () => {
    const { SpeedqError } = await import('@speedq/format');
    const opening = Promise.reject(new SpeedqError('checksum-mismatch', 'altered'));
    opening.catch(() => {});
    const { Model, model } = fakeLanguageModel({ opening });
    expect(await rejection(Model.create({ model }))).toMatchObject({
      name: 'OperationError',
      code: 'checksum-mismatch',
    });
  });

  it('counts initial prompts in contextUsage', async () => {
    const session = await createSession({ initialPrompts: [{ role: 'system', content: 'BRIEF' }] });
    expect(session.contextUsage).toBe('BRIEF'.length + 3);
  });

  it('takes a sampling mode or numbers, not both', async () => {
    expect((await createSession({ samplingMode: 'creative' })).samplingMode).toBe('creative');
    expect((await createSession()).samplingMode).toBe('most-predictable');
    expect((await createSession({ temperature: 0.5 })).samplingMode).toBeUndefined();
    const { Model, model } = fakeLanguageModel();
    const both = { model, samplingMode: 'balanced', temperature: 0.5 } as const;
    expect(await rejection(Model.create(both))).toBeInstanceOf(TypeError);
    const unknown = { model, samplingMode: untyped('wild') };
    expect(await rejection(Model.create(unknown))).toBeInstanceOf(TypeError);
  });
});

describe('validating a prompt', () => {
  const invalid: readonly [string, unknown, string][] = [
    ['a number', 7, 'TypeError'],
    ['null', null, 'TypeError'],
    ['an unknown role', [{ role: 'tool', content: '' }], 'TypeError'],
    ['no content', [{ role: 'user' }], 'TypeError'],
    ['an unknown type', [{ role: 'user', content: [{ type: 'smell', value: '' }] }], 'TypeError'],
    ['text that is no string', [{ role: 'user', content: [{ type: 'text', value: 7 }] }], 'TypeError'],
    ['a picture that is none', [{ role: 'user', content: [{ type: 'image', value: 'a.png' }] }], 'TypeError'],
    [
      'a late system message',
      [
        { role: 'user', content: '' },
        { role: 'system', content: '' },
      ],
      'TypeError',
    ],
    ['a prefix of the user', [{ role: 'user', content: '', prefix: true }], 'SyntaxError'],
    [
      'a prefix that is not last',
      [
        { role: 'assistant', content: '', prefix: true },
        { role: 'user', content: '' },
      ],
      'SyntaxError',
    ],
    [
      "a picture of the assistant's",
      [{ role: 'assistant', content: [{ type: 'image', value: png }] }],
      'NotSupportedError',
    ],
    ['audio', [{ role: 'user', content: [{ type: 'audio', value: png }] }], 'NotSupportedError'],
    ['a tool call', [{ role: 'user', content: [{ type: 'tool-call', value: '' }] }], 'NotSupportedError'],
  ];

  it.each(invalid)('%s', async (_what, prompt, name) => {
    const session = await createSession({ expectedInputs: [{ type: 'image' }] });
    const calls = [
      session.prompt(untyped(prompt)),
      session.append(untyped(prompt)),
      session.measureContextUsage(untyped(prompt)),
      readAll(session.promptStreaming(untyped(prompt))),
    ];
    for (const error of await Promise.all(calls.map(rejection))) {
      expect(error.name).toBe(name);
      expect(error).toBeInstanceOf(name === 'TypeError' ? TypeError : DOMException);
      expect(error.code).toMatch(/^(invalid-argument|unsupported)$/);
    }
    expect(session.contextUsage).toBe(0);
  });

  it('a picture in a session that does not expect any is not supported', async () => {
    const prompt: LanguageModelPrompt = [{ role: 'user', content: [{ type: 'image', value: png }] }];
    const session = await createSession();
    expect(await rejection(session.prompt(prompt))).toMatchObject({ name: 'NotSupportedError' });
    const expecting = await createSession({ expectedInputs: [{ type: 'image' }] });
    expect(await expecting.prompt(prompt)).not.toBe('');
  });

  it('a system message after others is a TypeError, in a new session it is not', async () => {
    const session = await createSession();
    await session.append([{ role: 'system', content: 'A' }]);
    expect(await rejection(session.append([{ role: 'system', content: 'A' }]))).toBeInstanceOf(TypeError);
    // Measuring asks what it would take, not whether it may come now.
    expect(await session.measureContextUsage([{ role: 'system', content: 'A' }])).toBeGreaterThan(0);
  });

  it('equal ways to say the same are equal', async () => {
    const session = await createSession();
    const usages = await Promise.all(
      [
        'FOOBAR',
        [{ role: 'user', content: 'FOOBAR' }],
        [{ role: 'user', content: [{ type: 'text', value: 'FOOBAR' }] }],
        [
          {
            role: 'user',
            content: [
              { type: 'text', value: 'FOO' },
              { type: 'text', value: 'BAR' },
            ],
          },
        ],
      ].map((prompt) => session.measureContextUsage(prompt as LanguageModelPrompt)),
    );
    expect(new Set(usages)).toEqual(new Set(['FOOBAR'.length + 3]));
    // Nothing is an empty text of the user.
    expect(await session.measureContextUsage([])).toBe(3);
    expect(await session.measureContextUsage([{ role: 'user', content: [] }])).toBe(3);
  });
});

describe('prompt, promptStreaming and append', () => {
  it('give the same answer, the stream in pieces', async () => {
    const { Model, model } = fakeLanguageModel();
    const first = await Model.create({ model });
    const second = await Model.create({ model });
    const answer = await first.prompt('HELLO');
    expect(answer).toHaveLength(5);
    expect((await readAll(second.promptStreaming('HELLO'))).join('')).toBe(answer);
    expect(second.contextUsage).toBe(first.contextUsage);
    expect(first.contextUsage).toBe('HELLO'.length + 3 + answer.length + 3);
    first.destroy();
    second.destroy();
  });

  it('what was appended counts for the next answer', async () => {
    const together = await createSession();
    const apart = await createSession();
    await apart.append('HELLO');
    expect(apart.contextUsage).toBe('HELLO'.length + 3);
    const answer = await apart.prompt('WORLD');
    const both = [
      { role: 'user', content: 'HELLO' },
      { role: 'user', content: 'WORLD' },
    ] as const;
    expect(await together.prompt(both)).toBe(answer);
  });

  it('an answer goes on from a prefix, which is not given back and is part of the conversation', async () => {
    const session = await createSession();
    const answer = await session.prompt([
      { role: 'user', content: 'HELLO' },
      { role: 'assistant', content: 'PRE', prefix: true },
    ]);
    expect(answer).toHaveLength(5);
    expect(session.contextUsage).toBe('HELLO'.length + 3 + 'PRE'.length + answer.length + 3);
    const told = await createSession();
    await told.append([
      { role: 'user', content: 'HELLO' },
      { role: 'assistant', content: `PRE${answer}` },
    ]);
    expect(await told.prompt('MORE')).toBe(await session.prompt('MORE'));
  });

  it('reject with the reason of their signal and leave the session as it was', async () => {
    const session = await createSession();
    const signal = AbortSignal.abort(new Error('no'));
    expect(await rejection(session.prompt('HI', { signal }))).toBe(signal.reason);
    expect(await rejection(session.append('HI', { signal }))).toBe(signal.reason);
    expect(await rejection(session.measureContextUsage('HI', { signal }))).toBe(signal.reason);
    expect(await rejection(readAll(session.promptStreaming('HI', { signal })))).toBe(signal.reason);
    expect(session.contextUsage).toBe(0);
  });

  it('reject with QuotaExceededError when the prompt is too long, with both numbers', async () => {
    const session = await createSession({}, { maxContext: 30 });
    const error = await rejection(session.prompt('A'.repeat(50)));
    expect(error).toMatchObject({ name: 'QuotaExceededError', code: 'context-exceeded', quota: 30 });
    expect((error as { requested?: number }).requested).toBeGreaterThan(50);
  });

  it('forget the oldest turns when the context overflows and say so', async () => {
    const session = await createSession(
      { initialPrompts: [{ role: 'system', content: 'SYS' }] },
      { maxContext: 60 },
    );
    const listener = vi.fn();
    const handler = vi.fn();
    session.addEventListener('contextoverflow', listener);
    session.oncontextoverflow = handler;
    for (let i = 0; i < 6; i++) await session.prompt('QUESTION');
    expect(listener).toHaveBeenCalled();
    expect(handler).toHaveBeenCalledTimes(listener.mock.calls.length);
    expect(session.contextUsage).toBeLessThanOrEqual(session.contextWindow);
  });

  it('hold an answer to its constraint', async () => {
    const session = await createSession();
    expect(await session.prompt('HI', { responseConstraint: /YES|NO/ })).toMatch(/^(YES|NO)$/);
    expect(await rejection(session.prompt('HI', { responseConstraint: untyped('YES') }))).toBeInstanceOf(
      TypeError,
    );
    const omit = { omitResponseConstraintInput: true };
    expect(await rejection(session.measureContextUsage('HI', omit))).toBeInstanceOf(TypeError);
    expect(await session.measureContextUsage('HI', { ...omit, responseConstraint: /A/ })).toBe(5);
  });

  it('report what an answer took', async () => {
    const session = await createSession();
    const usage = vi.fn();
    await session.prompt('HELLO', { maxNewTokens: 2, onUsage: usage });
    expect(usage).toHaveBeenCalledWith({
      promptTokens: 'HELLO'.length + 5,
      cachedTokens: 0,
      newTokens: 2,
      finishReason: 'length',
    });
  });
});

describe('clone', () => {
  it('has the same conversation and options and goes its own way', async () => {
    const session = await createSession({ samplingMode: 'predictable', expectedInputs: [{ type: 'image' }] });
    await session.append('HELLO');
    const clone = await session.clone();
    expect(clone).toBeInstanceOf(session.constructor);
    expect(clone.contextUsage).toBe(session.contextUsage);
    expect(clone.samplingMode).toBe('predictable');
    await clone.append([{ role: 'user', content: [{ type: 'image', value: png }] }]);
    expect(clone.contextUsage).toBeGreaterThan(session.contextUsage);
    session.destroy();
    expect(await clone.prompt('HI')).not.toBe('');
    clone.destroy();
  });

  it("rejects with its signal's reason", async () => {
    const session = await createSession();
    const signal = AbortSignal.abort(new Error('no'));
    expect(await rejection(session.clone({ signal }))).toBe(signal.reason);
  });
});

describe('destroy', () => {
  it('rejects what is pending and what comes later with an AbortError', async () => {
    const session = await createSession();
    const pending = rejection(session.prompt('HELLO'));
    session.destroy();
    session.destroy();
    const calls = [
      pending,
      rejection(session.prompt('HI')),
      rejection(session.append('HI')),
      rejection(session.measureContextUsage('HI')),
      rejection(session.clone()),
      rejection(readAll(session.promptStreaming('HI'))),
    ];
    for (const error of await Promise.all(calls)) {
      expect(error).toBeInstanceOf(DOMException);
      expect(error).toMatchObject({ name: 'AbortError', code: 'aborted' });
    }
  });

  it('frees the model with its last session', async () => {
    const { Model, model, engines } = fakeLanguageModel();
    const sessions = await Promise.all([Model.create({ model }), Model.create({ model })]);
    expect(engines).toHaveLength(1);
    const destroyed = vi.spyOn(engines[0], 'destroy');
    sessions[0].destroy();
    expect(destroyed).not.toHaveBeenCalled();
    sessions[1].destroy();
    expect(destroyed).toHaveBeenCalledOnce();
  });
});
