import { SpeedqError } from '@speedq/format';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { InferenceSession, Tensor } from 'onnxruntime-web';
import { argmax } from '../eval/engine.ts';
import { openWasmEngine } from '../eval/wasm-engine.ts';
import { GRAPHS } from '../export/graphs.ts';
import { writeOnnxFolder } from '../export/onnx-folder.ts';
import { withModelFolder } from '../model-folder.ts';
import type { PackedModelFolder } from '../model-folder.ts';

export interface WasmBenchOptions {
  readonly prompt: number;
  readonly tokens: number;
  readonly repetitions: number;
  readonly onRepetition?: (done: number) => void;
}

export interface WasmBenchRow {
  readonly engine: string;
  readonly decodeTokensPerSecond: number;
  readonly prefillTokensPerSecond: number;
  /** A picture of one tile; undefined where it is not measured. */
  readonly tileMilliseconds: number;
}

/** One engine: a picture tile, a prompt, and greedy tokens after it, each in milliseconds. */
interface Contender {
  readonly engine: string;
  run(ids: Uint32Array, tokens: number): Promise<{ tile: number; prefill: number; decode: number }>;
}

/**
 * The engine for browsers without WebGPU beside onnxruntime-web on the same weights (MatMulNBits: codes as stored, and
 * in 4-bit fields with 8-bit activations, its fast path), one thread each, in turn, so that other load hits all of
 * them; medians.
 */
export async function benchWasm(path: string, options: WasmBenchOptions): Promise<WasmBenchRow[]> {
  const { prompt, tokens, repetitions, onRepetition } = options;
  return withModelFolder(path, async (folder) => {
    if (folder.kind !== 'packed') {
      throw new SpeedqError('not-a-model', `${path} is not packed: bench wasm compares packed weights.`);
    }
    const contenders = [
      await ownEngine(folder, prompt + tokens),
      await onnxruntimeWeb(folder, false),
      await onnxruntimeWeb(folder, true),
    ];
    const ids = Uint32Array.from({ length: prompt }, (_, i) => (i * 37) % 1000);
    const times = contenders.map(() => ({
      tile: [] as number[],
      prefill: [] as number[],
      decode: [] as number[],
    }));
    for (let repetition = 0; repetition <= repetitions; repetition++) {
      for (const [i, contender] of contenders.entries()) {
        const measured = await contender.run(ids, tokens);
        // The first time, engines and the compiler warm up.
        if (repetition === 0) continue;
        for (const key of ['tile', 'prefill', 'decode'] as const) times[i][key].push(measured[key]);
      }
      onRepetition?.(repetition);
    }
    return contenders.map(({ engine }, i) => ({
      engine,
      decodeTokensPerSecond: (tokens / median(times[i].decode)) * 1000,
      prefillTokensPerSecond: (prompt / median(times[i].prefill)) * 1000,
      tileMilliseconds: median(times[i].tile),
    }));
  });
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const start = performance.now();
  const result = await work();
  return [result, performance.now() - start];
}

function tilePixels({ config }: PackedModelFolder): Float32Array {
  return Float32Array.from({ length: 3 * config.vision.imageSize ** 2 }, (_, i) => Math.sin(i));
}

async function ownEngine(folder: PackedModelFolder, maxContext: number): Promise<Contender> {
  const model = await openWasmEngine(folder, { maxContext });
  const pixels = tilePixels(folder);
  return {
    engine: 'speedq',
    async run(ids, tokens) {
      model.truncate(0);
      const [, tile] = await timed(() => model.encodeImages(pixels, 1));
      const [, prefill] = await timed(() => model.prefill(ids, []));
      const [, decode] = await timed(() => model.decode(tokens));
      return { tile, prefill, decode };
    },
  };
}

/** The export for transformers.js, driven as transformers.js drives it. */
async function onnxruntimeWeb(folder: PackedModelFolder, fast: boolean): Promise<Contender> {
  const ort = await import('onnxruntime-web');
  ort.env.wasm.numThreads = 1;
  const out = await mkdtemp(join(tmpdir(), 'speedq-bench-'));
  const suffix = fast ? '_q4' : '_q2';
  const sessions: InferenceSession[] = [];
  try {
    await writeOnnxFolder({ folder, out, fast, force: true, signal: new AbortController().signal });
    for (const graph of GRAPHS) {
      const base = join(out, 'onnx', `${graph}${suffix}.onnx`);
      const data = new Uint8Array(await readFile(`${base}_data`));
      sessions.push(
        await ort.InferenceSession.create(new Uint8Array(await readFile(base)), {
          executionProviders: ['wasm'],
          externalData: [{ path: `${graph}${suffix}.onnx_data`, data }],
          logSeverityLevel: 3,
        }),
      );
    }
  } finally {
    await rm(out, { recursive: true, force: true });
  }
  const [embed, vision, decoder] = sessions;
  const { numLayers, numKeyValueHeads, headDim, vocabSize } = folder.config.language;
  const { imageSize } = folder.config.vision;
  const pixels = tilePixels(folder);
  const integers = (values: number[]): Tensor =>
    new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);

  async function step(
    ids: ArrayLike<number>,
    total: number,
    past: Record<string, Tensor>,
  ): Promise<{ next: number; past: Record<string, Tensor> }> {
    const { inputs_embeds } = await embed.run({ input_ids: integers(Array.from(ids)) });
    const results = await decoder.run({
      ...past,
      inputs_embeds,
      attention_mask: integers(new Array<number>(total).fill(1)),
      position_ids: integers(Array.from(ids, (_, i) => total - ids.length + i)),
    });
    const logits = results.logits.data as Float32Array;
    const present = Object.entries(results).filter(([name]) => name.startsWith('present.'));
    return {
      next: argmax(logits, logits.length - vocabSize),
      past: Object.fromEntries(
        present.map(([name, value]) => [name.replace('present', 'past_key_values'), value]),
      ),
    };
  }

  return {
    engine: `onnxruntime-web, ${fast ? '4-bit fields, 8-bit activations' : 'codes as stored'}`,
    async run(ids, tokens) {
      const [, tile] = await timed(() =>
        vision.run({ pixel_values: new ort.Tensor('float32', pixels, [1, 3, imageSize, imageSize]) }),
      );
      const empty: Record<string, Tensor> = {};
      for (let layer = 0; layer < numLayers; layer++) {
        for (const part of ['key', 'value']) {
          const shape = [1, numKeyValueHeads, 0, headDim];
          empty[`past_key_values.${layer}.${part}`] = new ort.Tensor('float32', new Float32Array(0), shape);
        }
      }
      const [first, prefill] = await timed(() => step(ids, ids.length, empty));
      let state = first;
      const [, decode] = await timed(async () => {
        for (let i = 0; i < tokens; i++) state = await step([state.next], ids.length + i + 1, state.past);
      });
      return { tile, prefill, decode };
    },
  };
}
