import { availableParallelism } from 'node:os';
import { benchTrain } from '../bench/train.ts';
import { benchWasm } from '../bench/wasm.ts';
import { defineCommand } from '../cli/command.ts';
import type { Output } from '../output.ts';
import type { Progress } from '../progress.ts';

export const bench = defineCommand({
  args: {
    what: {
      choices: ['train', 'wasm'],
      description:
        'train: a quantization-aware step beside the raw matrix products; wasm: the engine without WebGPU beside onnxruntime-web',
    },
  },
  options: {
    partition: {
      type: 'string',
      choices: ['whole', 'block'],
      default: 'whole',
      description: 'one graph, or one per decoder layer',
    },
    batch: { type: 'integer', min: 1, default: 16, description: 'pictures in a step, a sequence each' },
    length: { type: 'integer', min: 64, default: 152, description: 'tokens of a sequence' },
    answers: { type: 'integer', min: 1, default: 30, description: 'supervised tokens of a sequence' },
    repetitions: { type: 'integer', min: 1, default: 7, description: 'measurements; the median counts' },
    threads: { type: 'integer', min: 1, description: 'threads of train (default: all cores)' },
    model: {
      type: 'string',
      hint: 'PACKED',
      description: 'what wasm runs (default: web/public/models/pico-2bit)',
    },
  },
  examples: [
    { does: 'Training speed on all cores', line: 'bench train' },
    {
      does: 'One graph per decoder layer, on two threads',
      line: 'bench train --partition block --threads 2',
    },
    { does: 'Decoding without WebGPU beside onnxruntime-web', line: 'bench wasm' },
  ],
  details:
    'Prints the GFLOP/s of a step at the shapes of the embedded model (6·N·T: matrix products, forward and ' +
    'backward) and of onnxruntime alone on the same products, measured in turn.',
  async run({ args, options, output, progress }) {
    if (args.what === 'wasm') return runWasm(options, output, progress);
    const { partition, batch, length, answers, repetitions } = options;
    const threads = options.threads ?? availableParallelism();
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
    return { what: args.what, threads, partition, batch, length, answers, ...result };
  },
});

const WASM_PROMPT = 64;
const WASM_TOKENS = 48;

async function runWasm(
  {
    model = 'web/public/models/pico-2bit',
    repetitions,
  }: { readonly model?: string; readonly repetitions: number },
  output: Output,
  progress: Progress,
) {
  const task = progress.start('measuring');
  task.total = repetitions;
  const rows = await benchWasm(model, {
    prompt: WASM_PROMPT,
    tokens: WASM_TOKENS,
    repetitions,
    onRepetition: (done) => task.update(done),
  });
  task.finish('measured');
  output.table(
    rows.map(({ engine, decodeTokensPerSecond, prefillTokensPerSecond, tileMilliseconds }) => [
      engine,
      `${decodeTokensPerSecond.toFixed(1)} tokens/s`,
      `prompt ${prefillTokensPerSecond.toFixed(0)} tokens/s`,
      `tile ${tileMilliseconds.toFixed(1)} ms`,
    ]),
    [1, 2, 3],
  );
  const [own, ...others] = rows;
  const best = Math.max(...others.map(({ decodeTokensPerSecond }) => decodeTokensPerSecond));
  const ratio = own.decodeTokensPerSecond / best;
  output.print(
    `ratio ${ratio.toFixed(2)} of decoding (one thread, prompt ${WASM_PROMPT}, ${WASM_TOKENS} tokens)`,
  );
  return { what: 'wasm', model, rows, ratio };
}
