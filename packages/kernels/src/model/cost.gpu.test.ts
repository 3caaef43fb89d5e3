import { BILEVEL_2BIT_G16, SYMMETRIC_4BIT } from '@speedq/format';
import { parameterInventory } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VariantChoice } from '../engine/variants.ts';
import { requestNodeDevice, requestTestDevice } from '../node.ts';
import { randomFloats } from '../testing/harness.ts';
import { instrument } from '../testing/instrumented-device.ts';
import { TINY_CONFIG, packParameters, packedSource, randomParameters } from '../testing/tiny-model.ts';
import type { StoredTensor } from '../weights/source.ts';
import { memoryBudget } from './memory.ts';
import type { WebGPUModel } from './webgpu-model.ts';
import { createWebGPUModel } from './webgpu-model.ts';

/** What a token costs the device, and what a model takes of it, counted by the device itself. */
const gpu = await requestTestDevice();
const LAYERS = 3;
const config: InternVLConfig = {
  ...TINY_CONFIG,
  language: {
    ...TINY_CONFIG.language,
    hiddenSize: 128,
    numHeads: 4,
    headDim: 32,
    intermediateSize: 128,
    numLayers: LAYERS,
    maxPositionEmbeddings: 4096,
  },
};
const MAX_CONTEXT = 2000;
const KV_BYTES_PER_TOKEN = LAYERS * 2 * 2 * 32 * 4;
const text = (length: number) => Uint32Array.from({ length }, (_, i) => (i * 37 + (i >> 3)) % 250);

const parameters = randomParameters(config, 5);
const packed = packParameters(config, parameters, ({ name, role }) => {
  if (role === 'embedding' || name.endsWith('lm_head.weight')) return SYMMETRIC_4BIT;
  return role === 'linear' ? BILEVEL_2BIT_G16 : undefined;
});

/** The embedding comes in three parts, as tables beyond a shard's size do. */
const SPLIT = { 'language_model.model.embed_tokens.weight': [112, 176, 15] };

