import type { Binding } from '../../engine/program.ts';
import { vectors } from '../../engine/program.ts';
import type { KeyValueFormat } from '../kv-cache/format.ts';
import { cacheBinding, cacheReader } from '../kv-cache/format.ts';

export interface AttentionOptions {
  readonly heads: number;
  readonly keyValueHeads: number;
  /** A multiple of 4, at most 128. */
  readonly headDim: number;
  /**
   * 'tiles': each tile's rows attend to each other, a row holding q, k and v side by side. 'causal': k and v are
   * cache rows 0…past+count-1, and query t sees those up to past+t.
   */
  readonly span:
    | { readonly kind: 'tiles'; readonly tokens: number }
    | { readonly kind: 'causal'; readonly format: KeyValueFormat };
}

/** Where attention programs find queries, keys and values. */
export interface SpanCode {
  /** q, and k and v, which for tiles are the same buffer. */
  readonly bindings: Readonly<Record<'keys' | 'values', Binding>>;
  /** Row pitch of q, in vec4. */
  readonly queryPitch: number;
  /** Defines cacheReader's functions for keys and values, rows counted from the first of the buffer. */
  readonly functions: string;
  /**
   * Declares `queries`, their number; `first_row`, that of rows before them; and `end`, the number of keys that
   * the `wid.x`-th group of `group` queries sees at most.
   */
  readonly frame: (group: string) => string;
  /** Keys that query number `query` sees; never more than there are. */
  readonly visible: (query: string) => string;
}

export function spanCode({ heads, keyValueHeads, headDim, span }: AttentionOptions): SpanCode {
  const quads = headDim / 4;
  const width = heads * quads;
  if (span.kind === 'causal') {
    const shape = { keyValueHeads, headDim };
    return {
      bindings: { keys: cacheBinding(span.format, 'read'), values: cacheBinding(span.format, 'read') },
      queryPitch: width,
      functions: `${cacheReader(span.format, shape, 'keys')}\n${cacheReader(span.format, shape, 'values')}`,
      frame: (group) => `let queries = params.count;
  let first_row = 0u;
  let end = params.past + min(queries, (wid.x + 1u) * ${group});`,
      visible: (query) => `min(params.past + ${query} + 1u, end)`,
    };
  }
  const reader = (
    name: string,
    offset: number,
  ) => `fn ${name}_at(row: u32, head: u32, quad: u32) -> vec4<f32> {
  return ${name}[row * ${3 * width}u + ${offset}u + head * ${quads}u + quad];
}
fn ${name}_scale(row: u32, head: u32) -> f32 { return 1.0f; }`;
  return {
    bindings: { keys: vectors('read'), values: vectors('read') },
    queryPitch: 3 * width,
    functions: `${reader('keys', width)}\n${reader('values', 2 * width)}`,
    frame: () => `let queries = ${span.tokens}u;
  let first_row = wid.z * queries;
  let end = queries;`,
    visible: () => 'end',
  };
}
