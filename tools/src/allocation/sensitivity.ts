import { SpeedqError, namedScheme, packWeight, unpackToFloat } from '@speedq/format';
import type { InternVLConfig } from '@speedq/model';
import { OnnxModel } from '@speedq/onnx';
import { IGNORE_INDEX } from '@speedq/processor';
import { klDivergence, logProbabilities } from '../eval/statistics.ts';
import { ort } from '../quantize/context.ts';
import type { PictureSet } from '../quantize/data/picture-set.ts';
import type { Sample } from '../quantize/data/samples.ts';
import type { SchemeChoice, Unit } from './units.ts';

export interface SensitivityOptions {
  readonly config: InternVLConfig;
  /** The float model. */
  readonly parameters: ReadonlyMap<string, Float32Array>;
  readonly samples: readonly Sample[];
  readonly pictures: PictureSet;
  readonly threads: number;
}

/**
 * How much the float model's answers change when a unit alone is rounded to a scheme: mean over answer tokens
 * of KL(float ‖ rounded), in nats.
 */
export class Sensitivity {
  private constructor(
    private readonly options: SensitivityOptions,
    private readonly model: OnnxModel,
    /** By sample: what the float projector makes of its pictures. */
    private readonly features: readonly (Float32Array | undefined)[],
    /** By sample and answer token. */
    private readonly expected: readonly (readonly Float64Array[])[],
  ) {}

  static async create(options: SensitivityOptions): Promise<Sensitivity> {
    const { config, parameters, samples, threads } = options;
    const model = await OnnxModel.create(ort, config, parameters, { threads });
    const features: (Float32Array | undefined)[] = [];
    const expected: Float64Array[][] = [];
    for (const sample of samples) {
      const own = await encode(model, sample, options.pictures);
      features.push(own);
      expected.push(await answerLogProbabilities(model, sample, own));
    }
    if (expected.every((rows) => rows.length === 0)) {
      throw new SpeedqError(
        'invalid-data',
        'The conversations have no answers to measure sensitivity on. Give other --data.',
      );
    }
    return new Sensitivity(options, model, features, expected);
  }

  async measure({ parameters }: Unit, scheme: SchemeChoice): Promise<number> {
    const { options, model } = this;
    const rounded = new Map(options.parameters);
    for (const { name, shape } of parameters) {
      const weight = options.parameters.get(name)!;
      rounded.set(name, unpackToFloat(packWeight(weight, shape, namedScheme(scheme, shape[1])!, { name })));
    }
    model.setParameters(rounded);
    const changesPictures = parameters.some(({ part }) => part === 'vision' || part === 'projector');
    let sum = 0;
    let count = 0;
    for (const [index, sample] of options.samples.entries()) {
      const features = changesPictures ? await encode(model, sample, options.pictures) : this.features[index];
      const actual = await answerLogProbabilities(model, sample, features);
      for (const [row, expected] of this.expected[index].entries()) {
        sum += klDivergence(expected, actual[row]);
        count++;
      }
    }
    return sum / count;
  }

  release(): Promise<void> {
    return this.model.release();
  }
}

async function encode(
  model: OnnxModel,
  sample: Sample,
  pictures: PictureSet,
): Promise<Float32Array | undefined> {
  if (sample.pictures.length === 0) return undefined;
  const parts: Float32Array[] = [];
  for (const picture of sample.pictures) {
    parts.push(await model.encodeImages(await pictures.pixels(picture), pictures.pictures[picture].tiles));
  }
  const features = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    features.set(part, offset);
    offset += part.length;
  }
  return features;
}

/** Of the positions that predict an answer token. */
async function answerLogProbabilities(
  model: OnnxModel,
  { ids, labels }: Sample,
  features: Float32Array | undefined,
): Promise<Float64Array[]> {
  const targets = labels.flatMap((label, at) => (label === IGNORE_INDEX || at === 0 ? [] : [at]));
  if (targets.length === 0) return [];
  const rows = ids.length - targets[0] + 1;
  model.reset();
  const logits = await model.forward(ids, { features, logits: rows });
  const vocabulary = logits.length / rows;
  return targets.map((target) => {
    const row = target - targets[0];
    return logProbabilities(logits, row * vocabulary, vocabulary);
  });
}
