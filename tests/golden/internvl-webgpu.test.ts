import { createWebGPUModel } from '@speedq/kernels';
import type { WebGPUModel, WebGPUModelOptions } from '@speedq/kernels';
import { requestTestDevice } from '@speedq/kernels/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { modelCases, openCase, worst } from './model-case.ts';

/**
 * The model over WebGPU in float32 against the reference implementation's outputs: DESIGN tolerance 1e-3
 * absolute.
 */
const TOLERANCE = 1e-3;

const gpu = await requestTestDevice();

describe.skipIf(gpu === null).each(modelCases)('WebGPU float32: %s', (name) => {
  const { expected, config, weights } = openCase(name);
  const create = (options: WebGPUModelOptions) => createWebGPUModel(gpu!.device, config, weights, options);
  const ids = expected.ids('input_ids');
  const textIds = expected.ids('text_only_ids');
  const greedyIds = expected.ids('greedy_ids');
  const pixels = expected.floats('pixel_values');
  const [tiles] = expected.shape('pixel_values');
  const { vocabSize } = config.language;
  const maxContext = ids.length + greedyIds.length;
  let model: WebGPUModel;

  beforeAll(async () => {
    model = await create({ maxContext, prefillChunk: ids.length, tilesPerBatch: 2, allLogits: true });
  }, 300_000);

  afterAll(() => model?.destroy());

  it('image features', async () => {
    const features = await model.encodeImages(pixels, tiles);
    expect(features.tokens).toBe(tiles * config.tokensPerTile);
    expect(worst(await features.read(), expected.floats('image_features'))).toBeLessThan(TOLERANCE);
    features.destroy();
  });

  it('logits of every position, and greedy ids from the cache', async () => {
    const features = await model.encodeImages(pixels, tiles);
    const first = await model.prefill(ids, [features]);
    expect(worst(await model.readAllLogits(), expected.floats('logits'))).toBeLessThan(TOLERANCE);
    expect(worst(await model.readLogits(), expected.floats('logits').slice(-vocabSize))).toBeLessThan(
      TOLERANCE,
    );
    const rest = await model.decode(greedyIds.length - 1);
    expect([first, ...rest]).toEqual([...greedyIds]);
    expect(model.length).toBe(ids.length + greedyIds.length - 1);
    features.destroy();
    model.truncate(0);
  });

  it('logits of text alone', async () => {
    await model.prefill(textIds, []);
    expect(worst(await model.readAllLogits(), expected.floats('text_only_logits'))).toBeLessThan(TOLERANCE);
    model.truncate(0);
  });

  it('chunked prefill, token by token decoding and truncation end in the same logits', async () => {
    const chunked = await create({ maxContext, prefillChunk: Math.max(2, Math.ceil(ids.length / 3.5)) });
    const features = await chunked.encodeImages(pixels, tiles);
    const first = await chunked.prefill(ids, [features]);
    const last = expected.floats('logits').slice(-vocabSize);
    expect(first).toBe(greedyIds[0]);
    expect(worst(await chunked.readLogits(), last)).toBeLessThan(TOLERANCE);
    await chunked.decode(3);
    // the same tail again over the kept part of the cache, the very last token by itself
    chunked.truncate(ids.length - 3);
    await chunked.prefill(ids.slice(-3, -1), []);
    await chunked.prefill(ids.slice(-1), []);
    expect(worst(await chunked.readLogits(), last)).toBeLessThan(TOLERANCE);
    expect([...(await chunked.decode(2)), ...(await chunked.decode(1))]).toEqual(
      Array.from(greedyIds.slice(1, 4)),
    );
    chunked.destroy();
  });
});
