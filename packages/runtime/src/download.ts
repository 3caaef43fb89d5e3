import { SpeedqError } from '@speedq/format';

export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

/**
 * Fetches one file whose size is known and reports each chunk's bytes. Memory: the file, once.
 * @throws {SpeedqError} `network`, `file-truncated`, or the signal's reason.
 */
export async function downloadFile(
  url: string,
  { name, bytes }: { readonly name: string; readonly bytes: number },
  { fetch, signal, onBytes }: { fetch: Fetch; signal?: AbortSignal; onBytes: (count: number) => void },
): Promise<Uint8Array<ArrayBuffer>> {
  const response = await request(url, fetch, { signal });
  const announced = Number(response.headers.get('content-length') ?? NaN);
  // A compressed answer's length says nothing about the file's.
  if (!response.headers.has('content-encoding') && announced >= 0 && announced !== bytes) {
    await response.body?.cancel();
    throw wrongSize(name, bytes, announced);
  }
  const reader = response.body?.getReader();
  if (!reader) throw wrongSize(name, bytes, 0);
  const data = new Uint8Array(bytes);
  let length = 0;
  for (;;) {
    const { done, value } = await readChunk(reader, url, signal);
    if (done) break;
    if (length + value.length > bytes) {
      await reader.cancel();
      throw wrongSize(name, bytes, length + value.length);
    }
    data.set(value, length);
    length += value.length;
    onBytes(value.length);
  }
  if (length !== bytes) throw wrongSize(name, bytes, length);
  return data;
}

/** @throws {SpeedqError} `network` when there is no answer or one that is no success. */
export async function request(url: string, fetch: Fetch, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (cause) {
    init.signal?.throwIfAborted();
    throw networkError(url, 'there was no answer', cause);
  }
  if (!response.ok) {
    throw networkError(url, `the server answered ${response.status} ${response.statusText}`.trimEnd());
  }
  return response;
}

async function readChunk(
  reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
  url: string,
  signal: AbortSignal | undefined,
): Promise<ReadableStreamReadResult<Uint8Array<ArrayBuffer>>> {
  try {
    return await reader.read();
  } catch (cause) {
    signal?.throwIfAborted();
    throw networkError(url, 'the connection broke', cause);
  }
}

function networkError(url: string, what: string, cause?: unknown): SpeedqError {
  return new SpeedqError(
    'network',
    `Could not fetch ${url}: ${what}. Check the address and the connection, then try again.`,
    { cause },
  );
}

function wrongSize(name: string, expected: number, got: number): SpeedqError {
  return new SpeedqError(
    'file-truncated',
    `${name} has the wrong size: expected ${expected} bytes, got ${got}${got > expected ? ' or more' : ''}. ` +
      'Reload to fetch it again; if that does not help, put an intact copy of the model on the server.',
  );
}
