import { FLOAT16, FLOAT32, isPackedBilevel, isPackedFloat, packWeight } from '@speedq/format';
import type { PackedTensor, Scheme } from '@speedq/format';
import { elementCount, parameterInventory } from '@speedq/model';
import type { InternVLConfig, ParameterSpec } from '@speedq/model';
import { randomFloats } from '../testing/harness.ts';
import type { StoredTensor, WeightShard, WeightSource } from '../weights/source.ts';

/** Rows that are random; the others repeat them. A multiple of every scheme's panel of rows. */
const DISTINCT_ROWS = 128;

/** Random weights in the schemes that `schemeOf` names, as quickly as they can be written. */
export function randomWeights(
  config: InternVLConfig,
  schemeOf: (parameter: ParameterSpec) => Scheme,
): WeightSource {
  return {
    async *shards(): AsyncGenerator<WeightShard> {
      for (const [seed, parameter] of parameterInventory(config).entries()) {
        yield shardOf(parameter, schemeOf(parameter), seed);
        await Promise.resolve();
      }
    },
  };
}

function shardOf(parameter: ParameterSpec, scheme: Scheme, seed: number): WeightShard {
  const { name, shape } = parameter;
  const [rows] = shape;
  const tensors: StoredTensor[] = [];
  const pieces: Uint8Array[] = [];
  let byteOffset = 0;
  for (const [part, dtype, data] of arraysOf(distinctRows(parameter, scheme, seed))) {
    const own = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const byteLength = (own.length / Math.min(rows, DISTINCT_ROWS)) * rows;
    pieces.push(repeat(own, byteLength));
    tensors.push({ name, part, scheme, shape, rowOffset: 0, rows, byteOffset, byteLength, dtype });
    byteOffset += byteLength;
  }
  const bytes = new Uint8Array(byteOffset);
  pieces.forEach((piece, i) => bytes.set(piece, tensors[i].byteOffset));
  return { bytes, tensors };
}

function distinctRows({ name, shape, role }: ParameterSpec, scheme: Scheme, seed: number): PackedTensor {
  const rows = Math.min(shape[0], DISTINCT_ROWS);
  const rest = shape.slice(1);
  const columns = elementCount(rest);
  const centre = role === 'norm' ? 1 : 0;
  const spread = shape.length > 1 ? Math.sqrt(3 / columns) : 0.1;
  const values = randomFloats(rows * columns, seed, spread).map((value) => centre + value);
  return packWeight(values, [rows, ...rest], shape.length % 2 === 0 ? scheme : FLOAT32, { name });
}

function arraysOf(packed: PackedTensor): [StoredTensor['part'], StoredTensor['dtype'], ArrayBufferView][] {
  if (isPackedBilevel(packed))
    return [
      ['codes', 'U32', packed.codes],
      ['meta', 'U32', packed.meta],
    ];
  if (isPackedFloat(packed)) {
    return [['data', packed.scheme.dtype === FLOAT16.dtype ? 'F16' : 'F32', packed.data]];
  }
  return [
    ['codes', 'U32', packed.codes],
    ['scales', 'F16', packed.scales],
  ];
}

function repeat(block: Uint8Array, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += block.length) {
    bytes.set(block.subarray(0, Math.min(block.length, length - at)), at);
  }
  return bytes;
}
