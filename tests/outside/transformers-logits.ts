/**
 * The float export in the libraries it is made for: transformers reads the Hugging Face layout, the reference
 * implementation's own InternVLChatModel the original one, and both give the logits of our CPU engine.
 *
 *     npm run check:transformers -- --python PYTHON [--reference CHECKOUT]
 *
 * PYTHON has torch, transformers and safetensors (einops too, for the reference's code); CHECKOUT is
 * antgroup/SPEED-Q or OpenGVLab/InternVL's internvl_chat folder.
 */
import ort from 'onnxruntime-node';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OnnxModel } from '@speedq/onnx';
import { createGenerator, testMix } from '../../tools/src/data/index.ts';
import { encodeQuestion } from '../../tools/src/eval/answer.ts';
import { openModel } from '../../tools/src/eval/open-model.ts';
import { withModelFolder } from '../../tools/src/model-folder.ts';
import { writeFloatCheckpoint } from '../../tools/src/packing/float-checkpoint.ts';
import { internvlCases, openTensors } from '../golden/internvl-folder.ts';
import { goldenPath } from '../golden/folder.ts';
import { Report, repositoryRoot, runPython, speedq, withTemporaryFolder } from './support.ts';

const TOLERANCE = 1e-4;
const SEED = 5;

const { values: options } = parseArgs({
  options: { python: { type: 'string', default: 'python3' }, reference: { type: 'string' } },
});

interface Case {
  readonly ids: readonly number[];
  readonly pixels: Float32Array;
  readonly tiles: number;
  /** The original layout leaves it to the tokenizer, which golden models have not. */
  readonly imageTokenId: number;
}

/** Schemes that fit every golden model: a width of 112 is no multiple of the tables' 32. */
const GOLDEN_RECIPE = { extends: '2bit', schemes: { embedding: 'float', head: 'float' } };

await withTemporaryFolder(async (folder) => {
  const recipe = join(folder, 'recipe.json');
  await writeFile(recipe, JSON.stringify(GOLDEN_RECIPE));
  const prepared: string[] = [];
  for (const name of ['pico-2bit', 'pico-4bit']) {
    const packed = join(repositoryRoot, 'web/public/models', name);
    prepared.push(await prepare(join(folder, name), packed, await askPico(packed)));
  }
  for (const { name, expected } of internvlCases()) {
    const isOriginal = name !== expected;
    if (isOriginal && options.reference === undefined) {
      console.log(`skipped ${name}: no --reference CHECKOUT`);
      continue;
    }
    const source = goldenPath('internvl', name);
    const packed = join(folder, `${name}-packed`);
    await speedq('export', source, '--to', 'packed', '--recipe', recipe, '--out', packed);
    const golden = openTensors(expected, 'expected.safetensors');
    const picture = {
      ids: Array.from(golden.integers('input_ids')),
      pixels: golden.floats('pixel_values'),
      tiles: golden.shape('pixel_values')[0],
      imageTokenId: await imageToken(goldenPath('internvl', expected)),
    };
    prepared.push(await prepare(join(folder, name), packed, picture));
  }
  const reference = options.reference === undefined ? [] : ['--reference', options.reference];
  const results = runPython<Result>(options.python, 'transformers_logits.py', ...reference, ...prepared);
  const report = new Report();
  for (const { name, code, difference } of results) {
    const figure = `largest difference ${difference.toExponential(1)}`;
    report.check(`${name} in ${code}`, difference < TOLERANCE, figure);
  }
  report.check('models read', results.length === prepared.length, `${results.length} of ${prepared.length}`);
  report.finish();
});

interface Result {
  readonly name: string;
  readonly code: string;
  readonly difference: number;
}

/** A folder with the float export of `packed`, the input, and what we make of it. */
async function prepare(path: string, packed: string, { ids, pixels, tiles, imageTokenId }: Case) {
  await mkdir(path);
  await speedq('export', packed, '--to', 'float', '--out', join(path, 'model'));
  const { config, logits } = await withModelFolder(packed, async ({ config: declared, tensors }) => {
    const config = { ...declared, imageTokenId };
    const parameters = new Map<string, Float32Array>();
    for (const { name } of tensors.parameters) parameters.set(name, await tensors.read(name));
    const model = await OnnxModel.create(ort, config, parameters, { threads: 1 });
    const features = await model.encodeImages(pixels, tiles);
    return { config, logits: await model.forward(ids, { features, logits: 'all' }) };
  });
  const { imageSize } = config.vision;
  const tensors = [
    { name: 'pixel_values', shape: [tiles, 3, imageSize, imageSize], chunks: () => [pixels] },
    { name: 'logits', shape: [ids.length, config.language.vocabSize], chunks: () => [logits] },
  ];
  await writeFloatCheckpoint(join(path, 'expected.safetensors'), tensors, 'F32');
  await writeFile(join(path, 'input.json'), JSON.stringify({ ids, imageTokenId, layout: config.layout }));
  return path;
}

/** A question about a picture that training never shows. */
async function askPico(packed: string): Promise<Case> {
  const generator = createGenerator({ seed: SEED, split: 'test', mix: testMix });
  const sample = Array.from({ length: 100 }, (_, i) => generator.sample(i)).find(({ size }) => size > 0)!;
  const model = await openModel(packed, 'cpu', { threads: 1, maxContext: 16 });
  const picture = model.toPicture({ width: sample.size, height: sample.size, data: sample.rgb });
  const { ids } = encodeQuestion(model, sample.questions[0].question, [picture]);
  model.engine.destroy();
  return { ids: Array.from(ids), ...picture, imageTokenId: await imageToken(packed) };
}

function imageToken(folder: string): Promise<number> {
  return withModelFolder(folder, ({ config }) => Promise.resolve(config.imageTokenId));
}
