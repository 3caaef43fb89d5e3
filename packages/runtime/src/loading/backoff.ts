/** How a download behaves when a connection breaks or a server is busy. */
export interface RetryOptions {
  /** Tries in a row that bring nothing new before giving up. */
  readonly attempts?: number;
  /** Length of the first pause at most; each further one may be twice as long. */
  readonly baseMilliseconds?: number;
  /** A connection that brings nothing for this long counts as broken. */
  readonly stallMilliseconds?: number;
  readonly random?: () => number;
}

export const DEFAULT_RETRY: Required<RetryOptions> = {
  attempts: 8,
  baseMilliseconds: 500,
  stallMilliseconds: 30_000,
  random: Math.random,
};

const LONGEST_PAUSE = 30_000;
/** A server that asks for more patience than this is not waited for. */
export const LONGEST_RETRY_AFTER = 120_000;

/**
 * The pause after so many failures in a row, 0 after one that brought something. Full jitter: when a server comes back, its visitors do not
 * all come back at once. What the server asks for is the least it gets.
 */
export function pauseAfter(
  failures: number,
  retryAfter: number | undefined,
  { baseMilliseconds, random }: Required<RetryOptions>,
): number {
  const longest = Math.min(LONGEST_PAUSE, baseMilliseconds * 2 ** Math.max(0, failures - 1));
  return Math.max(random() * longest, retryAfter ?? 0);
}

/** Milliseconds of a Retry-After header, which gives seconds or a date (RFC 9110, 10.2.3). */
export function parseRetryAfter(value: string | null, now = Date.now()): number | undefined {
  if (value === null) return undefined;
  const milliseconds = /^\s*\d+\s*$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isNaN(milliseconds) ? undefined : Math.max(0, milliseconds);
}

/** Waits, but no longer than until the browser is online again. @throws the signal's reason. */
export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  let stop!: () => void;
  try {
    await new Promise<void>((resolve, reject) => {
      const go = (): void => resolve();
      const abort = (): void => reject(signal?.reason as Error);
      const timer = setTimeout(go, milliseconds);
      signal?.addEventListener('abort', abort, { once: true });
      globalThis.addEventListener?.('online', go, { once: true });
      stop = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        globalThis.removeEventListener?.('online', go);
      };
    });
  } finally {
    stop();
  }
}
