import {
  EMBEDDING,
  languageModel,
  projector,
  visionBlock,
  visionEmbed,
  type InternVLConfig,
} from '@speedq/model';
import {
  crossEntropy,
  differentiate,
  Graph,
  logSoftmax,
  OnnxOps,
  primitives as op,
  type Tensor,
} from '@speedq/onnx';
import { gazesOf } from './gaze.ts';
import { PATCH_COLOUR, PATCH_KIND, type ParameterLayout } from './parameter-layout.ts';

/** Fixed sizes of one micro-batch: sequences pack several questions about one picture. */
export interface StepShape {
  readonly pictures: number;
  /** Tokens of a packed sequence. */
  readonly length: number;
  /** Supervised positions in the micro-batch. */
  readonly answers: number;
}

/**
 * What a step trains. 'vision': the encoder on patch labels alone. 'oracle': the language model on
 * features made of the word embeddings of what each patch shows. 'align': the projector, towards those
 * features. 'joint': everything.
 */
export type StepKind = 'vision' | 'oracle' | 'align' | 'joint';

export interface StepGraph {
  readonly model: Uint8Array;
  /** Parameters with a gradient output `grad.<name>`. */
  readonly trained: readonly string[];
  readonly losses: readonly string[];
}

/** Brings mixed word embeddings to about the length the projector's outputs take on. */
const ORACLE_SCALE = 4;

/** int64 [answers]: the greedy token at each supervised position. */
export const PREDICTED = 'predicted';

/** Names of the losses and of the scalar inputs `weight.<loss>` that mix them. */
const LOSSES = { language: 'language', patch: 'patch', align: 'align', gaze: 'gaze' } as const;

/** Forward, losses and gradients of one micro-batch in one graph. */
export function buildStepGraph(
  config: InternVLConfig,
  layout: ParameterLayout,
  words: number,
  shape: StepShape,
  kind: StepKind,
  /** Where the visual tokens begin in a sequence. */
  pictureStart: number,
): StepGraph {
  const g = new Graph();
  const shapes = new Map(layout.slots.map((slot) => [slot.name, slot.shape]));
  const declared = new Map<string, Tensor>();
  const parameter = (name: string) => {
    let tensor = declared.get(name);
    if (!tensor) declared.set(name, (tensor = g.input(name, shapes.get(name)!)));
    return tensor;
  };
  const { pictures, length, answers } = shape;
  const grid = config.vision.imageSize / config.vision.patchSize;
  const patches = grid * grid;
  const half = config.language.headDim / 2;
  const attention: Tensor[] = [];
  const ops = new OnnxOps(g, {
    parameter,
    vision: { tiles: pictures, tokens: patches + 1 },
    language: {
      batch: pictures,
      length,
      cos: g.input('cos', [pictures, length, 1, half]),
      sin: g.input('sin', [pictures, length, 1, half]),
      mask: g.input('mask', [pictures, 1, length, length]),
      imageIndex: g.input('image_index', [pictures * length], 'int64'),
      imageMask: g.input('image_mask', [pictures * length, 1]),
      selected: g.input('selected', [answers], 'int64'),
      observeAttention: (layer, probabilities) => (attention[layer] = probabilities),
    },
  });

  const tokens = pictures * config.tokensPerTile;
  const losses: { name: string; value: Tensor }[] = [];
  const shown = () => g.input('feature_words', [tokens, words]);
  const wordTable = () => op.gatherRows(g, parameter(EMBEDDING), g.input('word_ids', [words], 'int64'));
  const namedFeatures = () => op.mul(g, op.matmul(g, shown(), wordTable()), ORACLE_SCALE);
  const seen = () => {
    let x = visionEmbed(ops, config, g.input('pixel_values', pixelShape(config, pictures)));
    for (let layer = 0; layer < config.vision.numLayers; layer++) x = visionBlock(ops, config, layer, x);
    return x;
  };
  const learnLanguage = (features: Tensor) => {
    const logits = languageModel(ops, config, g.input('input_ids', [pictures * length], 'int64'), features);
    const targets = g.input('targets', [answers], 'int64');
    g.output(
      PREDICTED,
      g.node('ArgMax', [logits], [answers], { type: 'int64', attributes: { axis: 1, keepdims: 0 } }),
    );
    const value = crossEntropy(g, logits, targets, g.input('target_weights', [answers]));
    losses.push({ name: LOSSES.language, value });
    if (gazesOf(config).length > 0)
      losses.push({ name: LOSSES.gaze, value: gazeLoss(g, config, shape, attention, pictureStart) });
  };

  switch (kind) {
    case 'vision':
      losses.push({ name: LOSSES.patch, value: patchLoss(g, seen(), parameter, pictures, patches) });
      break;
    case 'oracle':
      learnLanguage(namedFeatures());
      break;
    case 'align':
      losses.push({
        name: LOSSES.align,
        value: distance(g, projector(ops, config, seen()), namedFeatures(), tokens),
      });
      break;
    case 'joint': {
      const x = seen();
      losses.push({ name: LOSSES.patch, value: patchLoss(g, x, parameter, pictures, patches) });
      const features = projector(ops, config, x);
      const value = namingLoss(g, features, wordTable(), shown(), tokens);
      losses.push({ name: LOSSES.align, value });
      learnLanguage(features);
    }
  }

  let total: Tensor | undefined;
  for (const { name, value } of losses) {
    const term = op.mul(g, value, g.input(`weight.${name}`, []));
    total = total ? op.add(g, total, term) : term;
  }
  const trained = [...declared.keys()].filter(
    (name) => kind !== 'align' || name.startsWith('multi_modal_projector.'),
  );
  const gradients = differentiate(g, [[total!, g.scalar(1)]], trained.map(parameter));
  const reached = trained.filter((_, i) => gradients[i]);
  trained.forEach((name, i) => gradients[i] && g.output(`grad.${name}`, gradients[i]));
  for (const { name, value } of losses) g.output(`loss.${name}`, value);
  return { model: g.build(), trained: reached, losses: losses.map(({ name }) => name) };
}

