import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_SHARD_BYTES } from './limits.ts';
import { parseManifest, stringifyManifest } from './manifest.ts';
import type { PackedManifest } from './manifest.ts';
import type { PackedTensor } from './pack.ts';
import { packWeight } from './pack-weight.ts';
import { checkShard, readPackedTensor, sha256, verifyFile } from './packed-reader.ts';
import { parseSafetensors, tensorBytes, writeSafetensors } from './safetensors.ts';
import {
  BILEVEL_2BIT_G128,
  BILEVEL_2BIT_G16,
  BILEVEL_3BIT_G16,
  BILEVEL_4BIT_G32,
  FLOAT16,
  FLOAT32,
  SCHEMES,
  SYMMETRIC_4BIT,
} from './schemes.ts';
import { planShards, shardIndex, writeShards } from './shards.ts';
import { gaussian, thrown } from './test-weights.ts';

function packed(scheme: PackedTensor['scheme'], shape: readonly number[], seed = 1): PackedTensor {
  const weight = gaussian(
    shape.reduce((product, size) => product * size, 1),
    seed,
    0.02,
  );
  return packWeight(weight, shape, scheme);
}

async function writeModel(tensors: ReadonlyMap<string, PackedTensor>, maxBytes?: number) {
  const planned = [...tensors].map(([name, { scheme, shape }]) => ({ name, scheme, shape }));
  const plan = planShards(planned, { maxBytes });
  const shards = new Map<string, Uint8Array>();
  for await (const { name, bytes } of writeShards(plan, (name) => tensors.get(name)!))
    shards.set(name, bytes);
  const files = await Promise.all(
    [...shards].map(async ([name, bytes]) => ({ name, bytes: bytes.length, sha256: await sha256(bytes) })),
  );
  const manifest: PackedManifest = {
    name: 'test',
    files,
    tensors: plan.tensors,
    prompt: { systemPrompt: null, imageStart: '<img>', imageContext: '<IMG_CONTEXT>', imageEnd: '</img>' },
    stopTokenIds: [1],
    tiling: { tileSize: 56, minTiles: 1, maxTiles: 1, useThumbnail: false },
    normalization: { mean: [0, 0, 0], std: [1, 1, 1] },
    tokensPerTile: 4,
  };
  const open = (file: string) => {
    const bytes = shards.get(file)!;
    return { header: parseSafetensors(bytes, file), read: (info: never) => tensorBytes(bytes, info) };
  };
  return { plan, shards, manifest, open };
}

const model = new Map<string, PackedTensor>([
  ['norm.weight', packed(FLOAT16, [96])],
  ['scalar', packed(FLOAT32, [])],
  ['patch.weight', packed(FLOAT16, [8, 3, 14, 14])],
  ['embed.weight', packed(SYMMETRIC_4BIT, [57, 96])],
  ['up.weight', packed(BILEVEL_2BIT_G16, [96, 64])],
  ['down.weight', packed(BILEVEL_4BIT_G32, [256, 96])],
  ['gate.weight', packed(BILEVEL_2BIT_G128, [48, 128])],
  ['q.weight', packed(SCHEMES['2bit-g16-min'], [48, 80])],
  ['k.weight', packed(BILEVEL_3BIT_G16, [48, 80])],
  ['v.weight', packed(SCHEMES['3bit-g16-min'], [32, 48])],
  ['head.weight', packed(SCHEMES['3bit-symmetric'], [57, 96])],
]);

describe.each([
  ['one shard', undefined],
  ['many shards', 12_288],
])('a model in %s', (_, maxBytes) => {
  it('comes back tensor by tensor', async () => {
    const { manifest, open, shards } = await writeModel(model, maxBytes);
    expect(shards.size > 1).toBe(maxBytes !== undefined);
    const parsed = parseManifest(stringifyManifest(manifest));
    for (const [name, tensor] of model) expect(await readPackedTensor(parsed, name, open)).toEqual(tensor);
  });

  it('keeps to the shard size, starts data at 256 and every tensor at its alignment', async () => {
    const { shards, manifest } = await writeModel(model, maxBytes);
    for (const [file, bytes] of shards) {
      expect(bytes.length).toBeLessThanOrEqual(maxBytes ?? MAX_SHARD_BYTES);
      const header = parseSafetensors(bytes, file);
      expect(header.dataOffset % 256).toBe(0);
      for (const { offset, bytes: size } of header.tensors.values()) {
        const alignment = [256, 128, 64, 32, 16, 8, 4, 2].find((power) => size % power === 0)!;
        expect(offset % alignment).toBe(0);
      }
      expect(() => checkShard(manifest, file, header)).not.toThrow();
    }
  });

  it('is listed in the index', async () => {
    const { plan, shards } = await writeModel(model, maxBytes);
    const index = JSON.parse(shardIndex(plan)) as { weight_map: Record<string, string> };
    const stored = [...shards].flatMap(([file, bytes]) =>
      [...parseSafetensors(bytes).tensors.keys()].map((name) => [name, file]),
    );
    expect(index.weight_map).toEqual(Object.fromEntries(stored));
  });
});

