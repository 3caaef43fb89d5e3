import { SpeedqError } from '@speedq/format';
import type { BufferRef, Recorder, Value } from '../../engine/recorder.ts';
import { rowCount } from '../../engine/recorder.ts';
import { decodeAttentionProgram } from './decode-program.ts';
import { QUERIES, attentionProgram } from './program.ts';

interface Heads {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
}

function checkHeads({ heads, keyValueHeads, headDim }: Heads): void {
  if (headDim % 4 !== 0 || headDim > 128 || heads % keyValueHeads !== 0) {
    throw new SpeedqError(
      'unsupported',
      `The WebGPU attention takes a headDim that is a multiple of 4 and at most 128, and heads divisible by ` +
        `keyValueHeads; got headDim ${headDim}, ${heads} heads, ${keyValueHeads} key-value heads.`,
    );
  }
}

/** q, k and v side by side [tiles·tokens, 3·heads·headDim] → [tiles·tokens, heads·headDim]; each tile attends within itself. */
export function recordAttention(
  recorder: Recorder,
  qkv: Value,
  options: { readonly heads: number; readonly headDim: number; readonly tokens: number },
): Value {
  const { heads, headDim, tokens } = options;
  const all = { heads, keyValueHeads: heads, headDim };
  checkHeads(all);
  const y = recorder.value('attention', qkv.rows, heads * headDim);
  const program = attentionProgram({ ...all, span: { kind: 'tiles', tokens } });
  recorder.dispatch(program, [recorder.params, qkv, qkv, qkv, y], (count) => [
    Math.ceil(tokens / QUERIES),
    heads,
    rowCount(qkv.rows, count) / tokens,
  ]);
  return y;
}

/** Rotated q [count, heads·headDim] over the cache, whose rows past…past+count-1 are already written. */
export function recordCausalAttention(
  recorder: Recorder,
  q: Value,
  cache: { readonly keys: GPUBuffer | BufferRef; readonly values: GPUBuffer | BufferRef },
  heads: Heads,
): Value {
  checkHeads(heads);
  const y = recorder.value('attention', q.rows, q.width);
  const resources = [recorder.params, q, cache.keys, cache.values, y];
  if (recorder.maxCount === 1) {
    recorder.dispatch(decodeAttentionProgram(heads), resources, () => [heads.heads, 1, 1]);
  } else {
    const program = attentionProgram({ ...heads, span: { kind: 'causal' } });
    recorder.dispatch(program, resources, (count) => [Math.ceil(count / QUERIES), heads.heads, 1]);
  }
  return y;
}
