import { SpeedqError } from '@speedq/format';
import type { ErrorCode } from '@speedq/format';
import type { CommandContext } from '../cli/command.ts';
import type { ProgressTask } from '../progress.ts';
import { startWorker } from '../places.ts';
import type { QuantizeJob, WorkerMessage } from './job.ts';

type Done = Extract<WorkerMessage, { readonly type: 'done' }>;

/** Runs a job in its own thread and shows what it reports. Aborting the signal lets it save its work first. */
export async function runWorker(
  job: Omit<QuantizeJob, 'stop'>,
  { output, progress, signal }: Pick<CommandContext, 'output' | 'progress' | 'signal'>,
): Promise<Done> {
  const stop = new SharedArrayBuffer(4);
  const ask = (): void => void Atomics.store(new Int32Array(stop), 0, 1);
  if (signal.aborted) ask();
  signal.addEventListener('abort', ask);
  let task: ProgressTask | undefined;
  try {
    return await new Promise<Done>((resolve, reject) => {
      const worker = startWorker('quantize', { ...job, stop });
      worker.on('message', (message: WorkerMessage) => {
        switch (message.type) {
          case 'start':
            task = progress.start(message.label, message.total);
            break;
          case 'progress':
            task?.update(message.done, message.detail);
            break;
          case 'finish':
            task?.finish(message.detail);
            break;
          case 'note':
            output.note(message.text);
            break;
          case 'event':
            output.event(message.event, message.fields);
            break;
          case 'done':
            resolve(message);
            break;
          case 'failed':
            reject(revive(message));
            break;
        }
      });
      worker.on('error', (cause: Error) => {
        reject(new SpeedqError('worker-died', `The quantizing thread failed: ${cause.message}`, { cause }));
      });
      worker.on('exit', (code) => {
        // After 'done' or 'failed' this changes nothing.
        reject(
          new SpeedqError('worker-died', `The quantizing thread ended with code ${code}. Run it again.`),
        );
      });
    });
  } finally {
    signal.removeEventListener('abort', ask);
  }
}

function revive({ code, message, stack }: Extract<WorkerMessage, { readonly type: 'failed' }>): SpeedqError {
  const error = new SpeedqError(code as ErrorCode, message);
  if (stack !== undefined) error.stack = stack;
  return error;
}
