/**
 * A worker in the place of the engine's that speaks its protocol and answers every question with its own text, a few
 * characters at a time: what a model could say, without a model. Built by echo-engine-script.ts.
 */
import * as Comlink from 'comlink';

interface Message {
  readonly role: string;
  readonly parts: readonly { readonly type: string; readonly text?: string }[];
}

const USAGE = { contextUsage: 1, contextWindow: 4096, droppedMessages: 0 };
const STATS = { promptTokens: 1, reusedTokens: 0, encodedTiles: 0, newTokens: 1, finishReason: 'stop' };
const MEMORY = { weights: 1, kvCache: 1, workspace: 1, images: 0, total: 3 };
const PIECE = 5;

let sessions = 0;

Comlink.expose({
  hello: (lock: string) =>
    new Promise<void>((held) => {
      void navigator.locks.request(lock, () => {
        held();
        return new Promise(() => {});
      });
    }),
  open: () => ({
    model: 'echo',
    adapter: { engine: 'webgpu', name: 'echo', isSoftware: false },
    contextWindow: USAGE.contextWindow,
    memoryBytes: MEMORY.total,
    memoryBudget: { full: MEMORY, loaded: MEMORY },
    keptOffline: false,
  }),
  createSession: () => ({ id: ++sessions, ...USAGE }),
  cloneSession: () => ({ id: ++sessions, ...USAGE }),
  destroySession: () => undefined,
  append: () => USAGE,
  measure: () => 1,
  memory: () => MEMORY,
  abort: () => undefined,
  prompt(
    _request: number,
    _session: number,
    messages: readonly Message[],
    _options: unknown,
    output: MessagePort,
  ) {
    const text = messages
      .at(-1)!
      .parts.map((part) => part.text ?? '')
      .join('');
    for (let at = 0; at < text.length; at += PIECE) output.postMessage({ text: text.slice(at, at + PIECE) });
    output.postMessage({ done: { ...USAGE, stats: { ...STATS, prefillSeconds: 0.1, decodeSeconds: 0.1 } } });
    output.close();
  },
});
