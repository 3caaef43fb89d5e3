import { spread } from '../../engine/grid.ts';
import type { BufferRef, Recorder, Value } from '../../engine/recorder.ts';
import type { KeyValueFormat } from '../kv-cache/format.ts';
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
  recorder.dispatch(ropeProgram(options), resources, (count) =>
    spread(Math.ceil((count * ropeQuads(options)) / ROPE_THREADS)),
  );
  return rotated;
}
