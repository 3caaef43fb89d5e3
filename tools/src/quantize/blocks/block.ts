import { languageBlock, parameterInventory, projector, visionBlock } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import type { LanguageContext, OnnxOps, OnnxOpsOptions } from '@speedq/onnx';
import { attentionMask, rotaryTable } from '@speedq/onnx';
import type { Feed, Graph, Parameters, Session, Tensor } from '@speedq/onnx';

/** A stretch of the model that is quantized at a time: a transformer layer of either tower, or the projector. */
export type BlockKind = 'vision' | 'projector' | 'language';

export interface Block {
  readonly kind: BlockKind;
  /** 0 for the projector. */
  readonly layer: number;
}

/** All blocks of a kind have one shape, so they share graphs, whose inputs carry the names of layer 0. */
const PREFIX: Readonly<Record<BlockKind, (layer: number) => string>> = {
  vision: (layer) => `vision_tower.encoder.layer.${layer}.`,
  projector: () => 'multi_modal_projector.',
  language: (layer) => `language_model.model.layers.${layer}.`,
};

/** The name in the graphs of a parameter of `block`. */
export function templateName(name: string, { kind, layer }: Block): string {
  return name.replace(PREFIX[kind](layer), PREFIX[kind](0));
}

/** The parameter of `block` that a name in the graphs stands for. */
export function ownName(template: string, { kind, layer }: Block): string {
  return template.replace(PREFIX[kind](0), PREFIX[kind](layer));
}

export function blockLabel({ kind, layer }: Block): string {
  return kind === 'projector' ? 'projector' : `${kind} block ${layer}`;
}

export function blocksOf({ vision, language }: InternVLConfig, kind: BlockKind): Block[] {
  const count = { vision: vision.numLayers, projector: 1, language: language.numLayers }[kind];
  return Array.from({ length: count }, (_, layer) => ({ kind, layer }));
}

/** Tokens of a tile inside the vision encoder, class token included. */
export function tileTokens({ vision }: InternVLConfig): number {
  return (vision.imageSize / vision.patchSize) ** 2 + 1;
}

/** Features of a row in front of and behind a block. */
export function blockWidths({ vision, language }: InternVLConfig, kind: BlockKind) {
  if (kind === 'vision') return { input: vision.hiddenSize, output: vision.hiddenSize };
  const output = language.hiddenSize;
  return { input: kind === 'projector' ? vision.hiddenSize : output, output };
}

/** Values of an item behind a block; `size` in front of it. */
export function outputSize(config: InternVLConfig, kind: BlockKind, size: number): number {
  return kind === 'projector' ? config.tokensPerTile * config.language.hiddenSize : size;
}

/** How many items a graph takes at a time: tiles, or sequences of `length` tokens each. */
export interface BlockBatch {
  readonly items: number;
  /** Of the language side; 'length' leaves it open, for one item. */
  readonly length: number | 'length';
}

/** Options of the ops of a block; declares the inputs that attention needs beside x. */
export function blockContext(
  g: Graph,
  config: InternVLConfig,
  kind: BlockKind,
  { items, length }: BlockBatch,
): Pick<OnnxOpsOptions, 'vision' | 'language'> {
  if (kind !== 'language') return { vision: { tiles: items, tokens: tileTokens(config) } };
  const half = config.language.headDim / 2;
  const language: LanguageContext = {
    ...{ batch: items, length },
    cos: g.input('cos', [items, length, 1, half]),
    sin: g.input('sin', [items, length, 1, half]),
    mask: g.input('mask', [items, 1, length, length]),
  };
  return { language };
}

/** The block under the names of layer 0. */
export function emitBlock(ops: OnnxOps, config: InternVLConfig, kind: BlockKind, x: Tensor): Tensor {
  if (kind === 'vision') return visionBlock(ops, config, 0, x);
  if (kind === 'projector') return projector(ops, config, x);
  return languageBlock(ops, config, 0, x);
}

/** Rows of x of a batch; for the language side 'length' where it is open. */
export function inputRows(config: InternVLConfig, kind: BlockKind, { items, length }: BlockBatch) {
  if (kind !== 'language') return items * tileTokens(config);
  return typeof length === 'number' ? items * length : length;
}

/** Feeds of the inputs that `blockContext` declared: sequences of the given lengths, padded to `length`. */
export function attentionFeeds(
  session: Session,
  config: InternVLConfig,
  lengths: readonly number[],
  length: number,
): Map<string, Feed> {
  const { headDim, ropeTheta } = config.language;
  const items = lengths.length;
  const positions = Int32Array.from({ length: items * length }, (_, row) => row % length);
  const segments = Int32Array.from({ length: items * length }, (_, row) =>
    row % length < lengths[Math.floor(row / length)] ? 0 : -1,
  );
  const { cos, sin } = rotaryTable(positions, headDim, ropeTheta);
  const rotary = [items, length, 1, headDim / 2];
  const mask = attentionMask(segments, items, length);
  return new Map([
    ['cos', session.float(cos, rotary)],
    ['sin', session.float(sin, rotary)],
    ['mask', session.float(mask, [items, 1, length, length])],
  ]);
}

/** Shapes of all parameters. */
export function parameterShapes(config: InternVLConfig): ReadonlyMap<string, readonly number[]> {
  return new Map(parameterInventory(config).map(({ name, shape }) => [name, shape]));
}

/** Feeds of the parameters of `block` that a graph reads. */
export function parameterFeedsOf(
  session: Session,
  shapes: ReadonlyMap<string, readonly number[]>,
  block: Block,
  parameters: Parameters,
): Map<string, Feed> {
  const feeds = new Map<string, Feed>();
  for (const input of session.inputNames) {
    const shape = shapes.get(input);
    if (shape === undefined) continue;
    feeds.set(input, session.float(parameters.get(ownName(input, block))!, shape));
  }
  return feeds;
}
