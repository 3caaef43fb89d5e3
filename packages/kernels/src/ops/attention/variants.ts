import type { Variants } from '../../engine/variants.ts';

/**
 * Attention of many queries. 'registers': a thread has one query and its sum in registers. 'tiles': a workgroup
 * multiplies tiles of queries, keys and values from workgroup memory, and few registers hold the sums.
 */
export type AttentionVariant =
  { readonly kind: 'registers' } | { readonly kind: 'tiles'; readonly threads: number };

const REORDERED = 1e-5;

export const ATTENTION_VARIANTS: Variants<AttentionVariant> = {
  plain: { needs: [], tolerance: REORDERED, options: { kind: 'registers' } },
  'tiles-threads64': { needs: [], tolerance: REORDERED, options: { kind: 'tiles', threads: 64 } },
  'tiles-threads128': { needs: [], tolerance: REORDERED, options: { kind: 'tiles', threads: 128 } },
  'tiles-threads256': { needs: [], tolerance: REORDERED, options: { kind: 'tiles', threads: 256 } },
};

/** Attention of the newest token: into how many splits its past is cut at most. */
export interface DecodeVariant {
  readonly splits: number;
}

export const DECODE_VARIANTS: Variants<DecodeVariant> = {
  plain: { needs: [], tolerance: REORDERED, options: { splits: 32 } },
  splits8: { needs: [], tolerance: REORDERED, options: { splits: 8 } },
  splits128: { needs: [], tolerance: REORDERED, options: { splits: 128 } },
};
