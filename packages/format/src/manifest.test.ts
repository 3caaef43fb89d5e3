import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SpeedqError } from './errors.ts';
import { parseManifest, stringifyManifest } from './manifest.ts';
import type { PackedManifest } from './manifest.ts';
import { BILEVEL_2BIT_G16, FLOAT16, SYMMETRIC_4BIT } from './schemes.ts';
import { thrown } from './test-weights.ts';

const sha256 = '0123456789abcdef'.repeat(4);
const shard = (n: number): string => `model-0000${n}-of-00002.safetensors`;
const manifest: PackedManifest = {
  name: 'pico-2bit',
  files: [
    { name: 'config.json', bytes: 900, sha256 },
    { name: shard(1), bytes: 5000, sha256 },
    { name: shard(2), bytes: 4000, sha256 },
  ],
  tensors: new Map([
    [
      'up_proj.weight',
      { scheme: { ...BILEVEL_2BIT_G16 }, shape: [64, 32], parts: [{ file: shard(1), rows: 64 }] },
    ],
    [
      'embed.weight',
      {
        scheme: { ...SYMMETRIC_4BIT },
        shape: [37, 64],
        parts: [
          { file: shard(1), rows: 16 },
          { file: shard(2), rows: 21 },
        ],
      },
    ],
    ['norm.weight', { scheme: { ...FLOAT16 }, shape: [32], parts: [{ file: shard(2), rows: 32 }] }],
  ]),
  prompt: { systemPrompt: null, imageStart: '<img>', imageContext: '<IMG_CONTEXT>', imageEnd: '</img>' },
  stopTokenIds: [151645],
  tiling: { tileSize: 448, minTiles: 1, maxTiles: 12, useThumbnail: true },
  normalization: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  tokensPerTile: 256,
};

it('comes back as it was written', () => {
  expect(parseManifest(stringifyManifest(manifest))).toEqual(manifest);
  const withPrompt = { ...manifest, prompt: { ...manifest.prompt, systemPrompt: '你是…' } };
  expect(parseManifest(stringifyManifest(withPrompt))).toEqual(withPrompt);
});

/** The manifest's JSON with the value at `path` replaced, or removed where undefined. */
function changed(path: readonly (string | number)[], value: unknown): string {
  const json = JSON.parse(stringifyManifest(manifest)) as Record<string, unknown>;
  // A checksum is for accidents: without one the content is all that is looked at.
  delete json.checksum;
  let target = json;
  for (const key of path.slice(0, -1)) target = target[key] as Record<string, unknown>;
  if (value === undefined) delete target[path.at(-1)!];
  else target[path.at(-1)!] = value;
  return JSON.stringify(json);
}

it('finds every changed byte by its checksum', () => {
  const text = stringifyManifest(manifest);
  for (let at = 0; at < text.length; at++) {
    const altered = text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1);
    expect(() => parseManifest(altered), `at ${at}`).toThrow(/manifest/);
  }
});

describe('refuses', () => {
  it.each<[string, (string | number)[], unknown, string]>([
    ['another format', ['format'], 'gguf', '"format"'],
    ['a later version', ['version'], 2, 'version 2 is not supported'],
    ['a missing key', ['tokensPerTile'], undefined, 'lacks "tokensPerTile"'],
    ['an unknown key', ['extra'], 1, 'unknown key "extra"'],
    ['an unknown key of a tensor', ['tensors', 'norm.weight', 'x'], 1, 'unknown key "x"'],
    ['a path', ['files', 0, 'name'], 'a/config.json', 'plain file name'],
    ['a backslash path', ['files', 0, 'name'], 'a\\config.json', 'plain file name'],
    ['the parent folder', ['files', 0, 'name'], '..', 'plain file name'],
    ['dots that climb', ['files', 0, 'name'], 'a..b', 'plain file name'],
    ['a hidden file', ['files', 0, 'name'], '.npmrc', 'plain file name'],
    ['an address', ['files', 0, 'name'], 'https:x', 'plain file name'],
    ['itself', ['files', 0, 'name'], 'manifest.json', 'lists itself'],
    ['a file twice', ['files', 0, 'name'], shard(1), 'twice'],
    ['a negative size', ['files', 0, 'bytes'], -1, 'files[0].bytes should be an integer'],
    ['a shard beyond 32 MiB', ['files', 1, 'bytes'], 33554433, 'files[1].bytes'],
    ['a short checksum', ['files', 0, 'sha256'], 'abc', '64 hexadecimal'],
    [
      'an unlisted shard',
      ['tensors', 'norm.weight', 'parts', 0, 'file'],
      'other.safetensors',
      'does not list',
    ],
    ['parts that do not add up', ['tensors', 'norm.weight', 'parts', 0, 'rows'], 31, 'do not add up to 32'],
    ['no parts', ['tensors', 'norm.weight', 'parts'], [], 'do not add up'],
    ['a cut inside a panel', ['tensors', 'embed.weight', 'parts', 0, 'rows'], 15, 'add up'],
    ['a size of zero', ['tensors', 'norm.weight', 'shape', 0], 0, 'shape[0]'],
    ['a size that is text', ['tensors', 'norm.weight', 'shape', 0], '32', 'shape[0]'],
    ['a product that overflows', ['tensors', 'norm.weight', 'shape'], [2 ** 30, 2 ** 30], 'overflows'],
    ['a scheme that does not divide', ['tensors', 'up_proj.weight', 'shape', 1], 40, 'multiple of 16'],
    ['an unknown scheme', ['tensors', 'up_proj.weight', 'scheme', 'kind'], 'gptq', 'unknown'],
    ['5 bits', ['tensors', 'up_proj.weight', 'scheme', 'bits'], 5, 'one of 2, 3, 4'],
    ['rows of half words', ['tensors', 'up_proj.weight', 'scheme', 'groupSize'], 8, 'no packed layout'],
    ['an unknown zero', ['tensors', 'up_proj.weight', 'scheme', 'zero'], 'float', 'one of integer, minimum'],
    ['an array for an object', ['prompt'], [], 'an object'],
    ['a prompt that is no text', ['prompt', 'systemPrompt'], 5, 'prompt.systemPrompt should be a string'],
    ['a fractional stop token', ['stopTokenIds', 0], 1.5, 'stopTokenIds[0]'],
    ['tiles upside down', ['tiling', 'minTiles'], 13, 'minTiles exceeds'],
    ['text for a switch', ['tiling', 'useThumbnail'], 'yes', 'true or false'],
    ['two channels', ['normalization', 'mean'], [0, 0], '3 numbers'],
    ['no deviation', ['normalization', 'std', 1], 0, 'positive'],
  ])('%s', (_, path, value, message) => {
    const error = thrown(() => parseManifest(changed(path, value)));
    expect(error.code).toBe('invalid-manifest');
    expect(error.message).toContain(message);
  });

  it('a part that ends inside a panel', () => {
    const parts = [
      { file: shard(1), rows: 15 },
      { file: shard(2), rows: 22 },
    ];
    const error = thrown(() => parseManifest(changed(['tensors', 'embed.weight', 'parts'], parts)));
    expect(error.message).toContain('15 rows, not a multiple of 16');
  });

  it('text that is not JSON', () => {
    expect(thrown(() => parseManifest('{"format"')).code).toBe('invalid-manifest');
  });
});

it('answers any JSON with a typed error', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      const error = thrown(() => parseManifest(text));
      expect(error).toBeInstanceOf(SpeedqError);
      expect(error.code).toBe('invalid-manifest');
    }),
    { numRuns: 300 },
  );
});
