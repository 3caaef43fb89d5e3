import { TINY_CONFIG, randomFloats, randomParameters } from '@speedq/kernels/testing';
import { parameterInventory } from '@speedq/model';
import type { ImageFeaturesHandle } from '@speedq/runtime';
import { beforeAll, describe, expect, it } from 'vitest';
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
const image = new Uint32Array(TINY_CONFIG.tokensPerTile).fill(TINY_CONFIG.imageTokenId);
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

describe('several sequences', () => {
  const text = Uint32Array.of(9, 8, 7, 6, 5, 4, 3, 2, 1);
  const long = Uint32Array.from([1, 2, ...image, 4, ...image, 5, 6, 7, 8, 9]);

  /** Logits of one sequence by itself. */
  async function alone(tokens: Uint32Array, images: readonly ImageFeaturesHandle[], rows: number) {
    engine.truncate(0);
    return engine.forward(tokens, images, rows);
  }

  function expectLogits(found: readonly Float32Array[], expected: readonly Float32Array[]): void {
    found.forEach((logits, i) => expect(largest(logits, expected[i])).toBeLessThan(1e-4));
  }

  it('of other lengths, with and without pictures, have the logits that each has alone', async () => {
    const one = await engine.encodeImages(pixels, 1);
    const two = await engine.encodeImages(
      pixels.map((value) => -value),
      1,
    );
    const batch = engine.openBatch!(4);
    const first = await batch.append([
      { ids, images: [one], rows: 1 },
      { ids: text, images: [], rows: text.length },
      { ids: long, images: [two, one], rows: 2 },
      { ids: Uint32Array.of(5), images: [], rows: 1 },
    ]);
    expectLogits(first, [
      await alone(ids, [one], 1),
      await alone(text, [], text.length),
      await alone(long, [two, one], 2),
      await alone(Uint32Array.of(5), [], 1),
    ]);
    expect(largest(first[0], first[3])).toBeGreaterThan(0.1);

    // One waits, one forgets its last two tokens first, all others go on.
    batch.truncate(1, text.length - 2);
    const second = await batch.append([
      { ids: Uint32Array.of(11, 12, 13), images: [], rows: 2 },
      { ids: Uint32Array.of(20), images: [], rows: 1 },
      { ids: new Uint32Array(0), images: [], rows: 0 },
      { ids: image, images: [two], rows: 1 },
    ]);
    expect(second[2]).toHaveLength(0);
    const forgetful = Uint32Array.from([...text.subarray(0, -2), 20]);
    const grown = Uint32Array.from([...ids, 11, 12, 13]);
    const shown = Uint32Array.from([5, ...image]);
    expectLogits(
      [second[0], second[1], second[3]],
      [await alone(grown, [one], 2), await alone(forgetful, [], 1), await alone(shown, [two], 1)],
    );

    // Two of them go on, one of them twice.
    batch.select([2, 1, 2]);
    expect(batch.size).toBe(3);
    const third = await batch.append([
      { ids: Uint32Array.of(30), images: [], rows: 1 },
      { ids: Uint32Array.of(31, 32), images: [], rows: 1 },
      { ids: Uint32Array.of(33), images: [], rows: 1 },
    ]);
    expectLogits(third, [
      await alone(Uint32Array.from([...long, 30]), [two, one], 1),
      await alone(Uint32Array.from([...forgetful, 31, 32]), [], 1),
      await alone(Uint32Array.from([...long, 33]), [two, one], 1),
    ]);
  });

  it('beyond what the model was trained for, or with features that do not fit', async () => {
    const batch = engine.openBatch!(2);
    const far = new Uint32Array(TINY_CONFIG.language.maxPositionEmbeddings + 1).fill(3);
    const none = { ids: Uint32Array.of(1), images: [], rows: 1 };
    await expect(batch.append([none, { ids: far, images: [], rows: 1 }])).rejects.toMatchObject({
      code: 'context-exceeded',
    });
    const one = await engine.encodeImages(pixels, 1);
    // As many placeholders as features, but in the other sequence.
    const swapped = [
      { ids, images: [], rows: 1 },
      { ...none, images: [one] },
    ];
    await expect(batch.append(swapped)).rejects.toMatchObject({ code: 'invalid-data' });
  });
});

function largest(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}
