/** A small model with random weights in any scheme, for tests of the engine. */
import { isPackedBilevel, isPackedSymmetric, packFloat, packWeight, unpackToFloat } from '@speedq/format';
import type { PackedTensor, Scheme } from '@speedq/format';
import { elementCount, parameterInventory } from '@speedq/model';
import type { InternVLConfig, ParameterSpec } from '@speedq/model';
import type { StoredTensor, WeightShard, WeightSource } from '../weights/source.ts';
import { randomFloats } from './harness.ts';

/** Widths that every scheme divides; an odd vocabulary. */
export const TINY_CONFIG: InternVLConfig = {
  layout: 'huggingface',
  vision: {
    hiddenSize: 128,
    numLayers: 1,
    numHeads: 2,
    intermediateSize: 256,
    imageSize: 56,
    patchSize: 14,
    layerNormEps: 1e-6,
  },
  language: {
    hiddenSize: 256,
    numLayers: 2,
    numHeads: 4,
    numKeyValueHeads: 2,
    headDim: 64,
    intermediateSize: 384,
    vocabSize: 303,
    rmsNormEps: 1e-6,
    ropeTheta: 1e6,
    maxPositionEmbeddings: 512,
  },
  tokensPerTile: 4,
  imageTokenId: 300,
  mayTieHead: false,
};

/** Every parameter random: norms and layer scales around 1 and 0.5, linears so that activations keep their size. */
export function randomParameters(config: InternVLConfig, seed: number): Map<string, Float32Array> {
  return new Map(
    parameterInventory(config).map(({ name, shape, role }, index) => {
      const centre = { norm: 1, 'layer-scale': 0.5 }[role as string] ?? 0;
      const spread = shape.length >= 2 ? Math.sqrt(3 / elementCount(shape.slice(1))) : 0.2;
      return [name, randomFloats(elementCount(shape), seed * 1000 + index, spread).map((v) => centre + v)];
    }),
  );
}

/** Packs each parameter in the scheme `schemeOf` names; undefined lets the format choose a float one. */
export function packParameters(
  config: InternVLConfig,
  parameters: ReadonlyMap<string, Float32Array>,
  schemeOf: (parameter: ParameterSpec) => Scheme | undefined,
): Map<string, PackedTensor> {
  return new Map(
    parameterInventory(config).map((parameter) => {
      const { name, shape } = parameter;
      const values = parameters.get(name)!;
      const scheme = schemeOf(parameter);
      return [name, scheme ? packWeight(values, shape, scheme, { name }) : packFloat(values, shape)];
    }),
  );
}

/** The values that packed parameters stand for. */
export function unpackParameters(packed: ReadonlyMap<string, PackedTensor>): Map<string, Float32Array> {
  return new Map([...packed].map(([name, tensor]) => [name, unpackToFloat(tensor)]));
}

/** Packed parameters as shards of one tensor each; those in `splits` are cut at these row counts, parts last first. */
export function packedSource(
  packed: ReadonlyMap<string, PackedTensor>,
  splits: Readonly<Record<string, readonly number[]>> = {},
): WeightSource {
  return {
    async *shards(): AsyncGenerator<WeightShard> {
      for (const [name, tensor] of packed) {
        for (const shard of cut(name, tensor, splits[name] ?? [tensor.shape[0]])) yield shard;
      }
      await Promise.resolve();
    },
  };
}

function cut(name: string, tensor: PackedTensor, splits: readonly number[]): WeightShard[] {
  const contents: [StoredTensor['part'], Float32Array | Uint32Array | Uint16Array][] = isPackedBilevel(tensor)
    ? [
        ['codes', tensor.codes],
        ['meta', tensor.meta],
      ]
    : isPackedSymmetric(tensor)
      ? [
          ['codes', tensor.codes],
          ['scales', tensor.scales],
        ]
      : [['data', (tensor as { data: Float32Array | Uint16Array }).data]];
  const { scheme, shape } = tensor;
  let rowOffset = 0;
  const shards = splits.map((rows): WeightShard => {
    const chunks = contents.map(([, data]) => {
      const perRow = data.byteLength / shape[0];
      return new Uint8Array(data.buffer, data.byteOffset + rowOffset * perRow, rows * perRow);
    });
    // an odd start, as shards have where a scales tensor of odd length comes before
    const bytes = new Uint8Array(2 + chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let byteOffset = 2;
    const tensors = contents.map(([part, data], index): StoredTensor => {
      const byteLength = chunks[index].length;
      bytes.set(chunks[index], byteOffset);
      byteOffset += byteLength;
      const dtype = data instanceof Uint32Array ? 'U32' : data instanceof Uint16Array ? 'F16' : 'F32';
      return {
        name,
        part,
        scheme,
        shape,
        rowOffset,
        rows,
        byteOffset: byteOffset - byteLength,
        byteLength,
        dtype,
      };
    });
    rowOffset += rows;
    return { bytes, tensors };
  });
  return shards.reverse();
}