it('splits a tensor of random shape into panels that join to the whole', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(
        BILEVEL_2BIT_G16,
        SCHEMES['2bit-g16-min'],
        BILEVEL_3BIT_G16,
        BILEVEL_4BIT_G32,
        SYMMETRIC_4BIT,
        SCHEMES['3bit-symmetric'],
        FLOAT32,
      ),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 18_000, max: 40_000 }),
      async (scheme, panels, groups, maxBytes) => {
        const rows = scheme.kind === 'bilevel' ? panels * scheme.scaleGroupSize : panels * 23;
        const tensor = packed(scheme, [rows, groups * 32]);
        const { manifest, open, shards } = await writeModel(new Map([['x', tensor]]), maxBytes);
        for (const bytes of shards.values()) expect(bytes.length).toBeLessThanOrEqual(maxBytes);
        expect(await readPackedTensor(manifest, 'x', open)).toEqual(tensor);
      },
    ),
    { numRuns: 40 },
  );
});

it('plans the embedding table of InternVL3-1B in parts of whole 16-row steps under 32 MiB', () => {
  const { shards, tensors } = planShards([{ name: 'embed', scheme: SYMMETRIC_4BIT, shape: [151674, 896] }]);
  const { parts } = tensors.get('embed')!;
  expect(parts.map(({ rows }) => rows).reduce((a, b) => a + b)).toBe(151674);
  expect(parts.length).toBe(3);
  expect(parts.slice(0, -1).every(({ rows }) => rows % 16 === 0)).toBe(true);
  expect(shards[1].entries.map(({ name }) => name).sort()).toEqual([
    'embed.codes.part1',
    'embed.scales.part1',
  ]);
  expect(shards[1].file).toBe('model-00002-of-00003.safetensors');
});

it('refuses a panel larger than a shard, and a tensor planned twice', () => {
  const wide = { name: 'wide', scheme: BILEVEL_4BIT_G32, shape: [128, 4096] };
  expect(thrown(() => planShards([wide], { maxBytes: 65536 })).code).toBe('invalid-argument');
  expect(thrown(() => planShards([wide, wide])).code).toBe('invalid-argument');
});

it('refuses to write a tensor other than planned', async () => {
  const plan = planShards([{ name: 'x', scheme: FLOAT32, shape: [4] }]);
  const write = writeShards(plan, () => packed(FLOAT32, [2, 2]));
  await expect(write.next()).rejects.toMatchObject({ code: 'shape-mismatch' });
});

describe('a shard that differs from its manifest', () => {
  const small = new Map([['up.weight', model.get('up.weight')!]]);
  const rewritten = (
    change: (tensors: { name: string; dtype: 'U32'; shape: number[]; data: Uint32Array }[]) => void,
  ) => {
    const { codes, meta } = small.get('up.weight') as {
      codes: Uint32Array;
      meta: Uint32Array;
    } & PackedTensor;
    const tensors = [
      { name: 'up.weight.codes', dtype: 'U32' as const, shape: [6, 4, 16, 1], data: codes },
      { name: 'up.weight.meta', dtype: 'U32' as const, shape: [6, 4, 4], data: meta },
    ];
    change(tensors);
    return parseSafetensors(writeSafetensors(tensors));
  };

  it.each([
    ['nothing', () => undefined, undefined],
    ['a tensor less', (tensors: unknown[]) => void tensors.pop(), 'missing-tensor'],
    [
      'another shape',
      (tensors: { shape: number[] }[]) => void (tensors[0].shape = [6, 4, 4, 4]),
      'shape-mismatch',
    ],
    [
      'a tensor more',
      (tensors: unknown[]) =>
        void tensors.push({ name: 'x', dtype: 'U32', shape: [1], data: Uint32Array.of(1) }),
      'invalid-safetensors',
    ],
  ])('by %s', async (_, change, code) => {
    const { manifest } = await writeModel(small);
    const check = () => checkShard(manifest, 'model-00001-of-00001.safetensors', rewritten(change));
    if (code === undefined) expect(check).not.toThrow();
    else expect(thrown(check).code).toBe(code);
  });

  it('or lacks the tensor asked for', async () => {
    const { manifest, open } = await writeModel(small);
    await expect(readPackedTensor(manifest, 'lm_head.weight', open)).rejects.toMatchObject({
      code: 'missing-tensor',
    });
  });
});

describe('verifyFile', () => {
  it('knows the SHA-256 of "abc"', async () => {
    expect(await sha256(new TextEncoder().encode('abc'))).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
  });

  it('accepts the file, refuses it cut, altered or unknown', async () => {
    const { manifest, shards } = await writeModel(model);
    const [[name, bytes]] = shards;
    await expect(verifyFile(manifest, name, bytes)).resolves.toBeUndefined();
    await expect(verifyFile(manifest, name, bytes.subarray(1))).rejects.toMatchObject({
      code: 'file-truncated',
    });
    const altered = bytes.slice();
    altered[altered.length - 1] ^= 1;
    await expect(verifyFile(manifest, name, altered)).rejects.toMatchObject({ code: 'checksum-mismatch' });
    await expect(verifyFile(manifest, 'other', bytes)).rejects.toMatchObject({ code: 'invalid-manifest' });
  });
});
