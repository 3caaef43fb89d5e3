import { expect, test } from 'vitest';
import { rgbFromRgba } from './rgb-image.ts';
import { countTiles, cutTiles, normalizeTiles, preprocessImage } from './tiles.ts';

/** Blocks of one colour each, so that tiles can be told apart after exact cutting. */
function blocks(columns: number, rows: number, size: number): Uint8Array {
  const data = new Uint8Array(columns * rows * size * size * 3);
  for (let i = 0; i < data.length; i += 3) {
    const pixel = i / 3;
    const x = pixel % (columns * size);
    const y = Math.floor(pixel / (columns * size));
    data[i] = 10 * (Math.floor(y / size) * columns + Math.floor(x / size) + 1);
  }
  return data;
}

test('tiles lie row by row, the thumbnail last', () => {
  const image = { width: 24, height: 16, data: blocks(3, 2, 8) };
  const { grid, count, data } = cutTiles(image, { tileSize: 8, maxTiles: 6 });
  expect([grid, count]).toEqual([{ columns: 3, rows: 2 }, 7]);
  for (let tile = 0; tile < 6; tile++) {
    const reds = data.subarray(tile * 192, tile * 192 + 192).filter((_, i) => i % 3 === 0);
    expect(new Set(reds)).toEqual(new Set([10 * (tile + 1)]));
  }
  expect(cutTiles(image, { tileSize: 8, maxTiles: 6, useThumbnail: false }).count).toBe(6);
});

test('a single tile gets no thumbnail', () => {
  expect(countTiles(500, 500, { tileSize: 448, maxTiles: 1 })).toBe(1);
  expect(countTiles(2000, 1000, { tileSize: 448, maxTiles: 2 })).toBe(3);
});

test('normalisation by hand, planes per channel', () => {
  const values = normalizeTiles(Uint8Array.of(255, 0, 128, 0, 255, 1, 2, 3, 4, 9, 9, 9), 2);
  expect(values.length).toBe(12);
  expect(values[0]).toBeCloseTo((1 - 0.485) / 0.229, 6);
  expect(values[1]).toBeCloseTo(-0.485 / 0.229, 6);
  expect(values[4]).toBeCloseTo(-0.456 / 0.224, 6);
  expect(values[8]).toBeCloseTo((128 / 255 - 0.406) / 0.225, 6);
  const own = normalizeTiles(Uint8Array.of(255, 0, 128), 1, [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]);
  expect([...own]).toEqual([1, -1, Math.fround((128 / 255 - 0.5) / 0.5)]);
});

test('alpha is dropped, not composited', () => {
  const image = rgbFromRgba(2, 1, Uint8Array.of(1, 2, 3, 0, 4, 5, 6, 128));
  expect([...image.data]).toEqual([1, 2, 3, 4, 5, 6]);
});

test('empty pictures and wrong data are refused', () => {
  const invalid = expect.objectContaining({ code: 'invalid-image' });
  expect(() => preprocessImage({ width: 0, height: 5, data: new Uint8Array(0) }, { tileSize: 8 })).toThrow(
    invalid,
  );
  expect(() => preprocessImage({ width: 5, height: 5, data: new Uint8Array(74) }, { tileSize: 8 })).toThrow(
    invalid,
  );
  expect(() => rgbFromRgba(2, 2, new Uint8Array(12))).toThrow(invalid);
  expect(() => normalizeTiles(new Uint8Array(3), 1, [0, 0, 0], [1, 0, 1])).toThrow(
    expect.objectContaining({ code: 'invalid-argument' }),
  );
});
