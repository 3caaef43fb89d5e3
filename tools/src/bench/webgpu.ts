import { benchDevice } from '@speedq/kernels/bench';
import type { BenchReport, BenchSubject, LinearCase } from '@speedq/kernels/bench';
import { requestNodeDevice } from '@speedq/kernels/node';
import { hasWebgpuProvider, timeMatMulNBits } from '@speedq/onnx';
import type { OrtModule } from '@speedq/onnx';
import * as onnxruntime from 'onnxruntime-node';
import type { CommandContext } from '../cli/command.ts';
import { printKernels, printRates, printSummary, printVariants } from './print-report.ts';
import { configOf } from './shapes.ts';
import type { BenchSize } from './shapes.ts';

const ort: OrtModule = onnxruntime;

const OTHER = 'onnxruntime';

export interface WebGPUBenchOptions {
  readonly subject: BenchSubject;
  readonly size: BenchSize;
  readonly bits: 2 | 4;
  readonly layers?: number;
  readonly context?: number;
  readonly compare: boolean;
  /** Also variants that round activations. */
  readonly allowRounding?: boolean;
  /** No variants: the kernels that every device runs. */
  readonly plain?: boolean;
}

/** `speedq bench kernels|decode|prefill`. */
export async function benchWebGPU(
  { subject, size, bits, layers, context, compare, allowRounding, plain }: WebGPUBenchOptions,
  { output, progress, signal }: Pick<CommandContext, 'output' | 'progress' | 'signal'>,
): Promise<BenchReport & { readonly adapter: string; readonly size: BenchSize }> {
  const config = configOf(size);
  const { device, info, isSoftware, languageFeatures } = await requestNodeDevice({
    limits: 'adapter',
    features: 'optional',
  });
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
      tuning:
        plain || isSoftware
          ? undefined
          : {
              languageFeatures,
              allowRounding,
              signal,
              onTrial: (trial) => output.event('trial', { ...trial }),
            },
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
    printVariants(report.variants, output);
    output.print();
    printSummary(report, OTHER, output);
    return { adapter, size, ...report };
  } finally {
    device.destroy();
  }
}

function compareWithOnnxruntime({ scheme, ...shape }: LinearCase): Promise<number | undefined> {
  if (scheme.kind === 'float' || scheme.bits === 3) return Promise.resolve(undefined);
  const { bits, groupSize } = scheme;
  return timeMatMulNBits(ort, { ...shape, bits, blockSize: groupSize }, { executionProvider: 'webgpu' });
}
