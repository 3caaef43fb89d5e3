import { Worker } from 'node:worker_threads';

/** Starts a worker thread on a TypeScript module, which finds `data` as `workerData.data`. */
export function startWorker(module: URL, data: unknown): Worker {
  return new Worker(new URL('./worker-entry.mjs', import.meta.url), {
    workerData: { module: module.href, data },
  });
}
