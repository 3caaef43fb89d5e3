import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { resizeBicubic } from './resize.ts';

const cases = JSON.parse(
  readFileSync(new URL('../../test-fixtures/resize-cases.json', import.meta.url), 'utf8'),
) as { seed: number; from: [number, number]; to: [number, number]; rgb: string }[];

/** The same pixels as in make_fixtures.py. */
function lcgPixels(width: number, height: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length: width * height * 3 }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const value = state >>> 24;
    return value < 64 ? 0 : value >= 192 ? 255 : value;
  });
}

test.each(cases)('equals Pillow byte for byte, $from → $to', ({ seed, from, to, rgb }) => {
  const [width, height] = from;
  const resized = resizeBicubic({ width, height, data: lcgPixels(width, height, seed) }, to[0], to[1]);
  expect([resized.width, resized.height]).toEqual(to);
  expect(Buffer.compare(resized.data, Buffer.from(rgb, 'base64'))).toBe(0);
});

test.each([
  [0, 4, 'invalid-image'],
  [4, 0, 'invalid-image'],
  [16_385, 1, 'invalid-image'],
  [16_000, 16_000, 'invalid-image'],
  [4, 5, 'invalid-image'],
])('refuses a picture said to be %d × %d with 48 bytes', (width, height, code) => {
  expect(() => resizeBicubic({ width, height, data: new Uint8Array(48) }, 8, 8)).toThrow(
    expect.objectContaining({ code }),
  );
});

test.each([0, -1, 1.5, NaN, 40_000])('refuses a target side of %d', (side) => {
  const image = { width: 4, height: 4, data: new Uint8Array(48) };
  expect(() => resizeBicubic(image, side, 8)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
});
