import { packedBytes } from '@speedq/format';
import type { BilevelScheme } from '@speedq/format';
import { elementCount } from '@speedq/model';
import type { InternVLConfig, ModelPart, ParameterSpec } from '@speedq/model';
import type { BlockKind } from '../quantize/blocks/block.ts';
import { resolveSchemes } from './resolve-schemes.ts';
import type { Recipe } from './schema.ts';

/** What a run is given to calibrate on, train on and measure with. */
export interface Workload {
  /** Tiles of all pictures. */
  readonly tiles: number;
  readonly conversations: number;
  /** Kept out for the measurement of the result. */
  readonly heldOut: number;
  /** Of a conversation, means: tokens with those of its tiles, tokens that are learned. */
  readonly tokens: number;
  readonly answers: number;
}

/** A question with its answer, beside one tile's visual tokens. */
const TEXT_TOKENS = 64;
const ANSWER_TOKENS = 16;

/** Data as much as a recipe asks for: conversations of a tile each. */
export function assumedWorkload({ stage1, stage3, calibration }: Recipe, config: InternVLConfig): Workload {
  return {
    tiles: stage1.calibrationImages,
    conversations: Math.max(calibration.conversations, stage3.steps * stage3.batchSize),
    heldOut: 32,
    tokens: config.tokensPerTile + TEXT_TOKENS,
    answers: ANSWER_TOKENS,
  };
}

/** A linear of a block that is to be quantized. */
export interface PlannedWeight {
  readonly rows: number;
  readonly columns: number;
  readonly scheme: BilevelScheme;
}

/** The blocks of a kind, of which one is like the other. */
export interface Tower {
  readonly kind: BlockKind;
  readonly blocks: number;
  /** Rows of an item at the block's input. */
  readonly rows: number;
  readonly width: number;
  /** Elements of one block's linears. */
  readonly weights: number;
  readonly quantized: readonly PlannedWeight[];
  /** Operations of one item through one block. */
  readonly forward: number;
  /** Columns of the inputs that linears share: as many Gram matrices. */
  readonly inputs: readonly number[];
}

/** Sizes of a model under a recipe. */
export interface ModelSizes {
  /** Parameters of a part. */
  readonly count: Readonly<Record<ModelPart, number>>;
  readonly total: number;
  /** Of the largest tensor, elements. */
  readonly largest: number;
  /** Parameters that are quantized, and the bytes of their codes. */
  readonly quantized: number;
  readonly packed: number;
  readonly vision: Tower;
  readonly projector: Tower;
  readonly language: Tower;
}

export function measureSizes(
  recipe: Recipe,
  config: InternVLConfig,
  parameters: readonly ParameterSpec[],
  tokens: number,
): ModelSizes {
  const schemes = resolveSchemes(recipe, parameters);
  const count = { vision: 0, projector: 0, embedding: 0, language: 0, head: 0 };
  let [largest, quantized, packed] = [0, 0, 0];
  for (const { name, shape, part } of parameters) {
    const size = elementCount(shape);
    count[part] += size;
    largest = Math.max(largest, size);
    const scheme = schemes.get(name);
    if (scheme === undefined || scheme === 'float') continue;
    quantized += size;
    packed += packedBytes(scheme, shape, name);
  }
  const first = (part: ModelPart) =>
    parameters.filter((spec) => spec.part === part && spec.role === 'linear' && (spec.layer ?? 0) === 0);
  const tower = (
    kind: BlockKind,
    shape: { blocks: number; rows: number; width: number; attention: number; productRows?: number },
  ): Tower => {
    const linears = first(kind);
    const weights = linears.reduce((sum, { shape: [rows, columns] }) => sum + rows * columns, 0);
    const { blocks, rows, width, attention, productRows = rows } = shape;
    return {
      ...{ kind, blocks, rows, width, weights },
      quantized: linears.flatMap(({ name, shape: [rows, columns] }) => {
        const scheme = schemes.get(name);
        return scheme !== undefined && scheme !== 'float' && scheme.kind === 'bilevel'
          ? [{ rows, columns, scheme }]
          : [];
      }),
      forward: 2 * weights * productRows + 4 * rows ** 2 * attention,
      inputs: sharedInputs(linears),
    };
  };
  const { vision, language, tokensPerTile } = config;
  const patches = 1 + (vision.imageSize / vision.patchSize) ** 2;
  return {
    ...{ count, total: parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0) },
    ...{ largest, quantized, packed },
    vision: tower('vision', {
      ...{ blocks: vision.numLayers, rows: patches, width: vision.hiddenSize, attention: vision.hiddenSize },
    }),
    projector: tower('projector', {
      ...{ blocks: 1, rows: patches, width: vision.hiddenSize, attention: 0, productRows: tokensPerTile },
    }),
    language: tower('language', {
      ...{ blocks: language.numLayers, rows: tokens, width: language.hiddenSize },
      attention: language.numHeads * language.headDim,
    }),
  };
}

/** Columns of each input once: q, k and v have one, and so do gate and up. */
function sharedInputs(linears: readonly ParameterSpec[]): number[] {
  const inputs = new Map<string, number>();
  for (const { name, shape } of linears) {
    inputs.set(name.replace(/\.[qkv]_proj\./, '.qkv.').replace(/\.(gate|up)_proj\./, '.gate_up.'), shape[1]);
  }
  return [...inputs.values()];
}
