import { FLOAT32, packFloat } from '@speedq/format';
import { describe, expect, it } from 'vitest';
import { requestTestDevice } from '../../node.ts';
import { OpBench, maxDifference, randomFloats } from '../../testing/harness.ts';
import { recordUnshuffle } from '../pixel-unshuffle/record.ts';
import { recordPatchEmbedding } from './record.ts';

const gpu = await requestTestDevice();

describe.skipIf(gpu === null)('picture to tokens', () => {
  it.each([
    [2, 56, 14, 20],
    [1, 24, 4, 6],
  ])(
    'patch embedding of %i tiles of %i pixels, patches of %i',
    async (tiles, tileSize, patchSize, hidden) => {
      const grid = tileSize / patchSize;
      const inputs = 3 * patchSize * patchSize;
      const pixels = randomFloats(tiles * 3 * tileSize * tileSize, 1);
      const weight = randomFloats(hidden * inputs, 2, 0.1);
      const [bias, classToken] = [randomFloats(hidden, 3), randomFloats(hidden, 4)];
      const position = randomFloats((grid * grid + 1) * hidden, 5);
      const bench = new OpBench(gpu!.device, 3);
      const y = recordPatchEmbedding(
        bench.recorder,
        bench.input(pixels, 3 * tileSize * tileSize),
        {
          weight: bench.matrix(packFloat(weight, [hidden, 3, patchSize, patchSize], FLOAT32)),
          bias: bench.buffer(bias),
          classToken: bench.buffer(classToken),
          position: bench.buffer(position),
        },
        { tileSize, patchSize },
      );
      const [actual] = await bench.run([y], { count: tiles });
      // the convolution written out: e[r, c] = Σ W[channel, i, j] · x[channel, patch·r + i, patch·c + j]
      const expected: number[] = [];
      for (let tile = 0; tile < tiles; tile++) {
        for (let token = 0; token <= grid * grid; token++) {
          for (let h = 0; h < hidden; h++) {
            let v = position[token * hidden + h] + (token === 0 ? classToken[h] : bias[h]);
            const [r, c] = [Math.floor((token - 1) / grid), (token - 1) % grid];
            const terms = token === 0 ? 0 : inputs;
            for (let k = 0; k < terms; k++) {
              const channel = Math.floor(k / patchSize ** 2);
              const i = r * patchSize + (Math.floor(k / patchSize) % patchSize);
              const j = c * patchSize + (k % patchSize);
              v += weight[h * inputs + k] * pixels[((tile * 3 + channel) * tileSize + i) * tileSize + j];
            }
            expected.push(v);
          }
        }
      }
      expect(maxDifference(actual, expected)).toBeLessThan(1e-5);
    },
  );

  it('pixel unshuffle drops the class token and joins 2×2 cells row by row', async () => {
    // value = 1000·tile + 10·cell + feature/4, cell -1 being the class token
    const [tiles, grid, width] = [2, 4, 4];
    const x: number[] = [];
    for (let tile = 0; tile < tiles; tile++) {
      for (let cell = -1; cell < grid * grid; cell++) {
        for (let f = 0; f < width; f++) x.push(1000 * tile + 10 * cell + f / 4);
      }
    }
    const bench = new OpBench(gpu!.device, 2);
    const input = bench.input(Float32Array.from(x), width, { perCount: grid * grid + 1, fixed: 0 });
    const y = recordUnshuffle(bench.recorder, input, grid);
    const [actual] = await bench.run([y], { count: tiles });
    const cells = [
      [0, 1, 4, 5],
      [2, 3, 6, 7],
      [8, 9, 12, 13],
      [10, 11, 14, 15],
    ];
    const expected = [0, 1].flatMap((tile) =>
      cells.flatMap((row) => row.flatMap((cell) => [0, 1, 2, 3].map((f) => 1000 * tile + 10 * cell + f / 4))),
    );
    expect([...actual]).toEqual(expected);
  });
});
