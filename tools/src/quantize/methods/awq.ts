import { dequantizeBilevel, quantizeBilevelTensor, roundToHalf } from '@speedq/format';
import type { BilevelTensor, GroupRange } from '@speedq/format';
import type { InternVLConfig } from '@speedq/model';
import type { Parameters } from '@speedq/onnx';
import { ownName } from '../blocks/block.ts';
import type { Block } from '../blocks/block.ts';
import type { BlockMethod, BlockOutcome, BlockTask, QuantizedWeight } from '../blocks/block-task.ts';
import { searchClipRange } from '../clip-search/search-clip-range.ts';
import { withChanges } from '../parameter-store.ts';
import { stopIfAsked } from '../reporter.ts';
import { gatherGrams } from './grams.ts';
import { diagonalBlocks, quadraticError } from './linear-algebra.ts';

/**
 * Linears that share an input, and what makes that input: scaling the linears' columns and unscaling the maker
 * leaves the block's function as it is.
 */
export interface Fold {
  /** Weights whose columns are scaled. */
  readonly consumers: readonly string[];
  /** Norm weights and biases, or weights and biases of a linear, divided row by row. */
  readonly makers: readonly string[];
  /** The maker's row that gives column j of the consumers, where that is not j. */
  readonly makerRow?: (column: number) => number;
}

/** Where the architecture lets scales pass: not through GELU, so fc2 and the projector's second linear have none. */
export function foldsOf({ language }: InternVLConfig, block: Block): Fold[] {
  if (block.kind === 'projector') {
    const prefix = 'multi_modal_projector';
    return [
      {
        consumers: [`${prefix}.linear_1.weight`],
        makers: [`${prefix}.layer_norm.weight`, `${prefix}.layer_norm.bias`],
      },
    ];
  }
  const own = (names: readonly string[]) => names.map((name) => ownName(name, block));
  if (block.kind === 'vision') {
    const prefix = 'vision_tower.encoder.layer.0';
    const attention = (name: string) => `${prefix}.attention.${name}`;
    return [
      {
        consumers: own(['q_proj', 'k_proj', 'v_proj'].map((name) => attention(`${name}.weight`))),
        makers: own([`${prefix}.layernorm_before.weight`, `${prefix}.layernorm_before.bias`]),
      },
      {
        consumers: own([attention('projection_layer.weight')]),
        makers: own([attention('v_proj.weight'), attention('v_proj.bias')]),
      },
      {
        consumers: own([`${prefix}.mlp.fc1.weight`]),
        makers: own([`${prefix}.layernorm_after.weight`, `${prefix}.layernorm_after.bias`]),
      },
    ];
  }
  const prefix = 'language_model.model.layers.0';
  const attention = (name: string) => `${prefix}.self_attn.${name}`;
  const { headDim, numHeads, numKeyValueHeads } = language;
  const shared = numHeads / numKeyValueHeads;
  return [
    {
      consumers: own(['q_proj', 'k_proj', 'v_proj'].map((name) => attention(`${name}.weight`))),
      makers: own([`${prefix}.input_layernorm.weight`]),
    },
    {
      consumers: own([attention('o_proj.weight')]),
      makers: own([attention('v_proj.weight'), attention('v_proj.bias')]),
      // Query heads that share a value head must share its scales.
      makerRow: (column) => Math.floor(column / headDim / shared) * headDim + (column % headDim),
    },
    {
      consumers: own([`${prefix}.mlp.gate_proj.weight`, `${prefix}.mlp.up_proj.weight`]),
      makers: own([`${prefix}.post_attention_layernorm.weight`]),
    },
    {
      consumers: own([`${prefix}.mlp.down_proj.weight`]),
      makers: own([`${prefix}.mlp.up_proj.weight`]),
    },
  ];
}

/** Scales columns of the consumers and unscales the makers' rows; new arrays under their names. */
export function applyFold(
  parameters: Parameters,
  { consumers, makers, makerRow = (column) => column }: Fold,
  scales: Float64Array,
): Map<string, Float32Array> {
  const columns = scales.length;
  const changed = new Map<string, Float32Array>();
  for (const name of consumers) {
    changed.set(
      name,
      parameters.get(name)!.map((value, i) => value * scales[i % columns]),
    );
  }
  const byRow = new Map<number, number>();
  scales.forEach((scale, column) => byRow.set(makerRow(column), scale));
  for (const name of makers) {
    const values = changed.get(name) ?? parameters.get(name)!;
    const width = values.length / byRow.size;
    changed.set(
      name,
      values.map((value, i) => value / byRow.get(Math.floor(i / width))!),
    );
  }
  return changed;
}

/** Products of a row with the Gram matrix that a search may take; weights with more are judged by some rows. */
const SEARCH_WORK = 1e8;

