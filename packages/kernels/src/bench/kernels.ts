import type { Scheme } from '@speedq/format';
import type { InternVLConfig } from '@speedq/model';
import { Allocator } from '../engine/allocator.ts';
import { withErrorScopes } from '../engine/errors.ts';
import { assignSlots } from '../engine/liveness.ts';
import { PipelineCache } from '../engine/pipelines.ts';
import { Plan } from '../engine/plan.ts';
import { rowCount } from '../engine/recorder.ts';
import type { VariantChoice } from '../engine/variants.ts';
import { KeyValueCache } from '../model/kv-cache.ts';
import { WeightStore } from '../weights/store.ts';
import type { DeviceRates } from './device-rates.ts';
import { KEY_VALUE_FORMAT } from './end-to-end.ts';
import type { Phase } from './layers.ts';
import { recordPhase, schemesOf } from './layers.ts';
import { randomWeights } from './random-weights.ts';
import { timeRuns } from './timing.ts';

/** A linear as another runtime may compute it: x [rows, inputs] times a packed weight [out, inputs]. */
export interface LinearCase {
  readonly scheme: Scheme;
  readonly rows: number;
  readonly inputs: number;
  readonly out: number;
}

export interface KernelBenchOptions {
  /** All its layers are built. Runs go from one to the next, so that caches hold no weights. */
  readonly config: InternVLConfig;
  readonly bits: 2 | 4;
  readonly phases: readonly Phase[];
  readonly rates: DeviceRates;
  /** Default: the plain ones. */
  readonly variants?: VariantChoice;
  /** Tokens in the cache while decoding; tokens of a chunk; tiles of a picture. */
  readonly context: number;
  readonly chunk: number;
  readonly tiles: number;
  /** Seconds that another runtime takes for the same product; undefined where it cannot. */
  readonly compare?: (linear: LinearCase) => Promise<number | undefined>;
  readonly onKernel?: (result: KernelResult) => void;
  readonly signal?: AbortSignal;
}

export interface KernelResult {
  readonly phase: Phase;
  readonly program: string;
  readonly what: string;
  /** Run in every layer; else once a token, chunk or picture. */
  readonly perLayer: boolean;
  /** A product with a weight that is not stored as floats. */
  readonly isPackedLinear: boolean;
  /** Of one run. */
  readonly seconds: number;
  readonly bytes: number;
  readonly operations: number;
  /** Of what the device was measured to do at most. */
  readonly bandwidthShare: number;
  readonly rateShare: number;
  /** The other runtime's time for the same product. */
  readonly otherSeconds?: number;
}

/** Times every kernel of a token, a chunk of the prompt and a picture by itself, on random weights. */
export async function benchKernels(device: GPUDevice, options: KernelBenchOptions): Promise<KernelResult[]> {
  const { config, bits, rates, variants, context, chunk, tiles, compare, onKernel, signal } = options;
  const allocator = new Allocator(device);
  const compared = new Map<string, Promise<number | undefined>>();
  const results: KernelResult[] = [];
  try {
    const weights = await WeightStore.load(allocator, randomWeights(config, schemesOf(bits)));
    const cache = new KeyValueCache(allocator, config, {
      maxContext: context + chunk,
      format: KEY_VALUE_FORMAT,
    });
    await cache.grow(context + chunk, 0);
    for (const phase of options.phases) {
      const run =
        phase === 'decode'
          ? { count: 1, past: context }
          : { count: phase === 'prefill' ? chunk : tiles, past: 0 };
      const maxCount = run.count;
      const { recorder, kernels } = recordPhase(phase, {
        ...{ allocator, config, weights, cache, maxCount, variants },
      });
      const { sizes, slots } = assignSlots([recorder]);
      const activations = sizes.map((bytes, slot) => allocator.storage(`activations ${slot}`, bytes));
      const plan = await withErrorScopes(device, 'the benchmark', () =>
        Plan.prepare(device, new PipelineCache(device), recorder, (value) => activations[slots.get(value)!]),
      );
      for (const kernel of kernels) {
        signal?.throwIfAborted();
        device.queue.writeBuffer(recorder.params, 0, new Uint32Array([run.count, run.past, 0, 0]));
        const { seconds } = await timeRuns(device, (pass, i) => {
          const step = kernel.dispatches[i % kernel.dispatches.length];
          plan.encode(pass, run.count, step, step + 1);
        });
        const { linear } = kernel;
        const same = linear && { ...linear, rows: rowCount(linear.rows, run.count) };
        const key = JSON.stringify(same);
        if (same !== undefined && compare !== undefined && !compared.has(key)) {
          compared.set(key, compare(same));
        }
        const { bytes, operations } = kernel.of(run);
        const result: KernelResult = {
          ...{ phase, program: kernel.label, what: kernel.what, perLayer: kernel.perLayer, seconds },
          isPackedLinear: linear !== undefined && linear.scheme.kind !== 'float',
          ...{ bytes, operations, otherSeconds: await compared.get(key) },
          bandwidthShare: bytes / seconds / rates.bytesPerSecond,
          rateShare: operations / seconds / rates.operationsPerSecond,
        };
        results.push(result);
        onKernel?.(result);
      }
      for (const buffer of activations) allocator.free(buffer);
    }
    return results;
  } finally {
    allocator.destroy();
  }
}
