import models from './catalogue.json' with { type: 'json' };

/** A packed model and what it asks of a device, known before anything is fetched. */
export interface CatalogueModel {
  readonly id: string;
  /** For people. */
  readonly label: string;
  /** Of the folder, relative to where a site keeps its models; absent where nobody has packed it for you. */
  readonly path?: string;
  /** Where the float checkpoint comes from that `speedq quantize` packs; absent for models of this project. */
  readonly source?: string;
  readonly parameters: number;
  /** Of a weight in the linears. */
  readonly bits: number;
  /** Tokens that `memoryBytes.full` is for; also what `LanguageModel.create` takes if not told otherwise. */
  readonly contextWindow: number;
  /** What a first visit fetches. Computed from the architecture where there is no `path`. */
  readonly downloadBytes: number;
  /** GPU memory: when it has loaded, and at most, with a full context and a picture of most tiles. */
  readonly memoryBytes: { readonly loaded: number; readonly full: number };
  /** SPDX. */
  readonly license: string;
}

/** Also as plain JSON: '@speedq/runtime/catalogue.json'. */
export const CATALOGUE: readonly CatalogueModel[] = models;
