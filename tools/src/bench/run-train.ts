import type { Partition } from '@speedq/onnx';
import type { CommandContext } from '../cli/command.ts';
import { benchTrain } from './train.ts';

export interface TrainBenchRun {
  readonly partition: Partition;
  readonly batch: number;
  readonly length: number;
  readonly answers: number;
  readonly repetitions: number;
  readonly threads: number;
}

/** `speedq bench train`. */
export async function runTrainBench(
  { partition, batch, length, answers, repetitions, threads }: TrainBenchRun,
  { output, progress }: Pick<CommandContext, 'output' | 'progress'>,
) {
  const task = progress.start('measuring');
  task.total = repetitions;
  const result = await benchTrain({
    ...{ partition, batch, length, answers, repetitions, threads },
    onRepetition: (done) => task.update(done),
  });
  task.finish('measured');
  const row = (what: string, milliseconds: number, gflops?: number) => [
    what,
    `${milliseconds.toFixed(1)} ms`,
    gflops === undefined ? '' : `${gflops.toFixed(1)} GFLOP/s`,
  ];
  output.table(
    [
      row('step', result.stepMilliseconds, result.stepGflops),
      row('  of it AdamW', result.optimizerMilliseconds),
      row('Gemm alone', result.gemmMilliseconds, result.gemmGflops),
    ],
    [1, 2],
  );
  output.print(`ratio ${result.ratio.toFixed(2)} (${threads} threads, partition ${partition})`);
  return { threads, partition, batch, length, answers, ...result };
}
