/**
 * A worker in the place of the engine's that speaks its protocol and answers every question with its own text, a few
 * characters at a time: what a model could say, without a model. "?request" is answered with what the session was
 * given, "(cut)" ends as if it were cut short, and a model in a folder `slow` waits half downloaded until the
 * BroadcastChannel "echo" says to go on. Built by echo-app.ts.
 */
import * as Comlink from 'comlink';

interface Message {
  readonly role: string;
  readonly parts: readonly { readonly type: string; readonly text?: string }[];
}

const USAGE = { contextUsage: 321, contextWindow: 4096, droppedMessages: 0 };
const STATS = {
  promptTokens: 1,
  reusedTokens: 0,
  encodedTiles: 0,
  newTokens: 20,
  prefillSeconds: 0.1,
  decodeSeconds: 2,
};
const MEMORY = { weights: 4e6, kvCache: 1e6, workspace: 1e6, images: 0, total: 6e6 };
const MEGABYTES = { loaded: 2_000_000, total: 4_000_000 };
const ADAPTER = { engine: 'webgpu', name: 'echo', isSoftware: false };
const PIECE = 5;

const sessions = new Map<number, readonly Message[]>();

function keep(messages: readonly Message[]): { id: number } {
  const id = sessions.size + 1;
  sessions.set(id, messages);
  return { id, ...USAGE };
}

const textOf = (message: Message): string => message.parts.map((part) => part.text ?? '').join('');

async function halfDownloaded(progress: MessagePort): Promise<void> {
  for (let i = 1; i <= 20; i++) {
    progress.postMessage({
      loaded: (MEGABYTES.loaded * i) / 20,
      total: MEGABYTES.total,
      source: 'network',
      adapter: ADAPTER,
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const channel = new BroadcastChannel('echo');
  await new Promise((resolve) => (channel.onmessage = resolve));
}

Comlink.expose({
  hello: (lock: string) =>
    new Promise<void>((held) => {
      void navigator.locks.request(lock, () => {
        held();
        return new Promise(() => {});
      });
    }),
  async open({ url }: { url: string }, progress: MessagePort) {
    if (url.includes('/slow/')) await halfDownloaded(progress);
    return {
      model: 'echo',
      adapter: ADAPTER,
      contextWindow: USAGE.contextWindow,
      memoryBytes: MEMORY.total,
      memoryBudget: { full: MEMORY, loaded: MEMORY },
      keptOffline: true,
    };
  },
  createSession: (_request: number, messages: readonly Message[]) => keep(messages),
  cloneSession: (id: number) => keep(sessions.get(id) ?? []),
  destroySession: () => undefined,
  append: () => USAGE,
  measure: () => 1,
  memory: () => MEMORY,
  abort: () => undefined,
  prompt(
    _request: number,
    session: number,
    messages: readonly Message[],
    options: unknown,
    output: MessagePort,
  ) {
    const question = textOf(messages.at(-1)!);
    const given = { options, messages: sessions.get(session) };
    const text = question === '?request' ? `\`\`\`\n${JSON.stringify(given)}\n\`\`\`` : question;
    for (let at = 0; at < text.length; at += PIECE) output.postMessage({ text: text.slice(at, at + PIECE) });
    const finishReason = question.includes('(cut)') ? 'length' : 'stop';
    output.postMessage({ done: { ...USAGE, stats: { ...STATS, finishReason } } });
    output.close();
  },
});
