import { spread } from '../../engine/grid.ts';
import type { BufferRef, Recorder, Value } from '../../engine/recorder.ts';
import type { RopeOptions } from './program.ts';
import { ROPE_THREADS, ropePairs, ropeProgram } from './program.ts';

/** KV cache of one layer, [capacity, keyValueHeads·headDim] each, and the rotations all layers share. */
export interface LayerCache {
  readonly keys: GPUBuffer | BufferRef;
  readonly values: GPUBuffer | BufferRef;
  readonly ropeTable: GPUBuffer;
}

/** qkv [rows, (heads + 2·keyValueHeads)·headDim]: writes rotated k, and v, to the cache; returns q rotated. */
export function recordRope(recorder: Recorder, qkv: Value, cache: LayerCache, options: RopeOptions): Value {
  const rotated = recorder.value('rotated q', qkv.rows, options.heads * options.headDim);
  const resources = [recorder.params, qkv, cache.ropeTable, rotated, cache.keys, cache.values];
  recorder.dispatch(ropeProgram(options), resources, (count) =>
    spread(Math.ceil((count * ropePairs(options)) / ROPE_THREADS)),
  );
  return rotated;
}