describe.skipIf(gpu === null)('the cost of a model', () => {
  let model: WebGPUModel;
  let counting: ReturnType<typeof instrument>;
  beforeAll(async () => {
    const { device } = await requestNodeDevice();
    counting = instrument(device);
    model = await createWebGPUModel(device, config, packedSource(packed, SPLIT), { maxContext: MAX_CONTEXT });
  }, 300_000);
  afterAll(() => {
    model?.destroy();
    expect(counting?.counts.liveBytes).toBe(0);
  });

  it('a greedy token is one submission, one pass, six dispatches a layer and three more; nothing is created', async () => {
    await model.prefill(text(20), []);
    await model.decode(3);
    const { counts } = counting;
    for (const count of [1, 8]) {
      counting.reset();
      await model.decode(count);
      expect(counts).toMatchObject({ buffers: 0, bindGroups: 0, pipelines: 0 });
      expect(counts.submits).toBe(count);
      expect(counts.passes).toBe(count);
      expect(counts.dispatches).toBe(count * (6 * LAYERS + 3));
    }
  });

  it('neither is anything created for a token that the CPU chooses, and it is one submission too', async () => {
    await model.prefill(text(5), []);
    await model.readLogits();
    await model.prefill(Uint32Array.of(7), []);
    await model.readLogits();
    const { counts } = counting;
    counting.reset();
    for (let i = 1; i <= 4; i++) {
      await model.prefill(Uint32Array.of(i), []);
      const logits = await model.readLogits();
      expect(logits).toHaveLength(config.language.vocabSize);
    }
    expect(counts).toMatchObject({ buffers: 0, bindGroups: 0, pipelines: 0, submits: 4 });
    expect(counts.dispatches).toBe(4 * (6 * LAYERS + 3));
    model.truncate(0);
  });

  it('logits that are asked for after decoding on the GPU are those of the last token', async () => {
    model.truncate(0);
    await model.prefill(text(9), []);
    await model.readLogits();
    const [second] = await model.decode(1);
    const decoded = await model.readLogits();
    const again = decoded.indexOf(Math.max(...decoded));
    expect(again).toBe(second);
    model.truncate(0);
  });

  it.each<{ format: 'f16' | 'q8'; variants: VariantChoice; tolerance: number }>([
    {
      format: 'f16',
      variants: {
        matvec: 'rows4-threads64',
        matmul: 'tile64x64',
        attention: 'tiles-threads128',
        'decode-attention': 'splits8',
      },
      tolerance: 5e-3,
    },
    { format: 'q8', variants: { matvec: 'rows16-threads128-integer' }, tolerance: 5e-2 },
  ])(
    'variants and a cache of $format cost a token no more, take what the budget says, and mean the same',
    async ({ format, variants, tolerance }) => {
      const { device } = await requestNodeDevice();
      const meter = instrument(device);
      const { counts } = meter;
      const options = { maxContext: MAX_CONTEXT, keyValueFormat: format, variants };
      const other = await createWebGPUModel(device, config, packedSource(packed, SPLIT), options);
      const stored: StoredTensor[] = [];
      for await (const { tensors } of packedSource(packed, SPLIT).shards()) stored.push(...tensors);
      expect(other.memory).toEqual(memoryBudget(config, stored, options).loaded);
      expect(other.memory.total).toBe(counts.liveBytes);
      const rowBytes = { f16: 2 * 2 * 32, q8: 2 * 32 + 2 * 4 }[format];
      expect(other.memory.kvCache).toBe(512 * LAYERS * 2 * rowBytes);

      const logitsOf = async (one: WebGPUModel) => {
        one.truncate(0);
        await one.prefill(text(90), []);
        // The last of these is decoded, by programs of one row.
        await one.prefill(Uint32Array.of(7), []);
        return one.readLogits();
      };
      const [expected, actual] = [await logitsOf(model), await logitsOf(other)];
      const largest = Math.max(...expected.map(Math.abs));
      expect(Math.max(...actual.map((v, i) => Math.abs(v - expected[i]))) / largest).toBeLessThan(tolerance);
      await other.decode(1);
      meter.reset();
      await other.decode(4);
      expect(counts).toMatchObject({ buffers: 0, bindGroups: 0, pipelines: 0, submits: 4 });
      expect(counts.dispatches).toBe(4 * (6 * LAYERS + 3));
      other.destroy();
      expect(counts.liveBytes).toBe(0);
      device.destroy();
      model.truncate(0);
    },
  );

  it('takes the memory that the budget says, to the byte, and no more than a tenth over weights and cache', async () => {
    const stored: StoredTensor[] = [];
    let packedBytes = 0;
    for await (const { tensors } of packedSource(packed, SPLIT).shards()) {
      stored.push(...tensors);
      for (const { byteLength } of tensors) packedBytes += byteLength;
    }
    const { device } = await requestNodeDevice();
    const { counts } = instrument(device);
    const fresh = await createWebGPUModel(device, config, packedSource(packed, SPLIT), {
      maxContext: MAX_CONTEXT,
    });
    const budget = memoryBudget(config, stored, { maxContext: MAX_CONTEXT });
    expect(fresh.memory).toEqual(budget.loaded);
    expect(fresh.memory.total).toBe(counts.liveBytes);
    expect(fresh.memory.kvCache).toBe(512 * KV_BYTES_PER_TOKEN);
    expect(budget.full.kvCache).toBe(MAX_CONTEXT * KV_BYTES_PER_TOKEN);
    // Tables stay packed: nothing but vectors is widened.
    const vectors = [...parameters].filter(([name]) => {
      const { shape } = parameterInventory(config).find((one) => one.name === name)!;
      return shape.length % 2 === 1;
    });
    const vectorBytes = vectors.reduce((sum, [, { byteLength }]) => sum + byteLength, 0);
    expect(fresh.memory.weights).toBeLessThanOrEqual(packedBytes + vectorBytes);
    expect(counts.largestBinding).toBeLessThanOrEqual(2 ** 27);
    fresh.destroy();
    expect(counts.liveBytes).toBe(0);
    device.destroy();
  });

  it('a cache that grows under a conversation changes nothing but its size', async () => {
    const { counts } = counting;
    model.truncate(0);
    const first = await model.prefill(text(500), []);
    expect(model.memory.kvCache).toBe(512 * KV_BYTES_PER_TOKEN);
    const before = counts.liveBytes;
    counting.reset();
    const burst = await model.decode(20);
    expect(model.memory.kvCache).toBe(1024 * KV_BYTES_PER_TOKEN);
    // One layer at a time is there twice.
    const growth = 512 * KV_BYTES_PER_TOKEN;
    expect(counts.liveBytes).toBe(before + growth);
    expect(counts.peakBytes - before).toBeLessThanOrEqual(growth + growth / LAYERS);
    const decoded = await model.readLogits();

    model.truncate(0);
    const whole = Uint32Array.from([...text(500), first, ...burst.subarray(0, 19)]);
    expect(await model.prefill(whole, [])).toBe(burst[19]);
    const expected = await model.readLogits();
    expect(Math.max(...decoded.map((v, i) => Math.abs(v - expected[i])))).toBeLessThan(1e-3);

    await model.prefill(text(600), []);
    expect(model.memory.kvCache).toBe(MAX_CONTEXT * KV_BYTES_PER_TOKEN);
    model.truncate(0);
  });

  it('features of pictures come and go, everything else stays', async () => {
    const before = model.memory;
    const features = await model.encodeImages(randomFloats(2 * 3 * 56 * 56, 1), 2);
    expect(model.memory).toEqual({
      ...before,
      images: 2 * 4 * 128 * 4,
      total: before.total + 2 * 4 * 128 * 4,
    });
    features.destroy();
    expect(model.memory).toEqual(before);
  });
});
