import type { Scheme } from '@speedq/format';

/** One stored tensor, or one row part of it, inside a shard's bytes. */
export interface StoredTensor {
  /** Canonical parameter name, without the suffixes of kind and part. */
  readonly name: string;
  /** 'codes' and 'meta' of bilevel, 'codes' and 'scales' of symmetric, 'data' of float tensors. */
  readonly part: 'codes' | 'meta' | 'scales' | 'data';
  readonly scheme: Scheme;
  /** Of the whole tensor, before packing and splitting. */
  readonly shape: readonly number[];
  /** First row, and number of rows, that this part holds; 0 and shape[0] where the tensor is whole. */
  readonly rowOffset: number;
  readonly rows: number;
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly dtype: 'U32' | 'F16' | 'BF16' | 'F32';
}

/** A stored tensor before its shard is read. */
export type StoredTensorInfo = Omit<StoredTensor, 'byteOffset' | 'byteLength'>;

export interface WeightShard {
  readonly bytes: Uint8Array;
  readonly tensors: readonly StoredTensor[];
}

/** Weights by canonical name in the stored layout, shard by shard: only one shard is on the heap at a time. */
export interface WeightSource {
  shards(): AsyncIterable<WeightShard>;
}
