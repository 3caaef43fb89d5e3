import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import type { Sharp } from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodeImage } from './decode-node.ts';
import { sniffImage } from './image/sniff.ts';

const cases = JSON.parse(
  readFileSync(new URL('../test-fixtures/image-cases.json', import.meta.url), 'utf8'),
) as Record<string, { file: string; width: number; height: number; rgb: string }>;
const file = (name: string): Uint8Array => new Uint8Array(Buffer.from(cases[name].file, 'base64'));

describe.each(Object.entries(cases))('%s', (name, { file: base64, width, height, rgb }) => {
  const bytes = new Uint8Array(Buffer.from(base64, 'base64'));

  test('decodes to what Pillow gives', async () => {
    const image = await decodeImage(bytes);
    expect([image.width, image.height]).toEqual([width, height]);
    const expected = Buffer.from(rgb, 'base64');
    // JPEG decoders may differ by a few levels; everything else is exact.
    const tolerance = name.endsWith('.jpg') ? 8 : 0;
    const worst = image.data.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
    expect(image.data.length).toBe(expected.length);
    expect(worst).toBeLessThanOrEqual(tolerance);
  });

  test('is recognised with its size as stored', () => {
    const sniffed = sniffImage(bytes);
    expect(sniffed.format).toBe(name.split('.')[1].replace('jpg', 'jpeg'));
    const isTurned = /orientation-[5-8]/.test(name);
    expect([sniffed.width, sniffed.height]).toEqual(isTurned ? [height, width] : [width, height]);
  });
});

test('takes a Blob and an ArrayBuffer', async () => {
  const bytes = file('plain.png');
  const image = await decodeImage(bytes);
  expect(await decodeImage(new Blob([bytes.slice()]))).toEqual(image);
  expect(await decodeImage(bytes.slice().buffer)).toEqual(image);
});

test.each([
  ['lossy WebP', 'webp', (image: Sharp) => image.webp()],
  ['extended WebP', 'webp', (image: Sharp) => image.webp().withExif({ IFD0: { Artist: 'test' } })],
  ['progressive JPEG', 'jpeg', (image: Sharp) => image.jpeg({ progressive: true })],
  ['AVIF', 'avif', (image: Sharp) => image.avif({ effort: 0 })],
  ['TIFF', 'tiff', (image: Sharp) => image.tiff()],
  ['16-bit PNG', 'png', (image: Sharp) => image.toColourspace('rgb16').png()],
])('reads %s and its size', async (_, format, encode) => {
  const picture = sharp({ create: { width: 123, height: 45, channels: 3, background: '#c83214' } });
  const bytes = new Uint8Array(await encode(picture).toBuffer());
  const { width, height, data } = await decodeImage(bytes);
  expect([width, height, data.length]).toEqual([123, 45, 123 * 45 * 3]);
  [200, 50, 20].forEach((value, channel) => expect(Math.abs(data[channel] - value)).toBeLessThanOrEqual(4));
  const sniffed = sniffImage(bytes);
  expect(sniffed.format).toBe(format);
  if (sniffed.width !== undefined) expect([sniffed.width, sniffed.height]).toEqual([123, 45]);
  expect(sniffed.width !== undefined).toBe(!['avif', 'tiff'].includes(format));
});

const huge = file('plain.png');
new DataView(huge.buffer).setUint32(16, 200_000);

test.each([
  ['nothing', new Uint8Array(0), 'an empty file'],
  ['text', new TextEncoder().encode('hello world'), '68 65 6c 6c'],
  ['a PDF', new TextEncoder().encode('%PDF-1.7 …'), 'a PDF file'],
  ['an SVG', new TextEncoder().encode('<svg xmlns="http://www.w3.org/2000/svg"/>'), 'a SVG file'],
  ['a PNG cut off', file('plain.png').slice(0, 60), 'PNG picture cannot be decoded'],
  ['a PNG signature', file('plain.png').slice(0, 8), 'PNG picture cannot be decoded'],
  ['a JPEG cut off', file('orientation-1.jpg').slice(0, 300), 'JPEG picture cannot be decoded'],
  ['a PNG that claims 200,000 pixels a row', huge, '200000 × 7'],
])('%s is an invalid image, said plainly', async (_, bytes, message) => {
  await expect(decodeImage(bytes)).rejects.toThrow(
    expect.objectContaining({ code: 'invalid-image', message: expect.stringContaining(message) }),
  );
});
