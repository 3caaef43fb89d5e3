/**
 * The GGUF export read by others: its weights by the gguf package for Python; its language model, and its mmproj with
 * pictures, by llama.cpp (llama.node). The tokens of the prompts, the greedy answers and the probabilities of their
 * first tokens are ours.
 *
 *     npm run check:gguf -- --python PYTHON [--library FOLDER]
 *
 * PYTHON has gguf and safetensors; FOLDER holds node_modules with llama.node, whose llama.cpp comes built (10 MB);
 * without it, it is installed into a temporary folder.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { withModelFolder } from '../../tools/src/model-folder.ts';
import { ggufName } from '../../tools/src/export/gguf/names.ts';
import { drawLlamaQuestions } from './llama-questions.ts';
import type { LlamaQuestion } from './llama-questions.ts';
import {
  Report,
  installPackages,
  repositoryRoot,
  runNode,
  runPython,
  speedq,
  withTemporaryFolder,
} from './support.ts';

const BINDING = '1.7.15';
const MAX_NEW_TOKENS = 12;
/** Relative to the norm of all weights of a type: what each can say of a step. */
const RELATIVE: Readonly<Record<string, number>> = {
  F32: 0,
  F16: 3e-4,
  Q4_0: 3e-4,
  // Step and minimum are both rounded and nearly cancel in small weights.
  Q4_1: 1e-3,
  Q8_0: 0.006,
  Q3_K: 0.03,
};

/** With nothing quantized, what is left is llama.cpp's fp16 arithmetic. */
const FLOAT_RECIPE = {
  extends: '2bit',
  schemes: { vision: 'float', projector: 'float', language: 'float', embedding: 'float', head: 'float' },
};

interface Model {
  readonly name: string;
  readonly packed: string;
  /** Share of greedy answers that must be ours. */
  readonly agrees: number;
  /** Largest difference allowed between probabilities of a first token. */
  readonly probability: number;
}

const { values: options } = parseArgs({
  options: { python: { type: 'string', default: 'python3' }, library: { type: 'string' } },
});

type Line =
  | {
      readonly file: string;
      readonly type: string;
      readonly tensors: number;
      readonly bytes: number;
      readonly relative: number;
    }
  | { readonly missing: readonly string[] };

/** What llama.cpp makes of a question. */
interface Reply {
  /** Of the prompt; −1 where a picture's are. */
  readonly tokens: readonly number[];
  readonly answer: string;
  /** Of the first token of the answer: the most probable ones. */
  readonly first: readonly { readonly text: string; readonly probability: number }[];
}

const report = new Report();
await withTemporaryFolder(async (folder) => {
  const library = options.library ?? install(join(folder, 'library'));
  const recipe = join(folder, 'recipe.json');
  await writeFile(recipe, JSON.stringify(FLOAT_RECIPE));
  const float = join(folder, 'pico-float');
  await speedq(
    'export',
    join(repositoryRoot, 'tools/models/pico'),
    '--to',
    'packed',
    '--recipe',
    recipe,
    '--out',
    float,
  );
  const models = join(repositoryRoot, 'web/public/models');
  // llama.cpp rounds the activations of quantized linears to 8 bits, which may change an answer.
  for (const model of [
    { name: 'pico, float', packed: float, agrees: 1, probability: 0.02 },
    { name: 'pico-4bit', packed: join(models, 'pico-4bit'), agrees: 0.95, probability: 0.02 },
    { name: 'pico-2bit', packed: join(models, 'pico-2bit'), agrees: 0.9, probability: 0.1 },
  ]) {
    const gguf = join(folder, `${model.name}-gguf`);
    await speedq('export', model.packed, '--to', 'gguf', '--out', gguf);
    await compareWeights(model, gguf, folder);
    await compareAnswers(model, gguf, folder, library);
  }
});
report.finish();

/** Only what this machine's processor runs, of the library's builds for many. */
function install(folder: string): string {
  const build = `@fugood/node-llama-${process.platform}-${process.arch}@${BINDING}`;
  return installPackages(folder, '--omit=optional', `@fugood/llama.node@${BINDING}`, build);
}

async function compareWeights({ name, packed }: Model, gguf: string, folder: string): Promise<void> {
  const [float, names] = [join(folder, `${name}-values`), join(folder, 'names.json')];
  await speedq('export', packed, '--to', 'float', '--out', float);
  const canonical = await withModelFolder(packed, async ({ tensors }) =>
    Promise.resolve(tensors.parameters.map((parameter) => parameter.name)),
  );
  await writeFile(names, JSON.stringify(Object.fromEntries(canonical.map((one) => [ggufName(one), one]))));
  for (const line of runPython<Line>(options.python, 'gguf_values.py', gguf, float, names)) {
    if ('missing' in line) {
      report.check(`${name}: tensors left out`, line.missing.length === 0, `${line.missing.length}`);
      continue;
    }
    const { file, type, tensors, bytes, relative } = line;
    const figure = `${tensors} tensors, ${bytes} bytes, relative error ${relative.toExponential(1)}`;
    report.check(`${name}: ${file} ${type}`, relative <= RELATIVE[type], figure);
  }
}

async function compareAnswers(model: Model, gguf: string, folder: string, library: string): Promise<void> {
  const asked = await drawLlamaQuestions(model.packed, folder, MAX_NEW_TOKENS);
  const job = join(folder, 'job.json');
  await writeFile(
    job,
    JSON.stringify({
      model: join(gguf, 'model.gguf'),
      mmproj: join(gguf, 'mmproj.gguf'),
      questions: asked,
      maxNewTokens: MAX_NEW_TOKENS,
    }),
  );
  const script = fileURLToPath(new URL('llama-cpp-node.mjs', import.meta.url));
  const replies = runNode<Reply>(script, join(library, 'node_modules/@fugood/llama.node'), job);
  for (const [what, isOfThem] of [
    ['text', ({ picture }) => picture === undefined],
    ['pictures', ({ picture }) => picture !== undefined],
  ] satisfies [string, (question: LlamaQuestion) => boolean][]) {
    const pairs = asked.flatMap((question, i) =>
      isOfThem(question) ? [{ question, reply: replies.at(i) }] : [],
    );
    const check = (about: string, isRight: boolean, figure: string): void =>
      report.check(`${model.name}, ${what}: ${about}`, isRight && pairs.length > 0, figure);
    const tokens = pairs.filter(({ question, reply }) => isSame(question.ids, reply?.tokens ?? [])).length;
    check('prompts', tokens === pairs.length, `${tokens} of ${pairs.length} in our tokens`);
    const answers = pairs.filter(({ question, reply }) => question.expected === reply?.answer).length;
    check('greedy answers', answers >= model.agrees * pairs.length, `${answers} of ${pairs.length} equal`);
    const differences = pairs.map(({ question, reply }) => difference(question, reply));
    const figure = `largest difference ${Math.max(...differences).toExponential(1)}`;
    check('probabilities of first tokens', Math.max(...differences) <= model.probability, figure);
  }
}

function isSame(ours: readonly number[], theirs: readonly number[]): boolean {
  return ours.length === theirs.length && ours.every((id, i) => id === theirs[i]);
}

/** Between our probabilities and theirs, of the tokens that llama.cpp finds most probable. */
function difference({ first }: LlamaQuestion, reply: Reply | undefined): number {
  if (reply === undefined || reply.first.length === 0) return Infinity;
  return Math.max(...reply.first.map(({ text, probability }) => Math.abs((first[text] ?? 0) - probability)));
}
