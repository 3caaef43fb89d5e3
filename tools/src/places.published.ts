import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

/** places.ts for the published package: everything lies beside the command. */

export const appFolder = fileURLToPath(new URL('./app/', import.meta.url));

export const packageFile = new URL('./package.json', import.meta.url);

export function startWorker(name: 'quantize' | 'train', data: unknown): Worker {
  return new Worker(new URL(`./${name}-worker.js`, import.meta.url), { workerData: { data } });
}
