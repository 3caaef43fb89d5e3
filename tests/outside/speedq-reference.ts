/**
 * Stage 3 under the reference's arithmetic beside the reference implementation's own modules: its quantized linears,
 * tables, model and loss, trained by PyTorch in float32 on the same weights, batches and rates. Both loss curves,
 * smoothed, must agree within 1 %; what both end as is evaluated, and the time of a step of each is told.
 *
 *     npm run check:speedq-reference -- --reference CHECKOUT [--python PYTHON] [--steps N] [--batch N] [--count N]
 *
 * CHECKOUT is antgroup/SPEED-Q; PYTHON has torch, transformers, safetensors and einops. Left out of the comparison are
 * what is random (drop-path) or needs a GPU there (the search for clipping ranges); γ is given.
 */
import { spawn } from 'node:child_process';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { InternVLConfig } from '@speedq/model';
import { loadRecipe, parseRecipe } from '../../tools/src/recipes/load-recipe.ts';
import { asReference } from '../../tools/src/recipes/recipes.ts';
import type { Recipe } from '../../tools/src/recipes/schema.ts';
import { requireFloat, withModelFolder } from '../../tools/src/model-folder.ts';
import type { FloatModelFolder } from '../../tools/src/model-folder.ts';
import { writeFloatCheckpoint } from '../../tools/src/packing/float-checkpoint.ts';
import { originalLayout } from '../../tools/src/packing/original-layout.ts';
import { sideFiles } from '../../tools/src/packing/pack-model.ts';
import { languageOrder } from '../../tools/src/quantize/language-stage.ts';
import { prepareData } from '../../tools/src/quantize/pipeline.ts';
import type { Reporter } from '../../tools/src/quantize/reporter.ts';
import { Report, repositoryRoot, speedq, withTemporaryFolder } from './support.ts';

const TOLERANCE = 0.01;
const SEED = 0;
const DATA_SEED = 31;
const TEST_SEED = 2026;
const GAMMA = 0.7;

const { values: options } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    reference: { type: 'string' },
    steps: { type: 'string', default: '40' },
    batch: { type: 'string', default: '8' },
    count: { type: 'string', default: '200' },
  },
});
if (options.reference === undefined) throw new Error('--reference CHECKOUT of antgroup/SPEED-Q is missing.');
const checkout = options.reference;
const steps = Number(options.steps);
const batchSize = Number(options.batch);
const pico = join(repositoryRoot, 'tools/models/pico');

interface Step {
  readonly loss: number;
  readonly seconds: number;
}

await withTemporaryFolder(async (folder) => {
  const at = (name: string) => join(folder, name);
  const drawn = `${steps * batchSize + 400}`;
  await speedq('data', '--seed', `${DATA_SEED}`, '--count', drawn, '--out', at('data'));
  const recipe = referenceRecipe(await loadRecipe('2bit'));
  await writeFile(at('recipe.json'), JSON.stringify(recipe));
  await withModelFolder(pico, async (opened) => {
    const model = requireFloat(opened);
    await writeTeacher(model, at('teacher'));
    await writeBatches(model, recipe, at('data'), folder);
  });
  // At the same time, so that both meet the same load.
  const [theirs, ours] = await Promise.all([
    trainTheirs(folder, recipe),
    train(at('recipe.json'), at('data'), at('ours')),
  ]);

  const report = new Report();
  report.check('steps', ours.length === steps && theirs.length === steps, `${ours.length}, ${theirs.length}`);
  const [smooth, torchSmooth] = [smoothed(ours), smoothed(theirs)];
  const apart = furthest(smooth, torchSmooth);
  const single = furthest(losses(ours), losses(theirs));
  // Before the first update nothing but rounding tells them apart; later, weights near the middle of two codes flip.
  report.check(
    'first loss',
    Math.abs(ours[0].loss / theirs[0].loss - 1) < 1e-4,
    `${ours[0].loss} and ${theirs[0].loss}`,
  );
  report.check(
    'loss curves, running means of five steps',
    apart.share < TOLERANCE,
    `last ${smooth.at(-1)!.toFixed(5)} and ${torchSmooth.at(-1)!.toFixed(5)}; largest difference ` +
      `${percent(apart.share, 3)} % at step ${apart.step}, of single steps ${percent(single.share, 3)} % at step ${single.step}`,
  );
  await speedq(
    ...['data', '--seed', `${TEST_SEED}`, '--count', options.count, '--split', 'test'],
    ...['--out', at('test'), '--tsv', at('test.tsv')],
  );
  await writeLikePico(at('theirs'), at('theirs-float'));
  const own = await score(at('ours'), at('test.tsv'));
  const other = await score(at('theirs-float'), at('test.tsv'));
  const [low, high] = other.interval;
  report.check(
    'scores',
    own.accuracy >= low && own.accuracy <= high,
    `accuracy ${percent(own.accuracy)} and ${percent(other.accuracy)} (${percent(low)}–${percent(high)}) %, KL ` +
      `${own.kl.toFixed(5)} and ${other.kl.toFixed(5)}`,
  );
  const [mine, torch] = [median(ours), median(theirs)];
  console.log(
    `a step: ${mine.toFixed(2)} s and ${torch.toFixed(2)} s in PyTorch, ${(torch / mine).toFixed(2)} times`,
  );
  report.finish();
});

