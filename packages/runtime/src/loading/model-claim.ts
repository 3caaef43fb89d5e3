import type { LoadProgress } from './model-files.ts';

/** What a tab that downloads tells those that wait for it. */
type Announcement = Pick<LoadProgress, 'loaded' | 'total'>;

export interface ModelClaim {
  /** Tells waiting tabs how far it is. */
  announce(progress: LoadProgress): void;
  release(): void;
}

export interface ClaimOptions {
  /** To read what is kept, many may be there at once; who downloads or deletes is alone. */
  readonly mode: LockMode;
  readonly signal?: AbortSignal;
  /** While waiting: the progress of whoever downloads. */
  readonly onWaiting?: (progress: Announcement) => void;
}

/**
 * The right to a model's files on this device, across tabs and workers. The browser gives it on when a tab is
 * closed, whatever it was doing: the next one takes up its download. Without Web Locks everybody has it.
 */
export async function claimModel(
  url: string,
  { mode, signal, onWaiting }: ClaimOptions,
): Promise<ModelClaim> {
  const locks = globalThis.navigator?.locks as LockManager | undefined;
  const name = `speedq-model ${url}`;
  const channel = locks && 'BroadcastChannel' in globalThis ? new BroadcastChannel(name) : undefined;
  if (channel) channel.onmessage = ({ data }: MessageEvent<Announcement>) => onWaiting?.(data);
  let release: () => void = () => {};
  let isReleased = false;
  try {
    if (locks) {
      await new Promise<void>((resolve, reject) => {
        locks
          .request(name, { mode, signal }, () => {
            resolve();
            return new Promise<void>((end) => (release = end));
          })
          .catch(reject);
      });
    }
  } catch (error) {
    channel?.close();
    throw error;
  }
  if (channel) channel.onmessage = null;
  return {
    announce: ({ loaded, total }) => {
      if (!isReleased) channel?.postMessage({ loaded, total } satisfies Announcement);
    },
    release() {
      isReleased = true;
      channel?.close();
      release();
    },
  };
}
