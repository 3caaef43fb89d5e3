import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { doubleSize } from './pictures.ts';

it('doubles a picture as Pillow does', () => {
  const data = Uint8Array.from({ length: 7 * 5 * 3 }, (_, i) => (i * 37 + ((i * i) % 101)) % 256);
  const doubled = doubleSize({ width: 7, height: 5, data });
  expect([doubled.width, doubled.height]).toEqual([14, 10]);
  // Image.frombytes('RGB', (7, 5), data).resize((14, 10), Image.BILINEAR), Pillow 12.3.
  expect(createHash('sha256').update(doubled.data).digest('hex')).toBe(
    'e7e5a2d252dccc11384c11d853190d66b1b4ed9a7f8c29fe2cec0428e7d84f58',
  );
});
