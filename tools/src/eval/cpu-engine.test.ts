import { TINY_CONFIG, randomFloats, randomParameters } from '@speedq/kernels/testing';
import { parameterInventory } from '@speedq/model';
import { beforeAll, expect, it } from 'vitest';
import { openCpuEngine } from './cpu-engine.ts';
import { argmax } from './engine.ts';
import type { Engine } from './engine.ts';

let engine: Engine;
beforeAll(async () => {
  const parameters = randomParameters(TINY_CONFIG, 5);
  const tensors = {
    parameters: parameterInventory(TINY_CONFIG),
    read: (name: string) => Promise.resolve(parameters.get(name)!),
  };
  engine = await openCpuEngine({ config: TINY_CONFIG, tensors: tensors as never }, { threads: 1 });
});

const size = TINY_CONFIG.vision.imageSize;
const pixels = randomFloats(3 * size * size, 6, 2);
const image = Array.from({ length: TINY_CONFIG.tokensPerTile }, () => TINY_CONFIG.imageTokenId);
const ids = Uint32Array.from([1, 2, 3, ...image, 4, 5, 6, 7]);

it('goes back to an earlier point of the conversation', async () => {
  const features = await engine.encodeImages(pixels, 1);
  engine.truncate(0);
  const rows = await engine.forward(ids, [features], 3);
  const { vocabSize } = engine;
  expect(rows.length).toBe(3 * vocabSize);
  const whole = rows.slice(2 * vocabSize);

  // Something else, then back to what both have in common.
  engine.truncate(ids.length - 4);
  expect(engine.length).toBe(ids.length - 4);
  await engine.forward(Uint32Array.of(200, 201), [], 1);
  engine.truncate(ids.length - 4);
  const again = await engine.forward(ids.subarray(ids.length - 4), [], 3);
  expect(largest(again, rows)).toBeLessThan(1e-4);
  expect(await engine.readLogits()).toEqual(again.subarray(2 * vocabSize));

  // The past does matter.
  engine.truncate(0);
  const other = await engine.forward(ids.subarray(ids.length - 4), [], 1);
  expect(largest(other, whole)).toBeGreaterThan(0.1);
});

it('decodes what feeding its own tokens one by one gives', async () => {
  const features = await engine.encodeImages(pixels, 1);
  engine.truncate(0);
  const first = await engine.prefill(ids, [features]);
  const decoded = await engine.decode(4);
  engine.truncate(0);
  const rows = await engine.forward(
    Uint32Array.from([...ids, first, ...decoded.subarray(0, 3)]),
    [features],
    4,
  );
  const { vocabSize } = engine;
  const tops = [0, 1, 2, 3].map((row) => argmax(rows, row * vocabSize, (row + 1) * vocabSize));
  expect([...decoded]).toEqual(tops);
});

it('has no logits after going back', async () => {
  await engine.prefill(Uint32Array.of(1, 2), []);
  engine.truncate(engine.length - 1);
  await expect(engine.decode(1)).rejects.toMatchObject({ code: 'invalid-argument' });
});

function largest(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}
