import { SpeedqError } from '@speedq/format';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { defineCommand } from '../cli/command.ts';
import { readTsv } from '../data/index.ts';
import type { EvaluationRow } from '../data/index.ts';
import { createRandom } from '../data/random.ts';
import { ENGINES } from '../eval/engine.ts';
import { evaluateModel } from '../eval/evaluate.ts';
import type { Evaluation } from '../eval/evaluate.ts';
import { openModel } from '../eval/open-model.ts';
import { PROMPT_STYLES, promptStyleOf } from '../eval/prompts.ts';
import type { Score } from '../eval/scores.ts';
import { exists } from '../model-folder/float-weights.ts';
import type { Output } from '../output.ts';

export const evaluate = defineCommand({
  args: { model: { description: 'folder of a float or packed model' } },
  options: {
    data: { type: 'string', hint: 'FILE.tsv', required: true, description: 'VLMEvalKit-style TSV' },
    engine: {
      type: 'string',
      choices: ENGINES,
      default: 'cpu',
      description: 'cpu: float32 by onnxruntime; webgpu: the kernels of the web page',
    },
    limit: { type: 'integer', min: 1, description: 'ask only so many questions, drawn by the seed' },
    out: { type: 'string', hint: 'FILE', description: 'write every answer there, one JSON object a line' },
    reference: {
      type: 'string',
      hint: 'MODEL',
      description: 'float model to compare with: KL divergence, perplexity, agreement',
    },
    blankPictures: { type: 'boolean', description: 'show a grey picture instead of each' },
    shufflePictures: {
      type: 'integer',
      hint: 'SEED',
      min: 0,
      description: "show another question's picture",
    },
    prompts: {
      type: 'string',
      choices: PROMPT_STYLES,
      description: 'how to ask; by default plain for data of speedq data, else as VLMEvalKit',
    },
    maxNewTokens: { type: 'integer', min: 1, default: 128, description: 'longest answer in tokens' },
    seed: { type: 'integer', min: 0, default: 0, description: 'of --limit' },
    threads: { type: 'integer', min: 1, description: 'threads of the cpu engine (default: all cores)' },
    force: { type: 'boolean', description: 'replace --out if it exists' },
  },
  details:
    'Answers are greedy. Multiple choice is scored by its letter, yes or no by that word, all else by the whole ' +
    'text without case, spacing and closing mark. Intervals are Wilson’s at 95 %.',
  async run({ args, options, output, progress, signal }) {
    const { data, reference, blankPictures, shufflePictures, maxNewTokens, threads, out } = options;
    if (blankPictures && shufflePictures !== undefined) {
      throw new SpeedqError(
        'invalid-argument',
        '--blank-pictures and --shuffle-pictures exclude each other; run eval twice.',
      );
    }
    if (out !== undefined && !options.force && (await exists(out))) {
      throw new SpeedqError('output-exists', `${out} exists. Pass --force to replace it.`);
    }
    const rows = sample(readTsv(await readFile(data, 'utf8')), options.limit, options.seed);
    const style = options.prompts ?? promptStyleOf(rows);
    const model = await openModel(args.model, options.engine, { threads });
    const master =
      reference === undefined ? undefined : await openModel(reference, options.engine, { threads });
    const { engine } = model;
    const task = progress.start(`eval ${model.name}`, rows.length);
    try {
      const { predictions, ...evaluation } = await evaluateModel({
        rows,
        model,
        reference: master,
        folder: dirname(resolve(data)),
        style,
        pictures: blankPictures ? 'blank' : shufflePictures === undefined ? 'own' : 'shuffled',
        seed: shufflePictures,
        maxNewTokens,
        signal,
        onProgress: (done, hits) => task.update(done, `${percent(hits / done)} right`),
      });
      task.finish();
      if (out !== undefined) await writeLines(out, predictions);
      printEvaluation(evaluation, output);
      return { ...evaluation, prompts: style, engine: engine.kind, adapter: engine.description, out };
    } finally {
      engine.destroy();
      master?.engine.destroy();
    }
  },
});

/** In the order of the file. */
function sample(rows: EvaluationRow[], limit: number | undefined, seed: number): EvaluationRow[] {
  if (limit === undefined || limit >= rows.length) return rows;
  const kept = new Set(createRandom(seed).shuffle(rows).slice(0, limit));
  return rows.filter((row) => kept.has(row));
}

async function writeLines(path: string, items: readonly unknown[]): Promise<void> {
  const partial = join(dirname(path), `.${basename(path)}.partial`);
  try {
    await writeFile(partial, items.map((item) => `${JSON.stringify(item)}\n`).join(''));
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

function printEvaluation(evaluation: Omit<Evaluation, 'predictions'>, output: Output): void {
  const { byCategory, perplexity, reference } = evaluation;
  const rows = [['', 'right', 'of', 'accuracy', '95 %', 'chance', 'among what is there']];
  for (const [category, own] of Object.entries(byCategory)) {
    rows.push(scoreCells(category, own));
    const subtypes = Object.entries(own.bySubtype);
    if (subtypes.length > 1) for (const [name, part] of subtypes) rows.push(scoreCells(`  ${name}`, part));
  }
  rows.push(scoreCells('all', evaluation));
  output.table(rows, [1, 2, 3, 4, 5, 6]);
  output.print();
  if (perplexity !== undefined) output.print(`perplexity of the right answers ${perplexity.toFixed(4)}`);
  if (reference !== undefined) {
    output.print(
      `reference: perplexity ${reference.referencePerplexity.toFixed(4)}, ` +
        `KL ${reference.kl.toExponential(3)} nats per token over ${reference.answerTokens} tokens`,
    );
    output.print(
      `agreement: ${percent(reference.topAgreement)} of tokens, ${percent(reference.answerAgreement)} of answers`,
    );
  }
}

function scoreCells(
  name: string,
  { hits, count, accuracy, interval, chance, presentChance }: Score,
): string[] {
  return [
    name,
    `${hits}`,
    `${count}`,
    percent(accuracy),
    `${percent(interval[0])}–${percent(interval[1])}`,
    percent(chance),
    presentChance === undefined ? '' : percent(presentChance),
  ];
}

function percent(value: number): string {
  return `${(100 * value).toFixed(1)} %`;
}