/** Everything as in the reference but what cannot be compared. */
function referenceRecipe(base: Recipe): Recipe {
  const recipe = asReference(base);
  const stage3 = { ...recipe.stage3, steps, batchSize, gamma: GAMMA, clipSearchTokens: 0 };
  return parseRecipe({ ...recipe, name: 'reference', stage3, fixes: { ...recipe.fixes, noDropPath: true } });
}

/** The float model as the reference reads it. */
async function writeTeacher(
  { config, tensors, path, ...folder }: FloatModelFolder,
  out: string,
): Promise<void> {
  await mkdir(out);
  const stored = originalLayout(tensors.parameters).map(({ name, shape, sources }) => ({
    ...{ name, shape },
    chunks: async function* () {
      for (const source of sources) yield await tensors.read(source);
    },
  }));
  await writeFloatCheckpoint(join(out, 'model.safetensors'), stored, 'F32');
  await writeFile(join(out, 'config.json'), JSON.stringify(originalConfig(config)));
  for (const file of sideFiles({ config, tensors, path, ...folder })) {
    await copyFile(join(path, file), join(out, file));
  }
}

/** Of transformers' remote-code InternVL; what is not here has its default. */
function originalConfig({ vision, language }: InternVLConfig): Record<string, unknown> {
  return {
    architectures: ['InternVLChatModel'],
    model_type: 'internvl_chat',
    downsample_ratio: 0.5,
    ps_version: 'v2',
    select_layer: -1,
    template: 'internvl2_5',
    force_image_size: vision.imageSize,
    dynamic_image_size: true,
    use_thumbnail: true,
    min_dynamic_patch: 1,
    max_dynamic_patch: 1,
    tie_word_embeddings: false,
    torch_dtype: 'float32',
    llm_config: {
      architectures: ['Qwen2ForCausalLM'],
      model_type: 'qwen2',
      hidden_act: 'silu',
      hidden_size: language.hiddenSize,
      intermediate_size: language.intermediateSize,
      num_hidden_layers: language.numLayers,
      num_attention_heads: language.numHeads,
      num_key_value_heads: language.numKeyValueHeads,
      vocab_size: language.vocabSize,
      max_position_embeddings: language.maxPositionEmbeddings,
      rms_norm_eps: language.rmsNormEps,
      rope_theta: language.ropeTheta,
      tie_word_embeddings: false,
    },
    vision_config: {
      architectures: ['InternVisionModel'],
      model_type: 'intern_vit_6b',
      hidden_size: vision.hiddenSize,
      intermediate_size: vision.intermediateSize,
      num_hidden_layers: vision.numLayers,
      num_attention_heads: vision.numHeads,
      image_size: vision.imageSize,
      patch_size: vision.patchSize,
      num_channels: 3,
      qkv_bias: true,
      qk_normalization: false,
      norm_type: 'layer_norm',
      layer_norm_eps: vision.layerNormEps,
      hidden_act: 'gelu',
      attention_dropout: 0,
      drop_path_rate: 0,
      dropout: 0,
    },
  };
}

/** Tokens, labels and pictures of every update, in the order of our own training. */
async function writeBatches(
  model: FloatModelFolder,
  recipe: Recipe,
  data: string,
  out: string,
): Promise<void> {
  const none = () => undefined;
  const reporter: Reporter = {
    ...{ start: none, progress: none, finish: none, note: none, event: none },
    stopRequested: () => false,
  };
  const job = { recipe, seed: SEED, method: 'speedq', stages: [3], data } as const;
  const { samples, pictures } = await prepareData(model, { ...job, stages: [3] }, reporter);
  const order = languageOrder({ samples, seed: SEED, recipe });
  const used = new Set<number>();
  const batches = Array.from({ length: steps }, (_, step) => {
    const { microBatches, samples: chosen } = order.at(step);
    const items = chosen.map((index) => {
      const { ids, labels, pictures: shown } = samples[index];
      for (const picture of shown) used.add(picture);
      return { ids, labels, pictures: shown };
    });
    return { length: microBatches[0].length, items };
  });
  const { imageSize } = model.config.vision;
  const tensors = [...used].map((picture) => ({
    name: `${picture}`,
    shape: [pictures.pictures[picture].tiles, 3, imageSize, imageSize],
    chunks: async function* () {
      yield await pictures.pixels(picture);
    },
  }));
  await writeFloatCheckpoint(join(out, 'pictures.safetensors'), tensors, 'F32');
  await writeFile(
    join(out, 'batches.json'),
    JSON.stringify({ imageToken: model.config.imageTokenId, batches }),
  );
}

