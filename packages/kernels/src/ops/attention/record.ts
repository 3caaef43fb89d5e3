import { SpeedqError } from '@speedq/format';
import type { Recorder, Resource, Value, Work } from '../../engine/recorder.ts';
import { ONE_ROW, dispatchOf, rowCount, valueBytes } from '../../engine/recorder.ts';
import { cacheRowWords } from '../kv-cache/format.ts';
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
  const size = (count: number) => ({ queries: tokens, tiles: rowCount(qkv.rows, count) / tokens });
  recordMany(recorder, { ...all, span: { kind: 'tiles', tokens } }, [qkv, qkv, qkv, y], size, {
    what: `attention of ${tokens} patches`,
    of: ({ count }) => ({
      bytes: valueBytes(qkv, count) + valueBytes(y, count),
      operations: 4 * rowCount(qkv.rows, count) * tokens * heads * headDim,
    }),
  });
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
  const cacheRowBytes = 2 * cacheRowWords(format, shape) * 4;
  if (recorder.maxCount > 1) {
    const q = recordRope(recorder, qkv, cache, shape);
    const options = { ...shape, span: { kind: 'causal', format } } as const;
    const size = (count: number) => ({ queries: count, tiles: 1 });
    recordMany(recorder, options, [q, keys, values, y], size, {
      what: 'attention',
      of: ({ count, past }) => ({
        bytes: 2 * valueBytes(q, count) + (past + count) * cacheRowBytes,
        // Half of the run's own keys are in the future of a query.
        operations: 4 * count * (past + (count + 1) / 2) * heads * headDim,
      }),
    });
    return y;
  }
  const key = `decode-attention ${heads}/${keyValueHeads}x${headDim} ${format}`;
  recorder.dispatchVariant(DECODE_VARIANTS, { op: 'decode-attention', key, output: y }, ({ splits }) => {
    const options = { ...shape, format, splits };
    const sums = recorder.value('sums of splits', ONE_ROW, heads * splits * headDim);
    const stats = recorder.value('stats of splits', ONE_ROW, heads * splits * 2);
    return [
      dispatchOf(
        decodeProgram(options),
        [recorder.params, qkv, cache.ropeTable, keys, values, sums, stats],
        () => [splits, heads / headsTogether(options), 1],
        {
          what: 'attention',
          of: ({ past }) => ({
            bytes: [qkv, sums, stats].reduce(
              (bytes, value) => bytes + valueBytes(value, 1),
              (past + 1) * cacheRowBytes,
            ),
            operations: 4 * (past + 1) * heads * headDim,
          }),
        },
      ),
      dispatchOf(mergeProgram(options), [recorder.params, sums, stats, y], () => [heads, 1, 1]),
    ];
  });
  return y;
}

/** resources: q, keys, values and y; `size`: what of a run's count is queries of one tile, and how many tiles. */
function recordMany(
  recorder: Recorder,
  options: AttentionOptions,
  resources: readonly [Value, Resource, Resource, Value],
  size: (count: number) => { readonly queries: number; readonly tiles: number },
  work: Work,
): void {
  const { heads, keyValueHeads, headDim, span } = options;
  const format = span.kind === 'causal' ? ` ${span.format}` : '';
  const key = `attention ${span.kind} ${heads}/${keyValueHeads}x${headDim}${format}`;
  recorder.dispatchVariant(ATTENTION_VARIANTS, { op: 'attention', key, output: resources[3] }, (variant) => {
    const [program, group] =
      variant.kind === 'tiles'
        ? [tiledAttentionProgram(options, variant.threads), tileShape(headDim).queries]
        : [attentionProgram(options), QUERIES];
    return [
      dispatchOf(
        program,
        [recorder.params, ...resources],
        (count) => {
          const { queries, tiles } = size(count);
          return [Math.ceil(queries / group), heads, tiles];
        },
        work,
      ),
    ];
  });
}
