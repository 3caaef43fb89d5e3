import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { crc32, deflateSync } from 'node:zlib';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { build } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findBrowser } from '../../scripts/find-browser.mjs';

/** The browser's decoder in real Chromium, against Pillow's result for the same files. */
const fixtures = new URL('../../packages/processor/test-fixtures/', import.meta.url);
const cases = JSON.parse(readFileSync(new URL('image-cases.json', fixtures), 'utf8')) as Record<
  string,
  { file: string; width: number; height: number; rgb: string }
>;

interface Reply {
  readonly width?: number;
  readonly height?: number;
  readonly sha256?: string;
  readonly rgb?: number[];
  readonly code?: string;
}

let browser: Browser;
let page: Page;

beforeAll(async () => {
  const result = await build({
    configFile: false,
    logLevel: 'silent',
    build: {
      write: false,
      lib: {
        entry: fileURLToPath(new URL('decode-worker.ts', fixtures)),
        formats: ['es'],
        fileName: 'worker',
      },
    },
  });
  const [bundle] = [result].flat();
  if (!('output' in bundle)) throw new Error('Vite gave a watcher instead of a bundle');
  const { code } = bundle.output[0];
  browser = await chromium.launch({
    executablePath: findBrowser(),
    args: ['--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
  });
  page = await browser.newPage();
  await page.route('**/*', (route) =>
    route.request().url().endsWith('.js')
      ? route.fulfill({ contentType: 'text/javascript', body: code })
      : route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>decode</title>' }),
  );
  await page.goto('http://localhost/');
});

afterAll(() => browser?.close());

function decode(file: Uint8Array): Promise<Reply> {
  return page.evaluate(async (bytes) => {
    const worker = new Worker('/worker.js', { type: 'module' });
    const reply = await new Promise<Reply>((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<Reply>) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.postMessage(Uint8Array.from(bytes));
    });
    worker.terminate();
    return reply;
  }, Array.from(file));
}

test.each(Object.entries(cases))(
  '%s decodes to what Pillow gives',
  async (name, { file, width, height, rgb }) => {
    const reply = await decode(Buffer.from(file, 'base64'));
    expect(reply).toMatchObject({ width, height });
    const expected = Buffer.from(rgb, 'base64');
    expect(reply.rgb).toHaveLength(expected.length);
    // JPEG decoders may differ by a few levels; everything else is exact.
    const tolerance = name.endsWith('.jpg') ? 8 : 0;
    const worst = reply.rgb!.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
    expect(worst).toBeLessThanOrEqual(tolerance);
  },
);

test('a damaged file and a text are invalid images', async () => {
  const png = Buffer.from(cases['plain.png'].file, 'base64');
  expect(await decode(png.subarray(0, 45))).toEqual({ code: 'invalid-image' });
  expect(await decode(new TextEncoder().encode('not a picture'))).toEqual({ code: 'invalid-image' });
});

/** A PNG made by hand, so that its pixels are known without any decoder. */
function encodePng(width: number, height: number, rgba: Uint8Array): Uint8Array {
  const chunk = (type: string, data: Uint8Array): Buffer => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
    const framed = Buffer.alloc(body.length + 8);
    framed.writeUInt32BE(data.length, 0);
    body.copy(framed, 4);
    framed.writeUInt32BE(crc32(body), body.length + 4);
    return framed;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 6], 8);
  const rows = Buffer.alloc(height * (width * 4 + 1));
  for (let y = 0; y < height; y++) {
    rows.set(rgba.subarray(y * width * 4, (y + 1) * width * 4), y * (width * 4 + 1) + 1);
  }
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows, { level: 1 })),
    chunk('IEND', new Uint8Array(0)),
  ]);
}

test('a picture larger than one strip keeps its rows in order and the colours under alpha', async () => {
  const [width, height] = [3000, 1500];
  const rgba = new Uint8Array(width * height * 4);
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    const row = Math.floor(i / width);
    // The last rows, in the second strip, are partly or wholly transparent.
    const pixel = [row & 255, (row >> 3) & 255, i % 251, row < 1450 ? 255 : i % 256];
    rgba.set(pixel, i * 4);
    rgb.set(pixel.slice(0, 3), i * 3);
  }
  const reply = await decode(encodePng(width, height, rgba));
  expect(reply).toMatchObject({ width, height });
  expect(reply.sha256).toBe(createHash('sha256').update(rgb).digest('hex'));
});
