import { stringifyManifest } from '@speedq/format';
import { createHash } from 'node:crypto';

export const MODEL_URL = 'https://example.test/model/';

export function shardName(index: number, count: number): string {
  const digits = (value: number): string => String(value).padStart(5, '0');
  return `model-${digits(index + 1)}-of-${digits(count)}.safetensors`;
}

/** The files of a model as a server has them, manifest included. Shards hold whatever is given. */
export function servedModel(
  shards: readonly Uint8Array<ArrayBuffer>[],
): Map<string, Uint8Array<ArrayBuffer>> {
  const names = shards.map((_, index) => shardName(index, shards.length));
  const files = new Map<string, Uint8Array<ArrayBuffer>>([
    ['config.json', new TextEncoder().encode('{}')],
    ['README.md', new TextEncoder().encode('not needed')],
    ...shards.map((shard, index) => [names[index], shard] as const),
  ]);
  const manifest = stringifyManifest({
    name: 'test',
    files: Array.from(files, ([name, bytes]) => ({
      name,
      bytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    })),
    tensors: new Map(
      names.map((file, index) => [
        `weight${index}`,
        { scheme: { kind: 'float', dtype: 'f32' }, shape: [2, 2], parts: [{ file, rows: 2 }] },
      ]),
    ),
    prompt: { systemPrompt: null, imageStart: '<img>', imageContext: '<IMG_CONTEXT>', imageEnd: '</img>' },
    stopTokenIds: [1],
    tiling: { tileSize: 28, minTiles: 1, maxTiles: 1, useThumbnail: false },
    normalization: { mean: [0, 0, 0], std: [1, 1, 1] },
    tokensPerTile: 1,
  });
  return files.set('manifest.json', new TextEncoder().encode(manifest));
}