/** The command itself; its loss events tell the time. */
async function train(recipe: string, data: string, out: string): Promise<Step[]> {
  const argv = ['quantize', pico, '--recipe', recipe, '--stages', '3', '--data', data, '--seed', `${SEED}`];
  const found: Step[] = [];
  let before = performance.now();
  const command = join(repositoryRoot, 'tools/bin/speedq.js');
  await eachLine(process.execPath, [command, ...argv, '--threads', '1', '--out', out, '--json'], (line) => {
    const { event, stage, total } = JSON.parse(line) as { event?: string; stage?: string; total?: number };
    if (event !== 'loss' || stage !== 'stage-3') return;
    const now = performance.now();
    found.push({ loss: total!, seconds: (now - before) / 1000 });
    before = now;
  });
  return found;
}

async function trainTheirs(folder: string, { stage3 }: Recipe): Promise<Step[]> {
  const script = join(repositoryRoot, 'tests/outside/speedq_reference.py');
  const settings = {
    rate: stage3.learningRate,
    warmup: stage3.warmupRatio,
    decay: stage3.weightDecay,
    gamma: GAMMA,
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const found: Step[] = [];
  const argv = [script, '--reference', checkout, '--folder', folder, ...flags];
  await eachLine(options.python, argv, (line) => {
    if (line.startsWith('{')) found.push(JSON.parse(line) as Step);
  });
  return found;
}

function eachLine(command: string, argv: readonly string[], take: (line: string) => void): Promise<void> {
  const child = spawn(command, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  createInterface(child.stdout).on('line', take);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${command} ${argv.join(' ')} ended with ${code}`));
    });
  });
}

/** Their trained model, dequantized, in pico's own layout: with its template and tiling. */
async function writeLikePico(theirs: string, out: string): Promise<void> {
  await mkdir(out);
  for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'added_tokens.json']) {
    await copyFile(join(theirs, '..', 'teacher', file), join(theirs, file));
  }
  await withModelFolder(pico, async (opened) => {
    for (const file of ['config.json', ...sideFiles(opened)])
      await copyFile(join(pico, file), join(out, file));
  });
  await withModelFolder(theirs, async (opened) => {
    const { tensors } = requireFloat(opened);
    const stored = tensors.parameters.map(({ name, shape }) => ({
      ...{ name, shape },
      chunks: async function* () {
        yield await tensors.read(name);
      },
    }));
    await writeFloatCheckpoint(join(out, 'model.safetensors'), stored, 'F32');
  });
}

async function score(model: string, tsv: string) {
  const out = `${model}.jsonl`;
  await speedq('eval', model, '--data', tsv, '--reference', pico, '--threads', '1', '--out', out);
  const rows = (await readFile(out, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { hit: boolean; comparison: { kl: number; tokens: number } });
  const sum = (value: (row: (typeof rows)[number]) => number) =>
    rows.reduce((all, row) => all + value(row), 0);
  const accuracy = sum(({ hit }) => Number(hit)) / rows.length;
  const half = 1.96 * Math.sqrt((accuracy * (1 - accuracy)) / rows.length);
  return {
    accuracy,
    interval: [accuracy - half, accuracy + half] as const,
    kl: sum(({ comparison }) => comparison.kl) / sum(({ comparison }) => comparison.tokens),
  };
}

function median(found: readonly Step[]): number {
  const sorted = found.map(({ seconds }) => seconds).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function losses(found: readonly Step[]): number[] {
  return found.map(({ loss }) => loss);
}

function smoothed(found: readonly Step[]): number[] {
  return losses(found).map((_, i, all) => {
    const last = all.slice(Math.max(0, i - 4), i + 1);
    return last.reduce((sum, loss) => sum + loss, 0) / last.length;
  });
}

function furthest(ours: readonly number[], theirs: readonly number[]): { share: number; step: number } {
  const shares = ours.map((loss, i) => Math.abs(loss - theirs[i]) / theirs[i]);
  const share = Math.max(...shares);
  return { share, step: shares.indexOf(share) };
}

function percent(value: number, digits = 1): string {
  return (100 * value).toFixed(digits);
}
