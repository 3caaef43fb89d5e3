import { bitsPerWeight, packedBytes, schemeName } from '@speedq/format';
import type { Scheme } from '@speedq/format';
import { elementCount } from '@speedq/model';
import type { ParameterSpec } from '@speedq/model';

/** Tensors of one part stored in one scheme. */
export interface StorageRow {
  readonly part: string;
  readonly scheme: string;
  readonly tensors: number;
  readonly parameters: number;
  readonly bytes: number;
  /** By the formulas of docs/format.md; undefined where the scheme is not ours. */
  readonly formulaBytes: number;
  readonly bitsPerWeight: number;
  readonly formulaBitsPerWeight: number;
}

export interface StoredParameter {
  readonly parameter: ParameterSpec;
  readonly scheme: Scheme;
  readonly bytes: number;
}

/** Sums over tensors of the same part and scheme, in model order. */
export function summarizeStorage(stored: readonly StoredParameter[]): StorageRow[] {
  const rows = new Map<string, StoredParameter[]>();
  for (const item of stored) {
    const key = `${item.parameter.part} ${schemeName(item.scheme)}`;
    const list = rows.get(key);
    if (list === undefined) rows.set(key, [item]);
    else list.push(item);
  }
  return [...rows.values()].map((items) => {
    const { parameter, scheme } = items[0];
    const parameters = sum(items, (item) => elementCount(item.parameter.shape));
    const bytes = sum(items, (item) => item.bytes);
    return {
      part: parameter.part,
      scheme: schemeName(scheme),
      tensors: items.length,
      parameters,
      bytes,
      formulaBytes: sum(items, (item) => packedBytes(item.scheme, item.parameter.shape, item.parameter.name)),
      bitsPerWeight: (bytes * 8) / parameters,
      formulaBitsPerWeight: bitsPerWeight(scheme),
    };
  });
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
