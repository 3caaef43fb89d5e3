import type { ExecutionProvider, OrtModule, Partition } from '@speedq/onnx';
import * as onnxruntime from 'onnxruntime-node';
import type { CommandContext } from '../cli/command.ts';
import { openDevice } from '../quantize/device.ts';
import { configOf } from './shapes.ts';
import type { BenchSize } from './shapes.ts';
import { benchTrain } from './train.ts';

const ort: OrtModule = onnxruntime;

export interface TrainBenchRun {
  readonly size: BenchSize;
  readonly device: ExecutionProvider;
  /** Layers of the language model; all by default. */
  readonly layers?: number;
  readonly partition: Partition;
  readonly batch: number;
  readonly length: number;
  readonly answers: number;
  readonly repetitions: number;
  readonly threads: number;
}

/** `speedq bench train`. */
export async function runTrainBench(
  { size, layers, device: provider, ...options }: TrainBenchRun,
  { output, progress }: Pick<CommandContext, 'output' | 'progress'>,
) {
  const whole = configOf(size);
  const numLayers = Math.min(layers ?? Infinity, whole.language.numLayers);
  const config = { ...whole, language: { ...whole.language, numLayers } };
  const device = await openDevice(ort, provider);
  const task = progress.start('measuring');
  task.total = options.repetitions;
  const result = await benchTrain(ort, device, {
    ...options,
    config,
    onRepetition: (done) => task.update(done),
  });
  await device.release();
  task.finish('measured');
  const row = (what: string, milliseconds: number, gflops?: number) => [
    what,
    `${milliseconds.toFixed(1)} ms`,
    gflops === undefined ? '' : `${gflops.toFixed(1)} GFLOP/s`,
  ];
  output.table(
    [
      row('step', result.stepMilliseconds, result.stepGflops),
      row("  of it the teacher's forward pass", result.teacherMilliseconds),
      row('  of it AdamW', result.optimizerMilliseconds),
      row('its Gemm alone', result.gemmMilliseconds, result.gemmGflops),
      ['square Gemm', '', `${result.squareGflops.toFixed(1)} GFLOP/s`],
    ],
    [1, 2],
  );
  const { threads, partition, length } = options;
  const share = (result.stepGflops / Math.max(result.gemmGflops, result.squareGflops)) * 100;
  output.print(
    `${result.tokensPerSecond.toFixed(1)} tokens/s; ${share.toFixed(1)} % of the faster Gemm's rate; ratio ` +
      `${result.ratio.toFixed(2)} to its own Gemm (${size}, ${numLayers} layers, ${provider}, ${threads} threads, ` +
      `partition ${partition}, ${result.tokens / length} × ${length} tokens, teacher in ${result.teacherStorage})`,
  );
  return { size, device: provider, layers: numLayers, ...options, ...result };
}