export const awqMethod: BlockMethod = {
  label: 'awq',
  steps: () => 11,
  async run(task): Promise<BlockOutcome> {
    const { weights, context, block } = task;
    const { config, recipe, reporter } = context;
    const grams = await gatherGrams(task);
    const changed = new Map<string, Float32Array>();
    const values = withChanges(task.parameters, changed);
    const columnScales = new Map<string, Float64Array>();
    let done = 0;
    for (const fold of foldsOf(config, block)) {
      stopIfAsked(reporter, task.name);
      // Scaling what stays float would only move error from one fp16 value to another.
      const consumers = fold.consumers.filter((name) => weights.has(name));
      if (consumers.length === fold.consumers.length) {
        const { matrix, columns } = grams.get(consumers[0])!;
        const scales = searchScales(values, weights, consumers, matrix, columns, fold, recipe.awq.gridSteps);
        for (const [name, scaled] of applyFold(values, fold, scales)) changed.set(name, scaled);
        for (const name of consumers) columnScales.set(name, scales);
      }
      reporter.progress(++done);
    }
    const tensors = new Map<string, BilevelTensor>();
    for (const [name, { scheme, rows, columns }] of weights) {
      stopIfAsked(reporter, task.name);
      let range: GroupRange | undefined;
      if (recipe.awq.clipSearch) {
        const gram = scaledGram(grams.get(name)!.matrix, columns, columnScales.get(name));
        const blocks = diagonalBlocks(gram, columns, scheme.groupSize);
        range = searchClipRange(values.get(name)!, rows, columns, scheme, blocks, { name });
      }
      tensors.set(name, quantizeBilevelTensor(values.get(name)!, rows, columns, scheme, { name, range }));
      reporter.progress(++done);
    }
    return { tensors, floats: floatsToStore(task, changed) };
  },
};

/** Float parameters that took up scales, as they are stored. */
function floatsToStore(
  { weights, context }: BlockTask,
  changed: ReadonlyMap<string, Float32Array>,
): Map<string, Float32Array> {
  const { storedArithmetic } = context.recipe.fixes;
  return new Map(
    [...changed]
      .filter(([name]) => !weights.has(name))
      .map(([name, values]) => [name, storedArithmetic ? values.map(roundToHalf) : values]),
  );
}

/** The powers' scales with the least squared output error of the consumers, rounded to nearest. */
function searchScales(
  values: Parameters,
  weights: ReadonlyMap<string, QuantizedWeight>,
  consumers: readonly string[],
  gram: Float64Array,
  columns: number,
  fold: Fold,
  gridSteps: number,
): Float64Array {
  const size = channelSizes(gram, columns, fold);
  let best: Float64Array = new Float64Array(columns).fill(1);
  let least = Infinity;
  for (let step = 0; step < gridSteps; step++) {
    const scales = powered(size, step / gridSteps);
    let error = 0;
    for (const name of consumers) {
      error += scaledError(values.get(name)!, weights.get(name)!, scales, gram, name);
    }
    if (error < least) [least, best] = [error, scales];
  }
  return best;
}

/** Root mean square of each channel up to a factor; channels that share a maker's row share their mean. */
function channelSizes(
  gram: Float64Array,
  columns: number,
  { makerRow = (column) => column }: Fold,
): Float64Array {
  const sums = new Map<number, { sum: number; count: number }>();
  for (let j = 0; j < columns; j++) {
    const entry = sums.get(makerRow(j)) ?? { sum: 0, count: 0 };
    entry.sum += gram[j * columns + j];
    entry.count++;
    sums.set(makerRow(j), entry);
  }
  return new Float64Array(columns).map((_, j) => {
    const { sum, count } = sums.get(makerRow(j))!;
    return Math.sqrt(sum / count);
  });
}

/** size^power, centred so that the largest and the smallest are each other's inverse. */
function powered(size: Float64Array, power: number): Float64Array {
  const scales = size.map((value) => Math.max(value, 1e-6) ** power);
  const centre = Math.sqrt(scales.reduce((a, b) => Math.max(a, b)) * scales.reduce((a, b) => Math.min(a, b)));
  return scales.map((value) => Math.min(1e4, Math.max(1e-4, value / centre)));
}

/** Squared output error of one weight, quantized to nearest with its columns scaled, over a sample of its rows. */
function scaledError(
  weight: Float32Array,
  { scheme, rows, columns }: QuantizedWeight,
  scales: Float64Array,
  gram: Float64Array,
  name: string,
): number {
  const { scaleGroupSize } = scheme;
  const panels = rows / scaleGroupSize;
  const affordable = Math.max(1, Math.floor(SEARCH_WORK / columns ** 2 / scaleGroupSize));
  const stride = Math.max(1, Math.ceil(panels / affordable));
  let error = 0;
  for (let panel = 0; panel < panels; panel += stride) {
    const size = scaleGroupSize * columns;
    const original = weight.subarray(panel * size, (panel + 1) * size);
    const scaled = original.map((value, i) => value * scales[i % columns]);
    const tensor = quantizeBilevelTensor(scaled, scaleGroupSize, columns, scheme, { name });
    const decoded = dequantizeBilevel(tensor.codes, tensor);
    error += quadraticError(
      decoded.map((value, i) => value / scales[i % columns] - original[i]),
      gram,
      columns,
    );
  }
  return error;
}

/** XᵀX of inputs that were divided by the scales. */
function scaledGram(gram: Float64Array, columns: number, scales?: Float64Array): Float64Array {
  if (scales === undefined) return gram;
  return gram.map((value, i) => value / (scales[Math.floor(i / columns)] * scales[i % columns]));
}