const pixelShape = ({ vision }: InternVLConfig, pictures: number) => [
  pictures,
  3,
  vision.imageSize,
  vision.imageSize,
];

/** The encoder's output names the object and the colour under every patch. */
function patchLoss(
  g: Graph,
  x: Tensor,
  parameter: (name: string) => Tensor,
  pictures: number,
  patches: number,
): Tensor {
  const hidden = x.shape[1] as number;
  const [, tokens] = op.split(g, op.reshape(g, x, [pictures, patches + 1, hidden]), [1, patches], 1);
  const flat = op.reshape(g, tokens, [pictures * patches, hidden]);
  const classify = (name: string, targets: string) =>
    crossEntropy(
      g,
      op.gemm(g, flat, parameter(`${name}.weight`), { bias: parameter(`${name}.bias`), transB: true }),
      g.input(targets, [pictures * patches], 'int64'),
      g.input(`${targets}_weights`, [pictures * patches]),
    );
  return op.add(g, classify(PATCH_KIND, 'patch_kinds'), classify(PATCH_COLOUR, 'patch_colours'));
}

/**
 * Each visual token picks, by dot product, the words of what it shows: cross-entropy against the
 * distribution `shown` (rows of weights over the word list), per token.
 */
function namingLoss(g: Graph, features: Tensor, table: Tensor, shown: Tensor, tokens: number): Tensor {
  const logits = op.matmul(g, features, op.transpose(g, table, [1, 0]));
  const picked = op.reduceSum(g, op.mul(g, shown, logSoftmax(g, logits)), [0, 1]);
  return op.mul(g, op.reshape(g, picked, []), -1 / tokens);
}

/** −log of the attention that the guided heads give to the visual tokens they are shown. */
function gazeLoss(
  g: Graph,
  config: InternVLConfig,
  { pictures, length }: StepShape,
  attention: readonly Tensor[],
  pictureStart: number,
): Tensor {
  const { tokensPerTile } = config;
  const terms = gazesOf(config).map(({ name, layer, keyValueHead }) => {
    const group = slice(g, attention[layer], 1, keyValueHead, 1);
    const firstHead = op.reshape(g, slice(g, group, 2, 0, length), [pictures, length, length]);
    const seen = slice(g, firstHead, 2, pictureStart, tokensPerTile);
    const shown = op.mul(g, seen, g.input(`gaze.${name}`, [pictures, length, tokensPerTile]));
    const surprise = op.log(g, op.add(g, op.reduceSum(g, shown, [2]), NO_ATTENTION));
    const weighted = op.mul(g, surprise, g.input(`gaze_weights.${name}`, [pictures, length, 1]));
    return op.reshape(g, op.reduceSum(g, weighted, [0, 1, 2]), []);
  });
  const sum = terms.reduce((a, b) => op.add(g, a, b));
  return op.mul(g, sum, -1);
}

/** Keeps the logarithm finite where a head looks elsewhere altogether. */
const NO_ATTENTION = 1e-4;

function slice(g: Graph, x: Tensor, axis: number, begin: number, size: number): Tensor {
  const rest = (x.shape[axis] as number) - begin - size;
  const sizes = [begin, size, rest].filter((part) => part > 0);
  return sizes.length === 1 ? x : op.split(g, x, sizes, axis)[begin > 0 ? 1 : 0];
}

/** Mean squared distance of rows, per token. */
function distance(g: Graph, a: Tensor, b: Tensor, tokens: number): Tensor {
  const difference = op.sub(g, a, b);
  const sum = op.reduceSum(g, op.mul(g, difference, difference), [0, 1]);
  return op.mul(g, op.reshape(g, sum, []), 1 / tokens);
}
