/** One engine's part of one-b.ts, in a process of its own: `answer.ts webgpu|cpu PACKED OUT.json`. */
import { createWebGPUModel } from '@speedq/kernels';
import type { MemoryUse } from '@speedq/kernels';
import { requestNodeDevice } from '@speedq/kernels/node';
import { instrument } from '@speedq/kernels/testing';
import { parseConfig } from '@speedq/model';
import { OnnxModel } from '@speedq/onnx';
import { openTokenizer, preprocessImage } from '@speedq/processor';
import { decodeImage } from '@speedq/processor/node';
import { createCodec, packedWeights } from '@speedq/runtime';
import type { ModelFiles } from '@speedq/runtime';
import { openModelFolder } from '@speedq/runtime/node';
import { readFile, writeFile } from 'node:fs/promises';
import * as onnxruntime from 'onnxruntime-node';
import { requirePacked, withModelFolder } from 'speedq';

const QUESTION = 'What is this?';
const PICTURE = 'web/public/samples/farm.png';
const NEW_TOKENS = 4;
const MAX_CONTEXT = 4096;

export interface Answer {
  /** After the prompt, [vocabulary]. */
  readonly logits: readonly number[];
  readonly tokens: readonly number[];
}

export interface WebGPUAnswer extends Answer {
  readonly description: string;
  readonly isSoftware: boolean;
  readonly promptTokens: number;
  readonly tiles: number;
  readonly seconds: Readonly<Record<'loading' | 'picture' | 'prefill' | 'decoding', number>>;
  /** Of all shards, and of the largest. */
  readonly packedBytes: number;
  readonly largestShard: number;
  /** As the model counts it, and as its device was asked for it: now, at most, and for one binding. */
  readonly memory: MemoryUse;
  readonly liveBytes: number;
  readonly peakBytes: number;
  readonly largestBinding: number;
  /** Bytes of array buffers with a shard just read, over those before loading; earlier shards alive then. */
  readonly heapWithShard: number;
  readonly shardsAlive: number;
}

const [engine, packed, out] = process.argv.slice(2);
const answer = engine === 'cpu' ? await answerOnCpu() : await answerOnWebGPU();
await writeFile(out, JSON.stringify(answer));
process.exit(0);

async function prepare(files: ModelFiles) {
  const text = async (name: string) => new TextDecoder().decode(await files.read(name));
  const tokenizer = openTokenizer({ 'tokenizer.json': await text('tokenizer.json') });
  const config = parseConfig(JSON.parse(await text('config.json')) as unknown);
  const { tiling, normalization } = files.manifest;
  const { tiles, pixelValues } = preprocessImage(await decodeImage(await readFile(PICTURE)), {
    ...tiling,
    ...normalization,
  });
  const parts = [
    { type: 'image', picture: { tiles, pixels: pixelValues } },
    { type: 'text', text: QUESTION },
  ] as const;
  const { ids } = createCodec(files.manifest, tokenizer).encode([{ role: 'user', parts }], true);
  return { config, ids: Uint32Array.from(ids), pixels: pixelValues, tiles };
}

async function answerOnWebGPU(): Promise<WebGPUAnswer> {
  const files = await openModelFolder(packed);
  const { config, ids, pixels, tiles } = await prepare(files);
  const { device, info, isSoftware } = await requestNodeDevice();
  const { counts } = instrument(device);
  const heap = watchHeap(files);
  const clock = stopwatch();
  const options = { maxContext: MAX_CONTEXT };
  const model = await createWebGPUModel(device, config, packedWeights(heap.files), options);
  const loading = clock();
  const { heapWithShard, shardsAlive, largestShard, packedBytes } = heap;
  const features = await model.encodeImages(pixels, tiles);
  const picture = clock();
  const first = await model.prefill(ids, [features]);
  const logits = Array.from(await model.readLogits());
  const prefill = clock();
  const tokens = [first, ...(await model.decode(NEW_TOKENS - 1))];
  const decoding = clock();
  return {
    ...{ logits, tokens, isSoftware, tiles, packedBytes, largestShard, heapWithShard, shardsAlive },
    description: info.description || info.architecture,
    promptTokens: ids.length,
    seconds: { loading, picture, prefill, decoding },
    memory: model.memory,
    liveBytes: counts.liveBytes,
    peakBytes: counts.peakBytes,
    largestBinding: counts.largestBinding,
  };
}

async function answerOnCpu(): Promise<Answer> {
  const { config, ids, pixels, tiles } = await prepare(await openModelFolder(packed));
  const parameters = await withModelFolder(packed, async (folder) => {
    const { tensors } = requirePacked(folder);
    const values = new Map<string, Float32Array>();
    for (const { name } of tensors.parameters) values.set(name, await tensors.read(name));
    return values;
  });
  const model = await OnnxModel.create(onnxruntime, config, parameters);
  const features = await model.encodeImages(pixels, tiles);
  const logits = await model.forward(ids, { features });
  const tokens = [argmax(logits)];
  while (tokens.length < NEW_TOKENS) tokens.push(argmax(await model.forward([tokens.at(-1)!])));
  return { logits: Array.from(logits), tokens };
}

/** The model's files, watched while its shards are read. */
function watchHeap(files: ModelFiles) {
  const collect = (globalThis as { gc?: () => void }).gc;
  if (collect === undefined) throw new Error('Run node with --expose-gc.');
  const made: WeakRef<Uint8Array>[] = [];
  collect();
  const before = process.memoryUsage().arrayBuffers;
  const seen = {
    ...{ heapWithShard: 0, shardsAlive: 0, largestShard: 0, packedBytes: 0 },
    files: {
      manifest: files.manifest,
      async read(name: string) {
        // WeakRefs let go only between tasks.
        await new Promise((resolve) => setTimeout(resolve, 1));
        collect();
        const alive = made.filter((shard) => shard.deref() !== undefined).length;
        seen.shardsAlive = Math.max(seen.shardsAlive, alive);
        const bytes = await files.read(name);
        const heap = process.memoryUsage().arrayBuffers - before;
        seen.heapWithShard = Math.max(seen.heapWithShard, heap);
        seen.largestShard = Math.max(seen.largestShard, bytes.byteLength);
        seen.packedBytes += bytes.byteLength;
        made.push(new WeakRef(bytes));
        return bytes;
      },
    } satisfies ModelFiles,
  };
  return seen;
}

function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const seconds = (now - last) / 1000;
    last = now;
    return seconds;
  };
}

function argmax(values: Float32Array): number {
  return values.reduce((best, value, index) => (value > values[best] ? index : best), 0);
}
