import { WasmModel } from '@speedq/wasm';
import { beforeAll, describe, expect, it } from 'vitest';
import { modelCases, openCase, worst } from './model-case.ts';

/** The WebAssembly engine on float32 weights against the reference implementation: as close as onnxruntime has to be. */
const TOLERANCE = 1e-4;

describe.each(modelCases)('WebAssembly float32: %s', (name) => {
  const { expected, config, weights } = openCase(name);
  const ids = expected.ids('input_ids');
  const greedyIds = expected.ids('greedy_ids');
  const pixels = expected.floats('pixel_values');
  const [tiles] = expected.shape('pixel_values');
  const { vocabSize } = config.language;
  const maxContext = ids.length + greedyIds.length;
  let model: WasmModel;

  beforeAll(async () => {
    model = await WasmModel.create(config, weights, { maxContext });
  });

  it('image features', async () => {
    const features = await model.encodeImages(pixels, tiles);
    expect(features.tokens).toBe(tiles * config.tokensPerTile);
    expect(worst(features.rows, expected.floats('image_features'))).toBeLessThan(TOLERANCE);
  });

  it('logits and greedy ids from the cache', async () => {
    const features = await model.encodeImages(pixels, tiles);
    const first = await model.prefill(ids, [features]);
    expect(worst(await model.readLogits(), expected.floats('logits').slice(-vocabSize))).toBeLessThan(
      TOLERANCE,
    );
    const rest = await model.decode(greedyIds.length - 1);
    expect([first, ...rest]).toEqual([...greedyIds]);
    expect(model.length).toBe(ids.length + greedyIds.length - 1);
    model.truncate(0);
  });

  it('logits of text alone, at every position', async () => {
    const textIds = expected.ids('text_only_ids');
    const logits = expected.floats('text_only_logits');
    for (let end = 1; end <= textIds.length; end++) {
      await model.prefill(textIds.subarray(end - 1, end), []);
      const row = logits.slice((end - 1) * vocabSize, end * vocabSize);
      expect(worst(await model.readLogits(), row)).toBeLessThan(TOLERANCE);
    }
    model.truncate(0);
  });

  it('chunked prefill, token by token decoding and truncation end in the same logits', async () => {
    const prefillChunk = Math.max(2, Math.ceil(ids.length / 3.5));
    const chunked = await WasmModel.create(config, weights, { maxContext, prefillChunk });
    const features = await chunked.encodeImages(pixels, tiles);
    const last = expected.floats('logits').slice(-vocabSize);
    expect(await chunked.prefill(ids, [features])).toBe(greedyIds[0]);
    expect(worst(await chunked.readLogits(), last)).toBeLessThan(TOLERANCE);
    await chunked.decode(3);
    chunked.truncate(ids.length - 3);
    await chunked.prefill(ids.slice(-3, -1), []);
    await chunked.prefill(ids.slice(-1), []);
    expect(worst(await chunked.readLogits(), last)).toBeLessThan(TOLERANCE);
    expect([...(await chunked.decode(2)), ...(await chunked.decode(1))]).toEqual(
      Array.from(greedyIds.slice(1, 4)),
    );
  });
});
