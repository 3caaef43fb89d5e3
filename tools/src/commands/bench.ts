import { availableParallelism } from 'node:os';
import { runTrainBench } from '../bench/run-train.ts';
import { SIZES } from '../bench/shapes.ts';
import { benchWasm } from '../bench/wasm.ts';
import { defineCommand } from '../cli/command.ts';
import type { Output } from '../output.ts';
import type { Progress } from '../progress.ts';
import { DEVICES } from '../quantize/device.ts';

const SUBJECTS = ['kernels', 'decode', 'prefill'] as const;

export const bench = defineCommand({
  args: {
    what: {
      choices: [...SUBJECTS, 'train', 'wasm'],
      description:
        'kernels, decode or prefill: the runtime on WebGPU; train: a quantization-aware step beside the raw matrix products; wasm: the engine without WebGPU beside onnxruntime-web',
    },
  },
  options: {
    size: {
      type: 'string',
      choices: SIZES,
      description: 'shapes of random weights (default: 1b; pico for train)',
    },
    device: {
      type: 'string',
      choices: DEVICES,
      default: 'cpu',
      description: 'train: what runs it; cuda where onnxruntime-node has it',
    },
    bits: { type: 'string', choices: ['2', '4'], default: '2', description: 'of the linears' },
    layers: {
      type: 'integer',
      min: 1,
      description: 'build so many (default: all; for the runtime 1 on a software adapter)',
    },
    context: { type: 'integer', min: 16, description: 'tokens in the cache while decoding' },
    plain: { type: 'boolean', description: 'leave out the search for the fastest variants of the kernels' },
    'allow-rounding': {
      type: 'boolean',
      description: 'let the search take variants that round activations to fp16 or 8 bits',
    },
    alone: { type: 'boolean', description: 'leave onnxruntime out' },
    partition: {
      type: 'string',
      choices: ['whole', 'block'],
      default: 'whole',
      description: 'train: one graph, or one per decoder layer',
    },
    batch: {
      type: 'integer',
      min: 1,
      default: 16,
      description: 'train: pictures in a step, a sequence each',
    },
    length: { type: 'integer', min: 64, default: 152, description: 'train: tokens of a sequence' },
    answers: { type: 'integer', min: 1, default: 30, description: 'train: supervised tokens of a sequence' },
    repetitions: {
      type: 'integer',
      min: 1,
      default: 7,
      description: 'train, wasm: measurements; the median counts',
    },
    threads: { type: 'integer', min: 1, description: 'train: threads (default: all cores)' },
    model: {
      type: 'string',
      hint: 'PACKED',
      description: 'what wasm runs (default: web/public/models/pico-2bit)',
    },
  },
  examples: [
    { does: 'What a token costs on WebGPU, beside onnxruntime', line: 'bench decode --size pico' },
    {
      does: 'A training step of InternVL3-1B on a graphics card',
      line: 'bench train --device webgpu --size 1b --partition block --batch 1 --length 512 --answers 128',
    },
    { does: 'Decoding without WebGPU beside onnxruntime-web', line: 'bench wasm' },
  ],
  details:
    'The runtime: per kernel and end to end the time, bytes moved and operations beside what the device was\n' +
    'measured to copy and to multiply, and the same products by MatMulNBits of onnxruntime on WebGPU.\n' +
    "train: a step of stage 3 with its teacher's forward pass, GFLOP/s of its matrix products, and onnxruntime's\n" +
    'alone on the same products, measured in turn, and on square ones.',
  async run({ args, options, output, progress, signal }) {
    if (args.what === 'train') {
      const threads = options.threads ?? availableParallelism();
      const { size = 'pico', device, layers, partition, batch, length, answers, repetitions } = options;
      const run = { size, device, layers, partition, batch, length, answers, repetitions, threads };
      return { what: args.what, ...(await runTrainBench(run, { output, progress })) };
    }
    if (args.what === 'wasm') return runWasm(options, output, progress);
    const subject = SUBJECTS.find((one) => one === args.what)!;
    // Dawn is loaded only where it is wanted.
    const { benchWebGPU } = await import('../bench/webgpu.ts');
    const { size = '1b', layers, context, alone, plain } = options;
    const bits = options.bits === '2' ? 2 : 4;
    const report = await benchWebGPU(
      {
        ...{ subject, size, bits, layers, context, plain, compare: !alone },
        allowRounding: options['allow-rounding'],
      },
      { output, progress, signal },
    );
    return { what: args.what, ...report };
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
