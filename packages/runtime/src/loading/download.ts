import { SpeedqError } from '@speedq/format';
import type { ManifestFile } from '@speedq/format';
import { DEFAULT_RETRY, LONGEST_RETRY_AFTER, parseRetryAfter, pause, pauseAfter } from './backoff.ts';
import type { RetryOptions } from './backoff.ts';
import { ByteCollector } from './collector.ts';
import type { Transfer } from './source.ts';

export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

/** What may be better the next time: the server's fault or the connection's. */
class PassingFailure extends Error {
  readonly retryAfter: number | undefined;

  constructor(what: string, { retryAfter, cause }: { retryAfter?: number; cause?: unknown } = {}) {
    super(what, { cause });
    this.retryAfter = retryAfter;
  }
}

/** The body ended without an error: cut by something between us and the server, or all there is. */
class ShortBody extends PassingFailure {}

/**
 * Fetches one file whose size is known. What breaks is taken up where it broke, by a range request; servers that
 * ignore those send the beginning again. Memory: the file, once. Whether the pieces are
 * of one file is for the caller to find out by the hash.
 *
 * @throws {SpeedqError} `network`, `file-truncated`; the signal's reason.
 */
export async function downloadFile(
  url: string,
  file: ManifestFile,
  transfer: Transfer,
  { fetch, retry }: { readonly fetch: Fetch; readonly retry?: RetryOptions },
): Promise<Uint8Array<ArrayBuffer>> {
  const { signal, resume } = transfer;
  const received = new ByteCollector(file.bytes, resume?.bytes);
  const state: DownloadState = { received, validator: resume?.validator, ranges: true };
  await retrying(
    url,
    signal,
    retry,
    () => received.length,
    async (options) => {
      if (received.length < file.bytes || file.bytes === 0)
        await attempt(url, file, state, transfer, fetch, options);
      if (received.length < file.bytes) throw new ShortBody('the file ended early');
    },
  ).catch((error: unknown) => {
    const isShort = error instanceof SpeedqError && error.cause instanceof ShortBody;
    throw isShort ? wrongSize(file, received.length) : error;
  });
  return received.take();
}

/** Fetches a small file whose size nobody knows. @throws {SpeedqError} `network`, `not-a-model`. */
export async function downloadWhole(
  url: string,
  maxBytes: number,
  {
    fetch,
    retry,
    signal,
    cache,
  }: { fetch: Fetch; retry?: RetryOptions; signal?: AbortSignal; cache?: RequestCache },
): Promise<Uint8Array<ArrayBuffer>> {
  return await retrying(
    url,
    signal,
    retry,
    () => 0,
    async (options) => {
      const received = new ByteCollector(maxBytes);
      const response = await request(url, fetch, { ...options.init, cache }, options);
      if (!response.ok) throw refusal(url, response);
      const tooLong = Number(response.headers.get('content-length')) > maxBytes;
      await readBody(response, options, (chunk) => {
        if (tooLong || received.length + chunk.length > maxBytes) {
          throw new SpeedqError('not-a-model', `${url} is longer than ${maxBytes} bytes. Check the address.`);
        }
        received.add(chunk);
      });
      return received.take();
    },
  );
}

interface DownloadState {
  readonly received: ByteCollector;
  /** Names the version of the file that the received bytes are of. */
  validator: string | undefined;
  /** False once the server made nothing of a range request. */
  ranges: boolean;
}

interface AttemptOptions {
  readonly init: RequestInit;
  /** Call when something arrived. */
  readonly alive: () => void;
  /** Rejects when the attempt is over, by the caller's will or for a lack of life. */
  readonly over: Promise<never>;
}

async function attempt(
  url: string,
  file: ManifestFile,
  state: DownloadState,
  { fresh, onStart, onBytes }: Transfer,
  fetch: Fetch,
  options: AttemptOptions,
): Promise<void> {
  const { received } = state;
  const headers: Record<string, string> = {};
  if (received.length > 0 && state.ranges) {
    headers.Range = `bytes=${received.length}-`;
    if (state.validator !== undefined && isOwnServer(url)) headers['If-Range'] = state.validator;
  }
  const init = { ...options.init, headers, ...(fresh ? { cache: 'reload' as const } : {}) };
  const response = await request(url, fetch, init, options);
  if (response.status === 416) {
    state.ranges = false;
    await response.body?.cancel();
    throw new PassingFailure('the server refused to continue the file');
  }
  if (!response.ok) throw refusal(url, response);
  const isRest = response.status === 206;
  if (isRest && !continues(response, received.length, file)) {
    state.ranges = false;
    await response.body?.cancel();
    throw new PassingFailure('the server continued the file at another place');
  }
  if (!isRest) {
    const announced = Number(response.headers.get('content-length') ?? NaN);
    // A compressed answer's length says nothing about the file's.
    if (!response.headers.has('content-encoding') && announced >= 0) {
      if (announced !== file.bytes) {
        await response.body?.cancel();
        throw wrongSize(file, announced);
      }
      received.reserve();
    }
    // All of it comes, so what is here need not be trusted.
    received.clear();
    state.validator = validatorOf(response);
    await onStart(state.validator);
  }
  await readBody(response, options, async (chunk) => {
    if (received.length + chunk.length > file.bytes) throw wrongSize(file, received.length + chunk.length);
    received.add(chunk);
    await onBytes(chunk);
  });
}

