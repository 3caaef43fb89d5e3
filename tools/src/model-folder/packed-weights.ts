import {
  MANIFEST_FILE,
  MAX_MANIFEST_BYTES,
  SpeedqError,
  expectedEntries,
  locateEntry,
  parseManifest,
  readPackedTensor,
  unpackToFloat,
} from '@speedq/format';
import type { PackedManifest, PackedTensor, SafetensorsHeader } from '@speedq/format';
import { elementCount } from '@speedq/model';
import type { RawTensorSource } from '@speedq/model';
import { join } from 'node:path';
import { readTextFile } from '../json-file.ts';
import { SafetensorsFile } from '../safetensors-file.ts';
import { exists } from './float-weights.ts';

/** The tensors of a packed folder: as stored, and as the floats they stand for. */
export interface PackedWeights extends RawTensorSource {
  readonly manifest: PackedManifest;
  readPacked(name: string): Promise<PackedTensor>;
  /** Header of a shard, opened on first use. */
  shardHeader(file: string): Promise<SafetensorsHeader>;
  /** Bytes a tensor takes in its shards, as their headers say. */
  storedBytes(name: string): Promise<number>;
  close(): Promise<void>;
}

/** Undefined where the folder has no manifest. Throws `invalid-manifest`. */
export async function openPackedWeights(folder: string): Promise<PackedWeights | undefined> {
  const text = await readTextFile(join(folder, MANIFEST_FILE), {
    code: 'invalid-manifest',
    maxBytes: MAX_MANIFEST_BYTES,
  });
  if (text === undefined) return undefined;
  const manifest = parseManifest(text);
  const shards = new Map<string, Promise<SafetensorsFile>>();
  const open = (name: string): Promise<SafetensorsFile> => {
    const opened = shards.get(name) ?? openShard(folder, name);
    shards.set(name, opened);
    return opened;
  };
  const shape = (name: string): readonly number[] => {
    const tensor = manifest.tensors.get(name);
    if (tensor === undefined) throw new SpeedqError('missing-tensor', `${folder} holds no tensor ${name}.`);
    return tensor.shape;
  };
  const readPacked = (name: string) =>
    readPackedTensor(manifest, name, async (file) => {
      const shard = await open(file);
      return { header: shard.header, read: (info) => shard.read(info) };
    });
  const read = async (name: string) => unpackToFloat(await readPacked(name));
  return {
    manifest,
    names: () => [...manifest.tensors.keys()],
    shape,
    readPacked,
    read,
    async readRows(name, start, end) {
      const rowLength = elementCount(shape(name).slice(1));
      return (await read(name)).slice(start * rowLength, end * rowLength);
    },
    shardHeader: async (file) => (await open(file)).header,
    async storedBytes(name) {
      let bytes = 0;
      shape(name);
      for (const entry of expectedEntries(name, manifest.tensors.get(name)!)) {
        bytes += locateEntry(entry, (await open(entry.file)).header).bytes;
      }
      return bytes;
    },
    async close() {
      for (const shard of await Promise.allSettled(shards.values())) {
        if (shard.status === 'fulfilled') await shard.value.close();
      }
    },
  };
}

async function openShard(folder: string, name: string): Promise<SafetensorsFile> {
  if (!(await exists(join(folder, name)))) {
    throw new SpeedqError(
      'missing-tensor',
      `${folder}: ${name}, which ${MANIFEST_FILE} lists, is not there. Download it or pack the model again.`,
    );
  }
  return SafetensorsFile.open(join(folder, name));
}
