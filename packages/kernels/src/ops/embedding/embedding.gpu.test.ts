import { SCHEMES, packWeight, unpackToFloat } from '@speedq/format';
import { describe, expect, it } from 'vitest';
import { requestTestDevice } from '../../node.ts';
import { OpBench, maxDifference, randomFloats } from '../../testing/harness.ts';
import { recordImageMerge } from '../image-merge/record.ts';
import { recordLastRow } from '../select-row/record.ts';
import { recordEmbedding } from './record.ts';

const gpu = await requestTestDevice();

const [rows, columns] = [64, 96];
const table = randomFloats(rows * columns, 1);
const TABLES = [
  ...(['2bit-symmetric', '3bit-symmetric', '4bit-symmetric', '2bit-g16', '3bit-g16', 'f16', 'f32'] as const),
].map((name) => [name, packWeight(table, [rows, columns], SCHEMES[name])] as const);

describe.skipIf(gpu === null)('embedding', () => {
  it.each(TABLES)('gathers rows of a split %s table', async (_, packed) => {
    const ids = Uint32Array.from([0, 63, 17, 15, 16, 16, 47, 48]);
    const bench = new OpBench(gpu!.device, 10);
    const y = recordEmbedding(bench.recorder, bench.input(ids, 1), bench.matrix(packed, [16, 32, 16]));
    const [actual] = await bench.run([y], { count: ids.length });
    const weight = unpackToFloat(packed);
    const expected = [...ids].flatMap((id) => [...weight.subarray(id * columns, (id + 1) * columns)]);
    expect(maxDifference(actual, expected)).toBeLessThan(1e-7);
  });

  it('replaces image tokens by features in order, and selects the last row', async () => {
    const [image, width] = [7, 20];
    const ids = Uint32Array.from({ length: 150 }, (_, i) => (i % 3 === 1 || i > 90 ? image : i % 5));
    const tokens = [...ids.keys()].filter((i) => ids[i] === image);
    const bench = new OpBench(gpu!.device, 160);
    const embeddings = randomFloats(ids.length * width, 2);
    const features = randomFloats(tokens.length * width, 3);
    const idsValue = bench.input(ids, 1);
    const input = bench.input(embeddings, width);
    const merged = recordImageMerge(bench.recorder, input, idsValue, bench.input(features, width), image);
    const last = recordLastRow(bench.recorder, merged);
    const [actual, row] = await bench.run([merged, last], { count: ids.length });
    const expected = embeddings.slice();
    tokens.forEach((at, i) => expected.set(features.subarray(i * width, (i + 1) * width), at * width));
    expect(maxDifference(actual, expected)).toBe(0);
    expect(maxDifference(row, expected.subarray(-width))).toBe(0);
  });

  it('reaches rows beyond the workgroups of one dimension', async () => {
    const [image, width, count] = [1, 4, 66_001];
    const ids = new Uint32Array(count);
    ids[3] = ids[65_535] = ids[66_000] = image;
    const bench = new OpBench(gpu!.device, count);
    const features = randomFloats(3 * width, 3);
    const input = bench.input(new Float32Array(count * width), width);
    const merged = recordImageMerge(
      bench.recorder,
      input,
      bench.input(ids, 1),
      bench.input(features, width),
      image,
    );
    const [actual] = await bench.run([merged], { count });
    const expected = new Float32Array(count * width);
    [3, 65_535, 66_000].forEach((row, i) =>
      expected.set(features.subarray(i * width, (i + 1) * width), row * width),
    );
    expect(maxDifference(actual, expected)).toBe(0);
  });
});
