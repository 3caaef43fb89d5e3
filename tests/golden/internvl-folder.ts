import { readdirSync, existsSync } from 'node:fs';
import { parseSafetensors, requireTensor, tensorBytes, tensorToFloats } from '@speedq/format';
import type { InternVLConfig } from '@speedq/model';
import { withModelFolder } from '../../tools/src/model-folder.ts';
import { goldenPath, readGolden } from './folder.ts';

const FOLDER = 'internvl';
const TWIN = '-original-layout';

/** Folders that hold a model, each with the folder whose expected values it must meet. */
export function internvlCases(): { name: string; expected: string }[] {
  const has = (name: string, file: string) => existsSync(goldenPath(FOLDER, name, file));
  const cases = readdirSync(goldenPath(FOLDER))
    .filter((name) => has(name, 'config.json') && has(name, 'model.safetensors'))
    .sort()
    .map((name) => ({ name, expected: name.endsWith(TWIN) ? name.slice(0, -TWIN.length) : name }));
  if (cases.length === 0) throw new Error(`no golden models in ${goldenPath(FOLDER)}`);
  return cases;
}

/** A file of a golden model: float and integer tensors by name. */
export function openTensors(...path: string[]) {
  return openTensorFile(FOLDER, ...path);
}

/** The same anywhere in the goldens folder. */
export function openTensorFile(...path: string[]) {
  const file = path.join('/');
  const bytes = readGolden(...path);
  const header = parseSafetensors(bytes, file);
  return {
    names: [...header.tensors.keys()],
    shape: (name: string) => requireTensor(header, name, file).shape,
    floats(name: string): Float32Array {
      const info = requireTensor(header, name, file);
      return tensorToFloats(tensorBytes(bytes, info), info.dtype);
    },
    integers(name: string): Int32Array {
      const info = requireTensor(header, name, file);
      const { buffer } = Uint8Array.from(tensorBytes(bytes, info));
      return info.dtype === 'I8' ? Int32Array.from(new Int8Array(buffer)) : new Int32Array(buffer);
    },
  };
}

export interface GoldenModel {
  readonly config: InternVLConfig;
  readonly parameters: ReadonlyMap<string, Float32Array>;
}

/** A golden model whole in memory, under canonical names. */
export function readModel(name: string): Promise<GoldenModel> {
  return withModelFolder(goldenPath(FOLDER, name), async ({ config, tensors }) => {
    const parameters = new Map<string, Float32Array>();
    for (const spec of tensors.parameters) parameters.set(spec.name, await tensors.read(spec.name));
    return { config, parameters };
  });
}

export function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) {
    throw new Error(`${actual.length} values, expected ${expected.length}`);
  }
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    // NaN must not pass.
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

/** ‖actual − expected‖ / ‖expected‖. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) {
    throw new Error(`${actual.length} values, expected ${expected.length}`);
  }
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    size += expected[i] ** 2;
  }
  return Math.sqrt(difference / size);
}
