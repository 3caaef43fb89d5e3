import type { InternVLConfig } from '@speedq/model';
import { MASKED, rotaryTable } from '@speedq/onnx';
import { patchClassCount } from '../data/labels.ts';
import type { Question, TrainingSample } from '../data/types.ts';
import { GAZES } from './gaze.ts';
import type { FeatureWords } from './feature-words.ts';
import type { PackedSequence } from './sequence.ts';
import type { StepShape } from './step-graph.ts';

/** ImageNet statistics, as InternVL normalises: (x/255 − mean)/std per channel. */
const MEAN = [0.485, 0.456, 0.406];
const STD = [0.229, 0.224, 0.225];

/** Patches that show nothing are most of a picture; they count this much. */
const GROUND_WEIGHT = 0.3;

/** The inputs of one training step, in arrays that are reused from step to step. */
export class Batch {
  readonly floats = new Map<string, { data: Float32Array; dims: number[] }>();
  readonly integers = new Map<string, { data: BigInt64Array; dims: number[] }>();
  /** The question that each supervised row belongs to. */
  readonly questions: Question[] = [];
  private readonly patches: number;

  constructor(
    private readonly config: InternVLConfig,
    private readonly shape: StepShape,
    private readonly words: FeatureWords,
  ) {
    const { pictures, length, answers } = shape;
    const { imageSize, patchSize } = config.vision;
    const half = config.language.headDim / 2;
    this.patches = (imageSize / patchSize) ** 2;
    const float = (name: string, ...dims: number[]) =>
      this.floats.set(name, { data: new Float32Array(dims.reduce((a, b) => a * b, 1)), dims });
    const integer = (name: string, ...dims: number[]) =>
      this.integers.set(name, { data: new BigInt64Array(dims.reduce((a, b) => a * b, 1)), dims });
    float('pixel_values', pictures, 3, imageSize, imageSize);
    float('feature_words', pictures * config.tokensPerTile, words.ids.length);
    integer('word_ids', words.ids.length);
    integer('patch_kinds', pictures * this.patches);
    float('patch_kinds_weights', pictures * this.patches);
    integer('patch_colours', pictures * this.patches);
    float('patch_colours_weights', pictures * this.patches);
    integer('input_ids', pictures * length);
    float('cos', pictures, length, 1, half);
    float('sin', pictures, length, 1, half);
    float('mask', pictures, 1, length, length);
    integer('image_index', pictures * length);
    float('image_mask', pictures * length, 1);
    for (const { name } of GAZES) {
      float(`gaze.${name}`, pictures, length, config.tokensPerTile);
      float(`gaze_weights.${name}`, pictures, length, 1);
    }
    integer('selected', answers);
    integer('targets', answers);
    float('target_weights', answers);
    this.integer('word_ids').set(BigInt64Array.from(words.ids, BigInt));
  }

  /** Fills picture `slot`: pixels, patch labels and the words its visual tokens should name. */
  setPicture(slot: number, sample: TrainingSample): void {
    const side = this.config.vision.imageSize;
    const area = side * side;
    const pixels = this.float('pixel_values').subarray(slot * 3 * area, (slot + 1) * 3 * area);
    for (let channel = 0; channel < 3; channel++) {
      const scale = 1 / (255 * STD[channel]);
      const shift = -MEAN[channel] / STD[channel];
      const plane = pixels.subarray(channel * area, (channel + 1) * area);
      for (let i = 0, j = channel; i < area; i++, j += 3) plane[i] = sample.rgb[j] * scale + shift;
    }
    for (let i = 0; i < this.patches; i++) {
      const at = slot * this.patches + i;
      const kind = sample.patchKinds[i];
      this.integer('patch_kinds')[at] = BigInt(Math.min(kind, patchClassCount - 1));
      this.float('patch_kinds_weights')[at] = kind === 0 ? GROUND_WEIGHT : 1;
      const colour = sample.patchColours[i];
      this.integer('patch_colours')[at] = BigInt(Math.max(colour, 0));
      this.float('patch_colours_weights')[at] = colour < 0 ? 0 : colour === 0 ? GROUND_WEIGHT : 1;
    }
    const tokens = this.config.tokensPerTile;
    const width = this.words.ids.length;
    this.words.describe(
      sample,
      this.float('feature_words').subarray(slot * tokens * width, (slot + 1) * tokens * width),
    );
  }

  /** Call once after all pictures are set. */
  normalisePatchWeights(): void {
    for (const name of ['patch_kinds_weights', 'patch_colours_weights']) normalise(this.float(name));
  }

  /** Fills all sequences; `pictureStart` is where the picture's features begin in those that have one. */
  setSequences(sequences: readonly PackedSequence[], pictureStart: number): void {
    const { length, answers } = this.shape;
    const { tokensPerTile, language } = this.config;
    const half = language.headDim / 2;
    const mask = this.float('mask').fill(MASKED);
    const imageMask = this.float('image_mask').fill(0);
    const imageIndex = this.integer('image_index').fill(0n);
    const weights = this.float('target_weights').fill(0);
    const targets = this.integer('targets').fill(0n);
    const selected = this.integer('selected').fill(0n);
    for (const { name } of GAZES) {
      this.float(`gaze.${name}`).fill(0);
      this.float(`gaze_weights.${name}`).fill(0);
    }
    let supervised = 0;
    this.questions.length = 0;
    sequences.forEach((sequence, slot) => {
      const base = slot * length;
      for (let t = 0; t < length; t++) {
        this.integer('input_ids')[base + t] = BigInt(sequence.ids[t]);
        const row = (base + t) * length;
        const segment = sequence.segments[t];
        // Padding sees itself alone: no value there is used, but it must stay finite.
        mask[row + t] = 0;
        if (segment < 0) continue;
        for (let u = 0; u < t; u++) {
          const other = sequence.segments[u];
          if (other === segment || (other === 0 && sequence.seesPicture[segment])) mask[row + u] = 0;
        }
      }
      const { cos, sin } = rotaryTable(sequence.positions, language.headDim, language.ropeTheta);
      this.float('cos').set(cos, base * half);
      this.float('sin').set(sin, base * half);
      if (sequence.segments[pictureStart] === 0) {
        for (let i = 0; i < tokensPerTile; i++) {
          imageMask[base + pictureStart + i] = 1;
          imageIndex[base + pictureStart + i] = BigInt(slot * tokensPerTile + i);
        }
      }
      for (const { name, position, visualTokens } of sequence.gazes) {
        const at = base + position;
        this.float(`gaze_weights.${name}`)[at] = 1;
        for (const token of visualTokens) this.float(`gaze.${name}`)[at * tokensPerTile + token] = 1;
      }
      for (const { position, target, weight, question } of sequence.supervised) {
        if (supervised === answers) break;
        this.questions.push(question);
        selected[supervised] = BigInt(base + position);
        targets[supervised] = BigInt(target);
        weights[supervised++] = weight;
      }
    });
    normalise(weights);
    for (const { name } of GAZES) normalise(this.float(`gaze_weights.${name}`));
  }

  private float(name: string): Float32Array {
    return this.floats.get(name)!.data;
  }

  private integer(name: string): BigInt64Array {
    return this.integers.get(name)!.data;
  }
}

/** Makes the weights sum to one. */
function normalise(weights: Float32Array): void {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (sum > 0) for (let i = 0; i < weights.length; i++) weights[i] /= sum;
}
