import { spread } from '../../engine/grid.ts';
import type { Recorder, Value } from '../../engine/recorder.ts';
import type { RopeOptions } from './program.ts';
import { ROPE_THREADS, ropePairs, ropeProgram } from './program.ts';

/** KV cache of one layer, [maxContext, keyValueHeads·headDim] each, and the rotations all layers share. */
export interface LayerCache {
  readonly keys: GPUBuffer;
  readonly values: GPUBuffer;
  readonly ropeTable: GPUBuffer;
}

/** Writes rotated k, and v, to the cache; returns q rotated. */
export function recordRope(
  recorder: Recorder,
  q: Value,
  k: Value,
  v: Value,
  cache: LayerCache,
  options: RopeOptions,
): Value {
  const rotated = recorder.value('rotated q', q.rows, q.width);
  const resources = [recorder.params, q, k, v, cache.ropeTable, rotated, cache.keys, cache.values];
  recorder.dispatch(ropeProgram(options), resources, (count) =>
    spread(Math.ceil((count * ropePairs(options)) / ROPE_THREADS)),
  );
  return rotated;
}
