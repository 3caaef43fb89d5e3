import { FLOAT32 } from '@speedq/format';
import type { InternVLConfig } from '@speedq/model';
import { HEAD, elementCount, parameterInventory } from '@speedq/model';
import type { StoredTensor, WeightShard, WeightSource } from './source.ts';

/** Below the default limit of a storage binding, 128 MiB. */
const MAX_PART_BYTES = 64 * 2 ** 20;

/**
 * Float32 weights of a checkpoint, tensor by tensor. `read` gives the values of a canonical name in row-major
 * order; for a tied head it may return undefined.
 */
export function floatWeights(
  config: InternVLConfig,
  read: (name: string) => Float32Array | undefined | Promise<Float32Array | undefined>,
): WeightSource {
  return {
    async *shards(): AsyncGenerator<WeightShard> {
      for (const { name, shape } of parameterInventory(config)) {
        const values = await read(name);
        if (values === undefined && name === HEAD) continue;
        if (values === undefined) throw new Error(`No values for ${name}.`);
        const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
        yield { bytes, tensors: splitByRows(name, shape, bytes.byteLength) };
      }
    },
  };
}

function splitByRows(name: string, shape: readonly number[], byteLength: number): StoredTensor[] {
  const whole = { name, part: 'data', scheme: FLOAT32, shape, dtype: 'F32' } as const;
  if (shape.length < 2 || byteLength <= MAX_PART_BYTES) {
    return [{ ...whole, rowOffset: 0, rows: shape[0], byteOffset: 0, byteLength }];
  }
  const rowBytes = elementCount(shape.slice(1)) * 4;
  // multiples of 16 rows, as the packed format splits
  const step = Math.max(16, Math.floor(MAX_PART_BYTES / rowBytes / 16) * 16);
  const parts: StoredTensor[] = [];
  for (let rowOffset = 0; rowOffset < shape[0]; rowOffset += step) {
    const rows = Math.min(step, shape[0] - rowOffset);
    parts.push({ ...whole, rowOffset, rows, byteOffset: rowOffset * rowBytes, byteLength: rows * rowBytes });
  }
  return parts;
}