/** Whether a 206 goes on where we are (RFC 9110, 14.4). */
function continues(response: Response, from: number, { bytes }: ManifestFile): boolean {
  const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
  // Servers of other origins do not show the header to scripts unless they mean to; then the hash decides.
  if (!range)
    return (
      !response.headers.has('content-range') &&
      response.headers.get('content-type') !== 'multipart/byteranges'
    );
  return Number(range[1]) === from && (range[3] === '*' || Number(range[3]) === bytes);
}

/** Strong validators alone say that bytes are equal. */
function validatorOf({ headers }: Response): string | undefined {
  const tag = headers.get('etag');
  return tag === null || tag.startsWith('W/') ? undefined : tag;
}

/** Another origin would be asked first whether it takes If-Range, and the usual file hosts say no. */
function isOwnServer(url: string): boolean {
  const origin = globalThis.location?.origin;
  return origin === undefined || new URL(url).origin === origin;
}

async function readBody(
  response: Response,
  { alive, over }: AttemptOptions,
  onChunk: (chunk: Uint8Array<ArrayBuffer>) => void | Promise<void>,
): Promise<void> {
  const reader = response.body?.getReader();
  if (!reader) return;
  try {
    for (;;) {
      const reading = reader.read().catch((cause: unknown) => {
        throw new PassingFailure('the connection broke', { cause });
      });
      reading.catch(() => {});
      const { done, value } = await Promise.race([reading, over]);
      if (done) return;
      alive();
      await onChunk(value);
    }
  } catch (error) {
    reader.cancel(error).catch(() => {});
    throw error;
  }
}

/** The answer, whatever it is, of an attempt that is not over. */
async function request(
  url: string,
  fetch: Fetch,
  init: RequestInit,
  { over }: AttemptOptions,
): Promise<Response> {
  const answer = fetch(url, init).catch((cause: unknown) => {
    throw new PassingFailure('there was no answer', { cause });
  });
  answer.catch(() => {});
  return await Promise.race([answer, over]);
}

const PASSING_STATUS = new Set([408, 425, 429, 500, 502, 503, 504]);

function refusal(url: string, { status, statusText, headers, body }: Response): Error {
  body?.cancel().catch(() => {});
  const what = `the server answered ${status} ${statusText}`.trimEnd();
  if (!PASSING_STATUS.has(status)) return networkError(url, what);
  const retryAfter = parseRetryAfter(headers.get('retry-after'));
  if (retryAfter !== undefined && retryAfter > LONGEST_RETRY_AFTER) {
    return networkError(url, `${what} and asks to wait ${Math.ceil(retryAfter / 1000)} seconds`);
  }
  return new PassingFailure(what, { retryAfter });
}

/** Runs `attempt` until it succeeds, fails for good, or `progress` stands still for too long. */
async function retrying<T>(
  url: string,
  signal: AbortSignal | undefined,
  retry: RetryOptions = {},
  progress: () => number,
  attempt: (options: AttemptOptions) => Promise<T>,
): Promise<T> {
  const options = { ...DEFAULT_RETRY, ...retry };
  let furthest = progress();
  for (let failures = 0; ;) {
    signal?.throwIfAborted();
    const life = lifeOf(signal, options.stallMilliseconds);
    try {
      return await attempt(life);
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof PassingFailure)) throw error;
      failures = progress() > furthest ? 0 : failures + 1;
      furthest = Math.max(furthest, progress());
      if (failures >= options.attempts) throw networkError(url, error.message, error);
      await pause(pauseAfter(failures, error.retryAfter, options), signal);
    } finally {
      life.end();
    }
  }
}

/** Ends an attempt when the caller aborts or nothing has come for too long, also where `fetch` hears no signal. */
function lifeOf(
  signal: AbortSignal | undefined,
  stallMilliseconds: number,
): AttemptOptions & { end(): void } {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout>;
  let fail!: (reason: unknown) => void;
  const over = new Promise<never>((_, reject) => (fail = reject));
  over.catch(() => {});
  const stop = (reason: unknown): void => {
    fail(reason);
    controller.abort(reason);
  };
  const onAbort = (): void => stop(signal?.reason);
  const alive = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => stop(new PassingFailure('nothing came any more')), stallMilliseconds);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  alive();
  return {
    init: { signal: controller.signal },
    alive,
    over,
    end() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    },
  };
}

function networkError(url: string, what: string, cause?: unknown): SpeedqError {
  return new SpeedqError(
    'network',
    `Could not fetch ${url}: ${what}. Check the address and the connection, then try again.`,
    { cause },
  );
}

export function wrongSize({ name, bytes }: Pick<ManifestFile, 'name' | 'bytes'>, got: number): SpeedqError {
  return new SpeedqError(
    'file-truncated',
    `${name} has the wrong size: expected ${bytes} bytes, got ${got}${got > bytes ? ' or more' : ''}. ` +
      'Reload to fetch it again; if that does not help, put an intact copy of the model on the server.',
  );
}
