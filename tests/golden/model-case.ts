import { existsSync } from 'node:fs';
import { parseSafetensors, requireTensor, tensorBytes, tensorToFloats } from '@speedq/format';
import { floatWeights } from '@speedq/kernels';
import { canonicalTensors, parseConfig } from '@speedq/model';
import { expect } from 'vitest';
import { goldenCases, goldenPath, readGolden } from './folder.ts';

/**
 * The reference implementation's inputs and outputs of the whole model. A case is a folder with config.json and
 * model.safetensors; a twin in the original layout has no expectations of its own and must meet those of the case it is
 * named after.
 */
const ORIGINAL = '-original-layout';

export const modelCases = goldenCases('internvl').filter((name) =>
  existsSync(goldenPath('internvl', name, 'config.json')),
);

function open(path: string) {
  const bytes = readGolden('internvl', path);
  const header = parseSafetensors(bytes, path);
  const read = (name: string) => {
    const info = requireTensor(header, name, path);
    return tensorBytes(bytes, info);
  };
  const info = (name: string) => requireTensor(header, name, path);
  return {
    names: () => [...header.tensors.keys()],
    shape: (name: string) => info(name).shape,
    floats: (name: string) => tensorToFloats(read(name), info(name).dtype),
    ids: (name: string) => new Uint32Array(Uint8Array.from(read(name)).buffer),
  };
}

function readJson(...path: string[]): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(readGolden('internvl', ...path))) as Record<string, unknown>;
}

export function openCase(name: string) {
  const source = name.endsWith(ORIGINAL) ? name.slice(0, -ORIGINAL.length) : name;
  const expected = open(`${source}/expected.safetensors`);
  // the original layout leaves the image token to the tokenizer, which goldens do not have
  const imageTokenId = readJson(source, 'config.json').image_token_id as number;
  const config = parseConfig(readJson(name, 'config.json'), { imageTokenId });
  const stored = open(`${name}/model.safetensors`);
  const tensors = canonicalTensors(
    { names: stored.names, shape: stored.shape, read: (tensor) => Promise.resolve(stored.floats(tensor)) },
    config,
  );
  const weights = floatWeights(config, (tensor) => tensors.read(tensor));
  return { expected, config, weights };
}

/** Largest absolute difference; NaN where there is one. */
export function worst(actual: Float32Array, expected: Float32Array): number {
  expect(actual.length).toBe(expected.length);
  return actual.reduce(
    (most, v, i) => (Math.abs(v - expected[i]) <= most ? most : Math.abs(v - expected[i])),
    0,
  );
}
