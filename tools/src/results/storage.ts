import type { StorageRow } from '../packing/summary.ts';

/** Bits a weight of the quantized linears of encoder and language model. */
export function linearBits(storage: readonly StorageRow[]): number {
  return averageBits(
    storage.filter(({ part, scheme }) => /vision|language/.test(part) && /bit/.test(scheme)),
  );
}

/** Bits a parameter. */
export function averageBits(storage: readonly StorageRow[]): number {
  const total = storage.reduce((sum, row) => sum + row.bytes, 0);
  return (8 * total) / storage.reduce((sum, row) => sum + row.parameters, 0);
}
