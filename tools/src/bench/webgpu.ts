import { INTERNVL3_1B, INTERNVL3_2B, benchDevice } from '@speedq/kernels/bench';
import type { BenchReport, BenchSubject, LinearCase } from '@speedq/kernels/bench';
import { requestNodeDevice } from '@speedq/kernels/node';
import { parseConfig } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { hasWebgpuProvider, timeMatMulNBits } from '@speedq/onnx';
import type { OrtModule } from '@speedq/onnx';
import * as onnxruntime from 'onnxruntime-node';
import type { CommandContext } from '../cli/command.ts';
import { picoConfig } from '../train/pico-config.ts';
import { printKernels, printRates, printSummary } from './print-report.ts';

const ort: OrtModule = onnxruntime;

/** About as many as the tokenizer of pico has; the kernels take any. */
const PICO_VOCABULARY = 1536;
const OTHER = 'onnxruntime';

export type BenchSize = 'pico' | '1b' | '2b';

export interface WebGPUBenchOptions {
  readonly subject: BenchSubject;
  readonly size: BenchSize;
  readonly bits: 2 | 4;
  readonly layers?: number;
  readonly context?: number;
  readonly compare: boolean;
}

/** `speedq bench kernels|decode|prefill`. */
export async function benchWebGPU(
  { subject, size, bits, layers, context, compare }: WebGPUBenchOptions,
  { output, progress, signal }: Pick<CommandContext, 'output' | 'progress' | 'signal'>,
): Promise<BenchReport & { readonly adapter: string; readonly size: BenchSize }> {
  const config = configOf(size);
  const { device, info, isSoftware } = await requestNodeDevice({ limits: 'adapter' });
  const adapter = info.description || `${info.vendor} ${info.architecture}`.trim();
  const other = compare && (await hasWebgpuProvider(ort)) ? compareWithOnnxruntime : undefined;
  if (compare && other === undefined) {
    output.note('onnxruntime-node finds no WebGPU adapter here: nothing is compared with it.');
  }
  const built = Math.min(layers ?? (isSoftware ? 1 : Infinity), config.language.numLayers);
  output.print(
    `${output.bold(`InternVL3 ${size}, ${bits} bits`)} on ${adapter}` +
      (isSoftware ? ', a software adapter: ratios mean something, times do not' : ''),
  );
  const task = progress.start('measuring');
  let done = 0;
  try {
    const report = await benchDevice(device, {
      ...{ subject, config, bits, isSoftware, context, compare: other, signal },
      layers: { vision: Math.min(built, config.vision.numLayers), language: built },
      onStep: (what) => task.update(done, what),
      onKernel: (kernel) => {
        output.event('kernel', { ...kernel });
        task.update(++done, `${kernel.phase}: ${kernel.what}`);
      },
    });
    task.finish('measured');
    printRates(report.rates, output);
    output.print(
      `${report.builtLayers.language} of ${report.layers.language} layers of the language model, ` +
        `${report.builtLayers.vision} of ${report.layers.vision} of the encoder`,
    );
    output.print();
    printKernels(report.kernels, OTHER, output);
    output.print();
    printSummary(report, OTHER, output);
    return { adapter, size, ...report };
  } finally {
    device.destroy();
  }
}

function configOf(size: BenchSize): InternVLConfig {
  if (size !== 'pico') return size === '1b' ? INTERNVL3_1B : INTERNVL3_2B;
  return parseConfig(
    picoConfig({ vocabulary: PICO_VOCABULARY, imageContext: 3, messageEnd: 2, endOfText: 1 }),
  );
}

function compareWithOnnxruntime({ scheme, ...shape }: LinearCase): Promise<number | undefined> {
  if (scheme.kind === 'float' || scheme.bits === 3) return Promise.resolve(undefined);
  const { bits, groupSize } = scheme;
  return timeMatMulNBits(ort, { ...shape, bits, blockSize: groupSize }, { executionProvider: 'webgpu' });
}
