import { FLOAT32, SpeedqError } from '@speedq/format';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requestNodeDevice, requestTestDevice } from '../node.ts';
import { randomFloats } from '../testing/harness.ts';
import { TINY_CONFIG, packParameters, packedSource, randomParameters } from '../testing/tiny-model.ts';
import { floatWeights } from '../weights/float-weights.ts';
import type { WebGPUModel } from './webgpu-model.ts';
import { createWebGPUModel } from './webgpu-model.ts';

const gpu = await requestTestDevice();
const config = {
  ...TINY_CONFIG,
  vision: { ...TINY_CONFIG.vision, hiddenSize: 32, intermediateSize: 32 },
  language: { ...TINY_CONFIG.language, hiddenSize: 32, headDim: 8, intermediateSize: 48, numLayers: 1 },
};
const parameters = randomParameters(config, 3);
const weights = floatWeights(config, (name) => parameters.get(name));
const IMAGE = config.imageTokenId;
const pixels = (tiles: number) => randomFloats(tiles * 3 * 56 * 56, 4);
const text = (length: number) => Uint32Array.from({ length }, (_, i) => (i * 37) % 250);

async function code(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof SpeedqError) return error.code;
    throw error;
  }
  return 'no error';
}

describe.skipIf(gpu === null)('the WebGPU model', () => {
  let model: WebGPUModel;
  beforeAll(async () => {
    model = await createWebGPUModel(gpu!.device, config, weights, { maxContext: 40, prefillChunk: 8 });
  }, 300_000);
  afterAll(() => model?.destroy());

  it('decodes the same in one burst, token by token, and by prefilling its own answers', async () => {
    const first = await model.prefill(text(11), []);
    const burst = await model.decode(6);
    expect(model.length).toBe(17);
    model.truncate(0);
    expect(await model.prefill(text(11), [])).toBe(first);
    const single: number[] = [];
    for (let i = 0; i < 6; i++) single.push((await model.decode(1))[0]);
    expect(single).toEqual([...burst]);
    model.truncate(11);
    const fed: number[] = [];
    for (const id of [first, ...burst.slice(0, 5)]) fed.push(await model.prefill(Uint32Array.of(id), []));
    expect(fed).toEqual([...burst]);
    model.truncate(0);
  });

  it('merges several images in order, whatever the chunking and batching', async () => {
    const images = [
      await model.encodeImages(pixels(2), 2),
      await model.encodeImages(
        pixels(1).map((v) => -v),
        1,
      ),
    ];
    expect(images.map(({ tokens }) => tokens)).toEqual([8, 4]);
    const placeholders = (count: number) => Array.from({ length: count }, () => IMAGE);
    const ids = Uint32Array.from([1, ...placeholders(8), 2, 3, ...placeholders(4), 4]);
    await model.prefill(ids, images);
    const chunked = await model.readLogits();
    model.truncate(0);
    await model.prefill(ids, [...images].reverse());
    const swapped = await model.readLogits();
    model.truncate(0);
    images.forEach((image) => image.destroy());

    const whole = await createWebGPUModel(gpu!.device, config, weights, { maxContext: 40, tilesPerBatch: 1 });
    const again = [
      await whole.encodeImages(pixels(2), 2),
      await whole.encodeImages(
        pixels(1).map((v) => -v),
        1,
      ),
    ];
    await whole.prefill(ids, again);
    const expected = await whole.readLogits();
    whole.destroy();
    const distance = (logits: Float32Array) => Math.max(...logits.map((v, i) => Math.abs(v - expected[i])));
    expect(distance(chunked)).toBeLessThan(1e-4);
    expect(distance(swapped)).toBeGreaterThan(1e-2);
  });

  it('counts its memory, and gives that of image features back', async () => {
    const before = model.memoryBytes;
    const total = [...parameters.values()].reduce((sum, values) => sum + values.byteLength, 0);
    expect(before).toBeGreaterThan(total);
    const features = await model.encodeImages(pixels(1), 1);
    expect(model.memoryBytes).toBe(before + 4 * 32 * 4);
    features.destroy();
    expect(model.memoryBytes).toBe(before);
  });

  it('says what is wrong with a call, and keeps the cache as it was', async () => {
    await model.prefill(text(5), []);
    const features = await model.encodeImages(pixels(1), 1);
    expect(await code(model.prefill(new Uint32Array(0), []))).toBe('invalid-argument');
    expect(await code(model.prefill(Uint32Array.of(303), []))).toBe('invalid-argument');
    expect(await code(model.prefill(Uint32Array.of(IMAGE), []))).toBe('invalid-argument');
    expect(await code(model.prefill(text(2), [features]))).toBe('invalid-argument');
    expect(await code(model.prefill(text(36), []))).toBe('context-exceeded');
    expect(await code(model.decode(36))).toBe('context-exceeded');
    expect(await code(model.decode(0))).toBe('invalid-argument');
    expect(await code(model.encodeImages(pixels(1), 2))).toBe('invalid-argument');
    expect(await code(model.readAllLogits())).toBe('invalid-argument');
    expect(() => model.truncate(6)).toThrowError(/Cannot truncate/);
    expect(model.length).toBe(5);
    const running = model.decode(1);
    expect(await code(model.decode(1))).toBe('invalid-argument');
    await running;
    model.truncate(2);
    expect(await code(model.decode(1))).toBe('invalid-argument');
    features.destroy();
    model.truncate(0);
  });

  it('hears an abort between chunks and takes back what the call had appended', async () => {
    await model.prefill(text(3), []);
    const controller = new AbortController();
    const running = model.prefill(text(30), [], controller.signal);
    setTimeout(() => controller.abort(new Error('stop')), 0);
    await expect(running).rejects.toThrowError('stop');
    expect(model.length).toBe(3);
    await expect(model.decode(1, AbortSignal.abort(new Error('no')))).rejects.toThrowError('no');
    model.truncate(0);
  });

  it('refuses weights that are missing or of the wrong shape', async () => {
    const create = (packed: ReturnType<typeof packParameters>) =>
      createWebGPUModel(gpu!.device, config, packedSource(packed), { maxContext: 8 });
    const name = 'language_model.model.layers.0.mlp.up_proj.weight';
    const packed = packParameters(config, parameters, () => FLOAT32);
    const tensor = packed.get(name)!;
    packed.delete(name);
    expect(await code(create(packed))).toBe('missing-tensor');
    packed.set(name, { ...tensor, shape: [32, 48] });
    expect(await code(create(packed))).toBe('shape-mismatch');
    packed.set(name, { ...tensor, shape: [48, 36] });
    expect(await code(create(packed))).toBe('shape-mismatch');
  });

  it('refuses a context beyond the trained positions, and one that no buffer can hold', async () => {
    const create = (maxContext: number) => createWebGPUModel(gpu!.device, config, weights, { maxContext });
    expect(await code(create(513))).toBe('invalid-argument');
    expect(await code(create(0))).toBe('invalid-argument');
    const long = { ...config, language: { ...config.language, maxPositionEmbeddings: 2 ** 24 } };
    const huge = createWebGPUModel(gpu!.device, long, weights, { maxContext: 2 ** 22 });
    expect(await code(huge)).toBe('out-of-memory');
  });

  it('says that the device was lost', async () => {
    const { device } = await requestNodeDevice();
    const lost = await createWebGPUModel(device, config, weights, { maxContext: 16 });
    await lost.prefill(text(4), []);
    const running = lost.decode(3);
    device.destroy();
    // what was already computed may still arrive
    expect(['device-lost', 'no error']).toContain(await code(running));
    expect(await code(lost.decode(1))).toBe('device-lost');
  });
});
