import { clampToRange } from '@speedq/format';
import { languageModel, projector } from '@speedq/model';
import { Graph, Session, parameterInputs, rotaryTable } from '@speedq/onnx';
import type { Feed } from '@speedq/onnx';
import { parameterInventory } from '@speedq/model';
import { createRandom } from '../data/random.ts';
import { RANDOM, ort } from './context.ts';
import type { StageContext } from './context.ts';
import { languageInputs } from './data/micro-batch.ts';
import type { Sample } from './data/samples.ts';
import type { VisionFeatures } from './features.ts';
import { searchClipRange } from './clip-search/search-clip-range.ts';
import { GramMatrices } from './gram.ts';
import { RecordingOps } from './recording-ops.ts';
import { stopIfAsked } from './reporter.ts';
import { tileTokens } from './blocks/block.ts';

/**
 * Clipping initialisation: per group of each linear that stage 3 quantizes, the range that loses least on what
 * the linear multiplies, by the float language model behind the quantized encoder. Clamps the student's weights
 * to it. The reference leaves q and k out and scores another quantizer than the one trained with (flaw 8).
 */
export async function clampToSearchedRanges(
  context: StageContext,
  names: readonly string[],
  features: VisionFeatures,
): Promise<void> {
  const { recipe, student, reporter } = context;
  const searched = recipe.fixes.searchTrainedQuantizer
    ? names
    : names.filter((name) => !/\.(q|k)_proj\.weight$/.test(name));
  reporter.start('stage 3, clipping ranges', searched.length);
  const grams = await gatherGrams(context, searched, features);
  for (const [index, name] of searched.entries()) {
    stopIfAsked(reporter, 'the search for clipping ranges');
    const [rows, columns] = student.spec(name).shape;
    const scheme = student.bilevelScheme(name)!;
    const weight = student.parameters.get(name)!;
    const range = searchClipRange(weight, rows, columns, scheme, grams.get(name), {
      name,
      reference: !recipe.fixes.searchTrainedQuantizer,
    });
    student.parameters.set(name, clampToRange(weight, range, scheme.groupSize));
    reporter.progress(index + 1);
  }
  reporter.finish();
}

async function gatherGrams(
  context: StageContext,
  names: readonly string[],
  features: VisionFeatures,
): Promise<GramMatrices> {
  const { samples, student, recipe, seed, pictures } = context;
  const grams = new GramMatrices();
  // One graph serves conversations with pictures; where there are none, text.
  const pictured = samples.filter(({ tiles }) => tiles > 0);
  const usable = pictured.length > 0 ? pictured : samples;
  const session = await recordingSession(context, names, pictured.length > 0);
  try {
    let tokens = 0;
    for (const sample of createRandom(seed, RANDOM.calibration, 3).shuffle(usable)) {
      const visionFeatures = new Float32Array(sample.tiles * features.tileSize);
      let offset = 0;
      for (const picture of sample.pictures) {
        const size = pictures.pictures[picture].tiles * features.tileSize;
        await features.read(picture, visionFeatures.subarray(offset, offset + size), [-1, offset]);
        offset += size;
      }
      const inputs = await session.run(sample, visionFeatures);
      for (const name of names) {
        grams.add(name, inputs.get(name)!, student.spec(name).shape[1], student.bilevelScheme(name)!);
      }
      tokens += sample.ids.length;
      if (tokens >= recipe.stage3.clipSearchTokens) break;
    }
  } finally {
    await session.release();
  }
  return grams;
}

/** The float language side on one conversation, what the named linears multiply kept. */
async function recordingSession(
  { config, student, threads }: StageContext,
  names: readonly string[],
  withPictures: boolean,
) {
  const g = new Graph();
  const { language, vision } = config;
  const half = language.headDim / 2;
  const tokens = tileTokens(config);
  const ops = new RecordingOps(g, {
    parameter: parameterInputs(g, config),
    vision: { tiles: 'tiles', tokens },
    language: {
      batch: 1,
      length: 'length',
      cos: g.input('cos', [1, 'length', 1, half]),
      sin: g.input('sin', [1, 'length', 1, half]),
      mask: g.input('mask', [1, 1, 'length', 'length']),
      imageIndex: g.input('image_index', ['length'], 'int64'),
      imageMask: g.input('image_mask', ['length', 1]),
    },
  });
  const features = withPictures
    ? projector(ops, config, g.input('vision_features', [`tiles*${tokens}`, vision.hiddenSize]))
    : undefined;
  languageModel(ops, config, g.input('input_ids', ['length'], 'int64'), features);
  // q, k and v share an input. What no output needs, such as the head, is not computed.
  const recorded = names.map((name) => [name, ops.inputs.get(name)!] as const);
  for (const tensor of new Set(recorded.map(([, tensor]) => tensor)))
    g.output(`input.${tensor.name}`, tensor);
  const session = await Session.create(ort, g.build(), { threads });
  const shapes = new Map(parameterInventory(config).map(({ name, shape }) => [name, shape]));
  return {
    async run(sample: Sample, visionFeatures: Float32Array): Promise<Map<string, Float32Array>> {
      const length = sample.ids.length;
      const inputs = languageInputs(config, [[sample]], { length, tiles: sample.tiles });
      const { cos, sin } = rotaryTable(inputs.positions, language.headDim, language.ropeTheta);
      const feeds = new Map<string, Feed>([
        ['input_ids', session.int(inputs.inputIds, [length])],
        ['cos', session.float(cos, [1, length, 1, half])],
        ['sin', session.float(sin, [1, length, 1, half])],
        ['mask', session.float(inputs.mask, [1, 1, length, length])],
        ['vision_features', session.float(visionFeatures, [sample.tiles * tokens, vision.hiddenSize])],
      ]);
      if (inputs.imageIndex) feeds.set('image_index', session.int(inputs.imageIndex, [length]));
      if (inputs.imageMask) feeds.set('image_mask', session.float(inputs.imageMask, [length, 1]));
      for (const name of session.inputNames) {
        const shape = shapes.get(name);
        if (shape) feeds.set(name, session.float(student.parameters.get(name)!, shape));
      }
      const results = await session.run(feeds);
      return new Map(
        recorded.map(([weight, { name }]) => [weight, results.get(`input.${name}`)!.data as Float32Array]),
      );
    },
    release: () => session.release(),
  };
}
