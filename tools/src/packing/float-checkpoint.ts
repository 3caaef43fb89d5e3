import { SpeedqError, floatsToBfloats, floatsToHalves, safetensorsHeader } from '@speedq/format';
import { elementCount } from '@speedq/model';
import { open } from 'node:fs/promises';

export type FloatDtype = 'F32' | 'F16' | 'BF16';

export interface FloatTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** The values in row-major order, in as many pieces as the caller likes. */
  readonly chunks: () => AsyncIterable<Float32Array> | Iterable<Float32Array>;
}

/**
 * Writes a safetensors file piece by piece, so that its size is bounded by the disk alone. The metadata is what
 * transformers expects of a PyTorch checkpoint. Throws `shape-mismatch` where pieces and shape differ in size.
 */
export async function writeFloatCheckpoint(
  path: string,
  tensors: readonly FloatTensor[],
  dtype: FloatDtype,
  onTensor?: (done: number, total: number) => void,
): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await file.writeFile(
      safetensorsHeader(
        tensors.map(({ name, shape }) => ({ name, shape, dtype })),
        { format: 'pt' },
      ),
    );
    for (const [index, { name, shape, chunks }] of tensors.entries()) {
      let left = elementCount(shape);
      for await (const chunk of chunks()) {
        left -= chunk.length;
        await file.writeFile(encode(chunk, dtype));
      }
      if (left !== 0) {
        throw new SpeedqError(
          'shape-mismatch',
          `${name}: ${Math.abs(left)} values too ${left > 0 ? 'few' : 'many'}.`,
        );
      }
      onTensor?.(index + 1, tensors.length);
    }
  } finally {
    await file.close();
  }
}

function encode(values: Float32Array, dtype: FloatDtype): Uint8Array {
  const data = dtype === 'F32' ? values : dtype === 'F16' ? floatsToHalves(values) : floatsToBfloats(values);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
