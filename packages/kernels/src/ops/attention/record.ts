import { SpeedqError } from '@speedq/format';
import type { Recorder, Value } from '../../engine/recorder.ts';
import { ONE_ROW, rowCount } from '../../engine/recorder.ts';
import { chosenVariant } from '../../engine/variants.ts';
import type { LayerCache } from '../rope-cache/record.ts';
import { recordRope } from '../rope-cache/record.ts';
import { decodeProgram, headsTogether, mergeProgram } from './decode-program.ts';
import { QUERIES, attentionProgram } from './program.ts';
import type { AttentionOptions } from './span.ts';
import { tileShape, tiledAttentionProgram } from './tiled-program.ts';
import { ATTENTION_VARIANTS, DECODE_VARIANTS } from './variants.ts';

export interface Heads {
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

/** The names under which variants for these heads are chosen (VariantChoice). */
function attentionKey(kind: 'tiles' | 'causal', { heads, keyValueHeads, headDim }: Heads): string {
  return `attention ${kind} ${heads}/${keyValueHeads}x${headDim}`;
}
function decodeKey({ heads, keyValueHeads, headDim }: Heads): string {
  return `decode-attention ${heads}/${keyValueHeads}x${headDim}`;
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
  const { program, queries } = manyQueries(recorder, { ...all, span: { kind: 'tiles', tokens } });
  recorder.dispatch(program, [recorder.params, qkv, qkv, qkv, y], (count) => [
    Math.ceil(tokens / queries),
    heads,
    rowCount(qkv.rows, count) / tokens,
  ]);
  return y;
}

/**
 * qkv [count, (heads + 2·keyValueHeads)·headDim], q, k and v side by side, unrotated: k and v go to the cache rows
 * past…past+count-1, then each query attends to the rows up to its own. Two dispatches.
 */
export function recordCausalAttention(
  recorder: Recorder,
  qkv: Value,
  cache: LayerCache,
  { heads, keyValueHeads, headDim }: Heads,
): Value {
  const shape = { heads, keyValueHeads, headDim };
  checkHeads(shape);
  const { format, keys, values } = cache;
  const y = recorder.value('attention', qkv.rows, heads * headDim);
  if (recorder.maxCount > 1) {
    const q = recordRope(recorder, qkv, cache, shape);
    const { program, queries } = manyQueries(recorder, { ...shape, span: { kind: 'causal', format } });
    recorder.dispatch(program, [recorder.params, q, keys, values, y], (count) => [
      Math.ceil(count / queries),
      heads,
      1,
    ]);
    return y;
  }
  const { splits } = chosenVariant(recorder.variants, DECODE_VARIANTS, {
    op: 'decode-attention',
    key: decodeKey(shape),
    suits: () => true,
  });
  const options = { ...shape, format, splits };
  const sums = recorder.value('sums of splits', ONE_ROW, heads * splits * headDim);
  const stats = recorder.value('stats of splits', ONE_ROW, heads * splits * 2);
  recorder.dispatch(
    decodeProgram(options),
    [recorder.params, qkv, cache.ropeTable, keys, values, sums, stats],
    () => [splits, heads / headsTogether(options), 1],
  );
  recorder.dispatch(mergeProgram(options), [recorder.params, sums, stats, y], () => [heads, 1, 1]);
  return y;
}

/** The program of many queries, and how many of them one of its workgroups takes. */
function manyQueries(recorder: Recorder, options: AttentionOptions) {
  const variant = chosenVariant(recorder.variants, ATTENTION_VARIANTS, {
    op: 'attention',
    key: attentionKey(options.span.kind, options),
    suits: () => true,
  });
  return variant.kind === 'tiles'
    ? {
        program: tiledAttentionProgram(options, variant.threads),
        queries: tileShape(options.headDim).queries,
      }
    : { program: attentionProgram(options), queries: QUERIES };
}
