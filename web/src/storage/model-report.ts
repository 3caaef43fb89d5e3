import type { Problem } from '../chat/types.ts';

/** What can be done with a model without opening it. `url` is the absolute address of its folder. */
export type ModelJob =
  | { readonly kind: 'describe'; readonly url: string; readonly online: boolean }
  | { readonly kind: 'verify'; readonly url: string; readonly online: false }
  | { readonly kind: 'import'; readonly url: string; readonly files: readonly File[] }
  | { readonly kind: 'remove'; readonly url: string };

export interface ModelReport {
  readonly kept: boolean;
  readonly name?: string;
  /** Of the files that opening it reads. */
  readonly bytes?: number;
  readonly files?: number;
  readonly tiling?: { readonly tileSize: number; readonly minTiles: number; readonly maxTiles: number };
}

export type ModelReply =
  { readonly progress: number } | { readonly report: ModelReport } | { readonly problem: Problem };
