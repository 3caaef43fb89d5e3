import modelWorkerAddress from './model-worker.ts?worker&url';
import type { Problem } from '../chat/types.ts';
import type { ModelJob, ModelReply, ModelReport } from './model-report.ts';
import { scriptUrl } from '../trusted-scripts.ts';

/** A SpeedqError of the worker, with its code. */
export class ModelJobError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.message);
    this.name = 'ModelJobError';
    this.problem = problem;
  }
}

/** Runs one job in a worker of its own. @throws {ModelJobError} */
export async function runModelJob(
  job: ModelJob,
  onProgress?: (fraction: number) => void,
): Promise<ModelReport> {
  const worker = new Worker(scriptUrl(modelWorkerAddress), { type: 'module', name: 'speedq models' });
  try {
    return await new Promise<ModelReport>((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<ModelReply>) => {
        if ('progress' in data) onProgress?.(data.progress);
        else if ('report' in data) resolve(data.report);
        else reject(new ModelJobError(data.problem));
      };
      worker.onerror = ({ message }) => reject(new ModelJobError({ code: 'worker-died', message }));
      worker.postMessage(job);
    });
  } finally {
    worker.terminate();
  }
}

export function absoluteAddress(address: string): string {
  return new URL(address, document.baseURI).href;
}
