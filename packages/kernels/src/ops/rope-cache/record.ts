import { spread } from '../../engine/grid.ts';
import type { BufferRef, Recorder, Value } from '../../engine/recorder.ts';
import { valueBytes } from '../../engine/recorder.ts';
import type { KeyValueFormat } from '../kv-cache/format.ts';
import { cacheRowWords } from '../kv-cache/format.ts';
import type { RopeOptions } from './code.ts';
import { ROPE_THREADS, ropeProgram, ropeQuads } from './program.ts';

/** KV cache of one layer, a row of `format` for each token, and the rotations all layers share. */
export interface LayerCache {
  readonly format: KeyValueFormat;
  readonly keys: GPUBuffer | BufferRef;
  readonly values: GPUBuffer | BufferRef;
  readonly ropeTable: GPUBuffer;
}

/** qkv [rows, (heads + 2·keyValueHeads)·headDim]: writes rotated k, and v, to the cache; returns q rotated. */
export function recordRope(
  recorder: Recorder,
  qkv: Value,
  cache: LayerCache,
  { heads, keyValueHeads, headDim }: Omit<RopeOptions, 'format'>,
): Value {
  const options = { heads, keyValueHeads, headDim, format: cache.format };
  const rotated = recorder.value('rotated q', qkv.rows, heads * headDim);
  const resources = [recorder.params, qkv, cache.ropeTable, rotated, cache.keys, cache.values];
  const cacheRowBytes = 2 * cacheRowWords(cache.format, options) * 4;
  recorder.dispatch(
    ropeProgram(options),
    resources,
    (count) => spread(Math.ceil((count * ropeQuads(options)) / ROPE_THREADS)),
    {
      what: 'rotation and cache write',
      // Each row has its angles.
      of: ({ count }) => ({
        bytes: valueBytes(qkv, count) + valueBytes(rotated, count) + count * (cacheRowBytes + headDim * 4),
        operations: 3 * count * qkv.width,
      }),
    },
  );
  return rotated;
}
