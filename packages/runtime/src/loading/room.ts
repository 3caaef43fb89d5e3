import { SpeedqError } from '@speedq/format';

/** What the browser says of this site's storage; undefined in a browser that says nothing. */
export type EstimateRoom = () => Promise<StorageEstimate | undefined>;

/** Beside the files: their names, the journal, the database of chats. */
const SLACK_BYTES = 1_000_000;

/**
 * Whether `bytes` more fit into this site's storage, asked before the first of them is fetched.
 * @throws {SpeedqError} `out-of-space`, with the numbers and what to do.
 */
export async function checkRoom(
  model: string,
  bytes: number,
  estimate: EstimateRoom = async () => await globalThis.navigator?.storage?.estimate?.(),
): Promise<void> {
  if (bytes === 0) return;
  const { quota, usage = 0 } = (await estimate().catch(() => undefined)) ?? {};
  if (quota === undefined) return;
  const free = Math.max(0, quota - usage);
  if (bytes + SLACK_BYTES <= free) return;
  throw new SpeedqError(
    'out-of-space',
    `${model} needs ${megabytes(bytes)} more of this site's storage, and ${megabytes(free)} of ` +
      `${megabytes(quota)} are free. Delete models or other data of this site, free space on the device, or open ` +
      "it without keeping it (storage: 'memory').",
    { details: { needed: bytes, free, quota } },
  );
}

/** Asks the browser not to evict this site's data when space runs low. In a window. */
export async function requestPersistence(): Promise<boolean> {
  try {
    const { storage } = navigator;
    return (await storage.persisted()) || (await storage.persist());
  } catch {
    return false;
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}
