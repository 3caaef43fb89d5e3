import type { BilevelScheme } from '@speedq/format';
import type { InternVLConfig } from '@speedq/model';
import type { FloatStorage, Memory } from '../memory.ts';
import type { Feed, SessionOptions } from '../session.ts';
import type { ParameterValues } from '../parameters.ts';

/**
 * How the language side (projector, decoder layers, head) is cut into sessions. 'whole': one graph, fastest
 * for small models. 'block': one forward session, and one that recomputes and differentiates, per shape of
 * block, reused for all layers: memory grows with one block, not with the model.
 */
export type Partition = 'whole' | 'block';

/** Fixed sizes of a micro-batch. */
export interface MicroBatch {
  /** Sequences. */
  readonly batch: number;
  /** Tokens of each, padding included. */
  readonly length: number;
  /** Tiles of all pictures together; 0 for text alone. */
  readonly tiles: number;
}

export interface TrunkOptions extends MicroBatch, Pick<SessionOptions, 'executionProvider' | 'threads'> {
  readonly partition: Partition;
  /** The scheme that fake-quantizes a linear weight, by its canonical name; undefined leaves it float. */
  readonly scheme?: (weight: string) => BilevelScheme | undefined;
  /** Weights with a scheme take learned scales and zero points, parameters of their own: `learnedNames`. */
  readonly learned?: boolean;
  /** Fake-quantize with the reference implementation's arithmetic. */
  readonly reference?: boolean;
  /** Of the parameters, which are cast to float32 where they are used; for models that do not train. */
  readonly storage?: FloatStorage;
  /** Where activations and gradients live; by default in arrays. */
  readonly memory?: Memory;
}

export interface QatLoss {
  readonly ceWeight: number;
  /** 0 needs no teacher. */
  readonly kdWeight: number;
  readonly labelSmoothing: number;
  /** The model whose rows a step is given; without it, a step is given logits [answers, vocabulary]. */
  readonly teacher?: LossTeacher;
}

/**
 * A model of the student's vocabulary and any other size. Of its last layer's output its norm and head make logits
 * chunk by chunk, so that they never exist as a whole.
 */
export interface LossTeacher {
  readonly config: InternVLConfig;
  /** Of its parameters. */
  readonly storage?: FloatStorage;
}

export interface QatStepOptions extends TrunkOptions {
  /** Supervised rows of a micro-batch, padded with weights of 0. */
  readonly answers: number;
  /** Which parameters get gradients. */
  readonly trains: (parameter: string) => boolean;
  readonly loss: QatLoss;
  /** Rows whose logits exist at a time in the 'block' partition; by default what 64 MiB hold. */
  readonly rowsPerChunk?: number;
}

/** One micro-batch, all arrays of the sizes that the options fix. */
export interface LanguageInputs {
  /** [batch · length]. */
  readonly inputIds: BigInt64Array;
  /** Position of each token in its conversation, [batch · length]. */
  readonly positions: ArrayLike<number>;
  /** Added to attention scores, 0 or `MASKED`, [batch, 1, length, length]; see `attentionMask`. */
  readonly mask: Float32Array;
  /** Output of the vision encoder, [tiles · (1 + grid²), vision hidden]; absent where tiles is 0. */
  readonly visionFeatures?: Float32Array;
  /** The feature row each token takes, [batch · length]; see `placeFeatures`. */
  readonly imageIndex?: BigInt64Array;
  /** 1 where it takes one, [batch · length]. */
  readonly imageMask?: Float32Array;
}

export interface QatInputs extends LanguageInputs {
  /** Rows of [batch · length] whose logits are supervised, [answers]. */
  readonly selected: BigInt64Array;
  /** The token each should predict, [answers]. */
  readonly targets: BigInt64Array;
  /** Weight of each row's cross-entropy; summing to one makes the loss a mean. [answers]. */
  readonly weights: Float32Array;
  /** Weight of each row's distillation, [answers]; `weights` by default. */
  readonly kdWeights?: Float32Array;
  /** Balance γ of KL(student‖teacher) and KL(teacher‖student), in 0…1: of all rows, or of each, [answers]. */
  readonly gamma?: number | Float32Array;
  /** [answers, vocabulary], without `loss.teacher`. */
  readonly teacherLogits?: Float32Array;
  /** With `loss.teacher`: rows of its `TeacherForward`, [answers, its hidden], and its parameters. */
  readonly teacherRows?: Float32Array | Feed;
  readonly teacherParameters?: ParameterValues;
}

export interface QatLosses {
  readonly ce: number;
  readonly kd: number;
  /** ceWeight · ce + kdWeight · kd: what the gradients are of. */
  readonly total: number;
}

export interface QatResult {
  readonly losses: QatLosses;
  /** By parameter name; the next run overwrites them. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

/** Forward, loss and backward of one micro-batch; the optimiser is the caller's. */
export interface QatStep {
  /** Parameters that get gradients. */
  readonly trained: readonly string[];
  run(parameters: ParameterValues, inputs: QatInputs): Promise<QatResult>;
  release(): Promise<void>;
}

/** A step whose gradients stay in its memory. */
export interface ResidentStep {
  /** By parameter name; a run overwrites them. */
  readonly gradients: ReadonlyMap<string, Feed>;
  run(parameters: ParameterValues, inputs: QatInputs): Promise<QatLosses>;
  release(): Promise<void>;
}

export interface ResidentOptions extends QatStepOptions {
  readonly memory: Memory;
  /** What gradients are written into, by parameter name; by default tensors of the step's own. */
  readonly gradients?: ReadonlyMap<string, Feed>;
}
