import { SpeedqError, tensorToFloats } from '@speedq/format';
import type { TensorInfo } from '@speedq/format';
import type { RawTensorSource } from '@speedq/model';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { readOptionalJsonFile } from '../json-file.ts';
import { SafetensorsFile } from '../safetensors-file.ts';

const SINGLE_FILE = 'model.safetensors';
export const INDEX_FILE = 'model.safetensors.index.json';

/** 65,536 tensors at 200 bytes each. */
const MAX_INDEX_BYTES = 16 << 20;

/** The float tensors of a folder, whatever their names, in one file or in shards. */
export interface FloatWeights extends RawTensorSource {
  readonly files: readonly string[];
  info(name: string): TensorInfo;
  close(): Promise<void>;
}

/** Undefined where the folder holds no safetensors weights under the usual names. */
export async function openFloatWeights(folder: string): Promise<FloatWeights | undefined> {
  const single = await exists(join(folder, SINGLE_FILE));
  const names = single ? [SINGLE_FILE] : await shardNames(folder);
  if (names === undefined) return undefined;
  const files: SafetensorsFile[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(files.map((file) => file.close()));
  };
  try {
    const tensors = new Map<string, { readonly file: SafetensorsFile; readonly info: TensorInfo }>();
    for (const name of names) {
      const file = await SafetensorsFile.open(join(folder, name));
      files.push(file);
      for (const [tensor, info] of file.header.tensors) {
        if (tensors.has(tensor)) {
          throw new SpeedqError(
            'unexpected-tensor',
            `${name}: tensor ${tensor} is in another shard too. Remove the shard that does not belong.`,
          );
        }
        tensors.set(tensor, { file, info });
      }
    }
    const find = (name: string) => {
      const found = tensors.get(name);
      if (found === undefined) throw new SpeedqError('missing-tensor', `${folder} holds no tensor ${name}.`);
      return found;
    };
    return {
      files: names,
      names: () => [...tensors.keys()],
      shape: (name) => find(name).info.shape,
      info: (name) => find(name).info,
      async read(name) {
        const { file, info } = find(name);
        return tensorToFloats(await file.read(info), info.dtype);
      },
      async readRows(name, start, end) {
        const { file, info } = find(name);
        const rowBytes = info.bytes / (info.shape[0] ?? 1);
        return tensorToFloats(await file.read(info, start * rowBytes, (end - start) * rowBytes), info.dtype);
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Shards in the order of their names, from the index that Hugging Face tools write. */
async function shardNames(folder: string): Promise<string[] | undefined> {
  const index = await readOptionalJsonFile(join(folder, INDEX_FILE), {
    code: 'invalid-safetensors',
    maxBytes: MAX_INDEX_BYTES,
  });
  if (index === undefined) return undefined;
  const { weight_map: map } = Object(index) as { readonly weight_map?: unknown };
  const names: unknown[] = [...new Set(Object.values(Object(map) as object))];
  if (names.length === 0) {
    throw new SpeedqError('invalid-safetensors', `${INDEX_FILE}: expected "weight_map" to list tensors.`);
  }
  for (const name of names) {
    // An index must not reach outside its folder.
    if (typeof name !== 'string' || !/^[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors$/.test(name)) {
      throw new SpeedqError(
        'invalid-safetensors',
        `${INDEX_FILE}: ${JSON.stringify(name)} is not the name of a safetensors file in this folder.`,
      );
    }
    if (!(await exists(join(folder, name)))) {
      throw new SpeedqError(
        'missing-tensor',
        `${folder}: shard ${name}, which ${INDEX_FILE} lists, is not there. Download it.`,
      );
    }
  }
  return (names as string[]).sort();
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
