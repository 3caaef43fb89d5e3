import { parentPort, workerData } from 'node:worker_threads';
import { toSpeedqError } from '../cli/exit-codes.ts';
import type { QuantizeJob, WorkerMessage } from './job.ts';
import { runPipeline } from './pipeline.ts';
import { createReporter } from './reporter.ts';
import { recordHistory } from './report/history.ts';

// onnxruntime blocks the thread it runs on: here it blocks no progress display.
const job = (workerData as { data: QuantizeJob }).data;
const post = (message: WorkerMessage): void => parentPort!.postMessage(message);
try {
  const result = await runPipeline(job, recordHistory(createReporter(post, job.stop), job.work));
  post({ type: 'done', ...result });
} catch (thrown) {
  const { code, message } = toSpeedqError(thrown);
  post({ type: 'failed', code, message, stack: thrown instanceof Error ? thrown.stack : undefined });
}
