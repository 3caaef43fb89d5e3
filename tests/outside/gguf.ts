/**
 * The GGUF export read by others: its weights by the gguf package for Python, and its language model by llama.cpp
 * (node-llama-cpp): the tokens of the prompts and the greedy answers are ours.
 *
 *     npm run check:gguf -- --python PYTHON --library FOLDER
 *
 * PYTHON has gguf and safetensors; FOLDER holds node_modules with node-llama-cpp 3.22.1 (`npm install
 * --ignore-scripts node-llama-cpp@3.22.1`; its llama.cpp comes built).
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createGenerator, testMix } from '../../tools/src/data/index.ts';
import { encodeQuestion } from '../../tools/src/eval/answer.ts';
import { openModel } from '../../tools/src/eval/open-model.ts';
import { SequentialExaminee } from '../../tools/src/eval/sequential-examinee.ts';
import { ggufName } from '../../tools/src/export/gguf/names.ts';
import { withModelFolder } from '../../tools/src/model-folder.ts';
import { Report, repositoryRoot, runNode, runPython, speedq, withTemporaryFolder } from './support.ts';
import { fileURLToPath } from 'node:url';

const QUESTIONS = 20;
const MAX_NEW_TOKENS = 12;
const SEED = 41;
/** llama.cpp rounds activations to 8 bits, which may change an answer. */
const AGREES = 0.9;
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

interface Reply {
  readonly tokens: readonly number[];
  readonly answer: readonly number[];
}

const report = new Report();
for (const name of ['pico-2bit', 'pico-4bit']) {
  await withTemporaryFolder(async (folder) => {
    const packed = join(repositoryRoot, 'web/public/models', name);
    const [gguf, float, names] = ['gguf', 'float', 'names.json'].map((part) => join(folder, part));
    await speedq('export', packed, '--to', 'gguf', '--out', gguf);
    await speedq('export', packed, '--to', 'float', '--out', float);
    const canonical = await withModelFolder(packed, async ({ tensors }) =>
      Promise.resolve(tensors.parameters.map((parameter) => parameter.name)),
    );
    await writeFile(
      names,
      JSON.stringify(Object.fromEntries(canonical.map((name) => [ggufName(name), name]))),
    );
    for (const line of runPython<Line>(options.python, 'gguf_values.py', gguf, float, names)) {
      if ('missing' in line) {
        report.check(`${name}: tensors left out`, line.missing.length === 0, `${line.missing.length}`);
        continue;
      }
      const { file, type, tensors, bytes, relative } = line;
      const figure = `${tensors} tensors, ${bytes} bytes, relative error ${relative.toExponential(1)}`;
      report.check(`${name}: ${file} ${type}`, relative <= RELATIVE[type], figure);
    }
    if (options.library === undefined) console.log('skipped llama.cpp: no --library FOLDER');
    else await askLlama(name, packed, join(gguf, 'model.gguf'), folder, options.library);
  });
}
report.finish();

/** Questions without a picture. */
async function askLlama(name: string, packed: string, model: string, folder: string, library: string) {
  const reference = await openModel(packed, 'cpu', { threads: 1, maxContext: 256 });
  const examinee = new SequentialExaminee(reference);
  const generator = createGenerator({ seed: SEED, split: 'test', mix: testMix });
  const texts: string[] = [];
  for (let index = 0; texts.length < QUESTIONS; index++) {
    const { size, questions } = generator.sample(index);
    if (size === 0) texts.push(questions[0].question);
  }
  const asked = [];
  for (const question of texts) {
    const prompt = encodeQuestion(reference, question, []);
    const { ids } = await examinee.ask({ prompt, target: [] }, { maxNewTokens: MAX_NEW_TOKENS });
    asked.push({
      text: reference.tokenizer.decode(prompt.ids, { skipSpecial: false }),
      ids: Array.from(prompt.ids),
      expected: ids,
    });
  }
  const { stopTokens } = reference.codec;
  reference.engine.destroy();
  const job = join(folder, 'job.json');
  await writeFile(job, JSON.stringify({ model, questions: asked, maxNewTokens: MAX_NEW_TOKENS }));
  const script = fileURLToPath(new URL('llama-cpp-node.mjs', import.meta.url));
  const replies = runNode<Reply>(script, join(library, 'node_modules/node-llama-cpp'), job);
  const same = (a: readonly number[], b: readonly number[]) => JSON.stringify(a) === JSON.stringify(b);
  const tokens = asked.filter(({ ids }, i) => same(ids, replies[i]?.tokens ?? [])).length;
  report.check(
    `${name}: llama.cpp, prompts`,
    tokens === asked.length,
    `${tokens} of ${asked.length} in our tokens`,
  );
  const answers = asked.filter(({ expected }, i) => {
    const answer = replies[i]?.answer ?? [];
    return same(stopTokens.has(answer.at(-1)!) ? answer.slice(0, -1) : answer, expected);
  }).length;
  const figure = `${answers} of ${asked.length} equal`;
  report.check(`${name}: llama.cpp, greedy answers`, answers >= AGREES * asked.length, figure);
}
