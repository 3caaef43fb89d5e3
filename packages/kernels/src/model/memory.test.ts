import { BILEVEL_2BIT_G16, BILEVEL_4BIT_G32, FLOAT16, FLOAT32, SYMMETRIC_4BIT } from '@speedq/format';
import type { Scheme } from '@speedq/format';
import { HEAD, parameterInventory } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { describe, expect, it } from 'vitest';
import { INTERNVL3_1B } from '../bench/shapes.ts';
import type { StoredTensor } from '../weights/source.ts';
import { storedBytes } from '../weights/store.ts';
import { memoryBudget } from './memory.ts';

type Tensor = Omit<StoredTensor, 'byteOffset' | 'byteLength'>;

/** The tensors of a packed model: linears in `scheme`, tables in 4 bits, everything else in halves. */
function packedTensors(config: InternVLConfig, scheme: Scheme): Tensor[] {
  return parameterInventory(config).flatMap(({ name, shape, role }): Tensor[] => {
    const whole = { name, shape, rowOffset: 0, rows: shape[0] };
    if (role === 'embedding' || name === HEAD) {
      return [
        { ...whole, part: 'codes', scheme: SYMMETRIC_4BIT, dtype: 'U32' },
        { ...whole, part: 'scales', scheme: SYMMETRIC_4BIT, dtype: 'F16' },
      ];
    }
    if (role === 'linear') {
      return [
        { ...whole, part: 'codes', scheme, dtype: 'U32' },
        { ...whole, part: 'meta', scheme, dtype: 'U32' },
      ];
    }
    return [{ ...whole, part: 'data', scheme: FLOAT16, dtype: 'F16' }];
  });
}

describe('memoryBudget', () => {
  it.each([
    ['2 bits', BILEVEL_2BIT_G16, 4096],
    ['4 bits', BILEVEL_4BIT_G32, 4096],
    ['2 bits, long context', BILEVEL_2BIT_G16, 32_768],
  ])(
    'InternVL3-1B at %s takes its packed bytes, its cache and at most a tenth more',
    (_, scheme, maxContext) => {
      const tensors = packedTensors(INTERNVL3_1B, scheme);
      const packed = tensors.reduce((sum, tensor) => sum + storedBytes(tensor), 0);
      // keys and values, 24 layers, two heads of 64, float32
      const cache = maxContext * 24 * 2 * 2 * 64 * 4;
      const { loaded, full } = memoryBudget(INTERNVL3_1B, tensors, { maxContext, maxTiles: 13 });
      expect(full.kvCache).toBe(cache);
      expect(full.total).toBeLessThan((packed + cache) * 1.1);
      expect(loaded.kvCache).toBe((cache / maxContext) * 512);
      expect(loaded.images).toBe(0);
      for (const use of [loaded, full]) {
        expect(use.total).toBe(use.weights + use.kvCache + use.images + use.activations);
      }
    },
  );

  it('is refused where a binding would be larger than the device allows', () => {
    const tensors = packedTensors(INTERNVL3_1B, FLOAT32).map((tensor) => ({ ...tensor }));
    const small = { maxStorageBufferBindingSize: 2 ** 20, maxBufferSize: 2 ** 28 };
    expect(() => memoryBudget(INTERNVL3_1B, tensors, { maxContext: 4096 }, small)).toThrow(
      expect.objectContaining({ code: 'out-of-memory' }),
    );
  });
});
