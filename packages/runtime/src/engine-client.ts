import { SpeedqError } from '@speedq/format';
import * as Comlink from 'comlink';
import { fromWire } from './error-transfer.ts';
import { serveFetch } from './fetch-port.ts';
import type { Fetch } from './loading/download.ts';
import { installErrorTransfer } from './protocol.ts';
import type {
  AnswerEnd,
  EngineApi,
  EngineInfo,
  OpenRequest,
  OutputMessage,
  ProgressMessage,
  PromptRequest,
} from './protocol.ts';
import type { TextLogProbs } from './engine.ts';
import type { WireMessage } from './messages.ts';

installErrorTransfer();

export interface OpenOptions extends Omit<OpenRequest, 'fetch'> {
  /** Fetches the model's files, on this side. */
  readonly fetch?: Fetch;
}

/** A Worker, or in Node what stands for one: the port of an engine in the same process. */
export interface EngineEndpoint extends Comlink.Endpoint {
  terminate(): void;
}

/** The page's end of one engine worker: adds aborting by signal, and rejects everything when the worker dies. */
export class EngineClient {
  private readonly worker: EngineEndpoint;
  private readonly remote: Comlink.Remote<EngineApi>;
  /** Rejects when the worker is gone, for whatever reason. */
  readonly ended: Promise<never>;
  private die!: (reason: unknown) => void;
  private requests = 0;

  constructor(worker: EngineEndpoint) {
    this.worker = worker;
    this.ended = new Promise((_, reject) => (this.die = reject));
    // Someone may be waiting or nobody; nobody is no error.
    this.ended.catch(() => {});
    worker.addEventListener('error', (event: Event & { readonly message?: string }) => {
      this.die(workerDied(event.message || 'its script could not be loaded'));
    });
    this.remote = Comlink.wrap<EngineApi>(worker);
  }

  async open(
    { fetch, ...options }: OpenOptions,
    onProgress: (progress: ProgressMessage) => void,
    signal?: AbortSignal,
  ): Promise<EngineInfo> {
    await this.watch();
    const { port1, port2 } = new MessageChannel();
    port1.addEventListener('message', (event: MessageEvent<ProgressMessage>) => onProgress(event.data));
    port1.start();
    try {
      const request = fetch ? this.withFetch(options, fetch) : options;
      return await this.race(this.remote.open(request, Comlink.transfer(port2, [port2])), signal);
    } finally {
      port1.close();
    }
  }

  /** One call that can be aborted: `call` gets the remote and the id of its request. */
  async request<T>(
    call: (remote: Comlink.Remote<EngineApi>, request: number) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    // What is aborted already must not reach the worker: nobody would stop it there.
    signal?.throwIfAborted();
    const request = ++this.requests;
    return await this.race(call(this.remote, request), signal, () => this.abort(request));
  }

  /**
   * Sends a prompt; `onText` gets pieces of the answer until the promise settles, `onToken` its tokens if the
   * options ask for log-probabilities.
   * Rejects with the signal's reason as soon as it aborts; the worker stops by itself a moment later.
   */
  async prompt(
    session: number,
    messages: readonly WireMessage[],
    options: PromptRequest,
    onText: (text: string) => void,
    signal?: AbortSignal,
    onToken?: (token: TextLogProbs) => void,
  ): Promise<AnswerEnd> {
    signal?.throwIfAborted();
    const request = ++this.requests;
    const { port1, port2 } = new MessageChannel();
    const answer = new Promise<AnswerEnd>((resolve, reject) => {
      port1.addEventListener('message', ({ data }: MessageEvent<OutputMessage>) => {
        if ('text' in data) onText(data.text);
        else if ('token' in data) onToken?.(data.token);
        else if ('done' in data) resolve(data.done);
        else reject(fromWire(data.error));
      });
      port1.start();
      this.remote.prompt(request, session, messages, options, Comlink.transfer(port2, [port2])).catch(reject);
    });
    try {
      return await this.race(answer, signal, () => this.abort(request));
    } finally {
      port1.close();
    }
  }

  /** Ends the worker; what is pending rejects. */
  terminate(): void {
    this.die(new SpeedqError('aborted', 'The session was destroyed before the answer was complete.'));
    this.worker.terminate();
  }

  /** As long as the engine is there: a lost device has it read the model again. */
  private withFetch(options: OpenRequest, fetch: Fetch): OpenRequest {
    const { port1, port2 } = new MessageChannel();
    serveFetch(port1, fetch);
    this.ended.catch(() => port1.close());
    return Comlink.transfer({ ...options, fetch: port2 }, [port2]);
  }

  private abort(request: number): void {
    this.remote.abort(request).catch(() => {});
  }

  /** A worker holds a lock as long as it lives; getting hold of it means that the worker is gone. */
  private async watch(): Promise<void> {
    // An engine in the same process, as in Node, does not die alone.
    if (globalThis.navigator?.locks === undefined) return;
    const lock = `speedq-worker-${crypto.randomUUID()}`;
    await this.race(this.remote.hello(lock));
    navigator.locks
      .request(lock, () => this.die(workerDied('the browser ended it, perhaps for lack of memory')))
      .catch(() => {});
  }

  private async race<T>(promise: Promise<T>, signal?: AbortSignal, onAbort?: () => void): Promise<T> {
    let stop: () => void = () => {};
    const aborted = new Promise<never>((_, reject) => {
      stop = () => {
        onAbort?.();
        reject(signal?.reason);
      };
    });
    signal?.addEventListener('abort', stop, { once: true });
    try {
      return await Promise.race([promise, this.ended, aborted]);
    } finally {
      signal?.removeEventListener('abort', stop);
      // It may still reject after the race; that is nobody's concern any more.
      promise.catch(() => {});
    }
  }
}

function workerDied(why: string): SpeedqError {
  return new SpeedqError('worker-died', `The engine's worker ended: ${why}. Reload the page to go on.`);
}
