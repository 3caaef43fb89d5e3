import { checkShard, expectedEntries, locateEntry, parseSafetensors, SpeedqError } from '@speedq/format';
import type { PackedManifest } from '@speedq/format';
import type { StoredTensor, StoredTensorInfo, WeightShard, WeightSource } from '@speedq/kernels';
import { HEAD, parameterInventory } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import type { ModelFiles } from './loading/model-files.ts';

/** The shards of a packed model, each read, verified and handed on by itself. */
export function packedWeights(files: ModelFiles): WeightSource {
  return {
    async *shards() {
      // Nothing here names a shard: it would be held while the next one is read.
      for (const file of shardFiles(files.manifest)) yield await readShard(files, file);
    },
  };
}

async function readShard(files: ModelFiles, file: string): Promise<WeightShard> {
  const bytes = await files.read(file);
  return { bytes, tensors: tensorsOf(files.manifest, file, bytes) };
}

function shardFiles({ tensors }: PackedManifest): string[] {
  return [...new Set([...tensors.values()].flatMap(({ parts }) => parts.map(({ file }) => file)))].sort();
}

/** What the shards hold, as the manifest tells it. */
export function* listTensors({ tensors }: PackedManifest): Generator<StoredTensorInfo> {
  for (const [name, tensor] of tensors) {
    for (const { kind: part, rowStart: rowOffset, rows, dtype } of expectedEntries(name, tensor)) {
      const { scheme, shape } = tensor;
      yield { name, part, scheme, shape, rowOffset, rows, dtype: dtype as StoredTensor['dtype'] };
    }
  }
}

/** @throws {SpeedqError} `invalid-safetensors`, `missing-tensor`, `shape-mismatch`. */
function tensorsOf(manifest: PackedManifest, file: string, bytes: Uint8Array): StoredTensor[] {
  const header = parseSafetensors(bytes, file);
  checkShard(manifest, file, header);
  const stored: StoredTensor[] = [];
  for (const [name, tensor] of manifest.tensors) {
    for (const entry of expectedEntries(name, tensor)) {
      if (entry.file !== file) continue;
      const { offset, bytes: byteLength } = locateEntry(entry, header);
      stored.push({
        name,
        part: entry.kind,
        scheme: tensor.scheme,
        shape: tensor.shape,
        rowOffset: entry.rowStart,
        rows: entry.rows,
        byteOffset: offset,
        byteLength,
        // Packed models hold no other dtypes; locateEntry has compared it with the scheme's.
        dtype: entry.dtype as StoredTensor['dtype'],
      });
    }
  }
  return stored;
}

/**
 * Compares the manifest with what the architecture needs, before any shard is fetched.
 * @throws {SpeedqError} `missing-tensor`, `shape-mismatch`, `invalid-manifest`.
 */
export function checkModel(config: InternVLConfig, manifest: PackedManifest): void {
  for (const { name, shape } of parameterInventory(config)) {
    const tensor = manifest.tensors.get(name);
    if (!tensor) {
      if (name === HEAD && config.mayTieHead) continue;
      throw new SpeedqError(
        'missing-tensor',
        `The manifest has no tensor ${name}, which config.json asks for. Pack the model again.`,
      );
    }
    if (String(tensor.shape) !== String(shape)) {
      throw new SpeedqError(
        'shape-mismatch',
        `${name} should be [${shape.join(', ')}] by config.json; the manifest says ` +
          `[${tensor.shape.join(', ')}]. Pack the model again.`,
      );
    }
  }
  const { tiling, tokensPerTile } = manifest;
  if (tiling.tileSize !== config.vision.imageSize || tokensPerTile !== config.tokensPerTile) {
    throw new SpeedqError(
      'invalid-manifest',
      `The manifest has tiles of ${tiling.tileSize} pixels and ${tokensPerTile} tokens; config.json says ` +
        `${config.vision.imageSize} and ${config.tokensPerTile}. Pack the model again.`,
    );
  }
}
