import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

/**
 * Where the command finds its other parts in a checkout, which runs from the sources. places.published.ts says the
 * same of the published package: its build puts that file in the place of this one.
 */

/** The built chat app. */
export const appFolder = fileURLToPath(new URL('../../web/dist/', import.meta.url));

/** The command's own package.json. */
export const packageFile = new URL('../package.json', import.meta.url);

const WORKERS = {
  quantize: new URL('./quantize/worker.ts', import.meta.url),
  train: new URL('./train/worker.ts', import.meta.url),
} as const;

/** Starts a worker thread, which finds `data` as `workerData.data`. */
export function startWorker(name: keyof typeof WORKERS, data: unknown): Worker {
  return new Worker(new URL('./worker-entry.mjs', import.meta.url), {
    workerData: { module: WORKERS[name].href, data },
  });
}
