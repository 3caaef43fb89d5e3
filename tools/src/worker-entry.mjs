// First module of every worker thread: Node runs no TypeScript by itself, and a worker does not
// inherit the loader of the thread that started it.
import { workerData } from 'node:worker_threads';
import { register } from 'tsx/esm/api';

register();
await import(workerData.module);
