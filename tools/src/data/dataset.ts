import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { SpeedqError } from '@speedq/format';
import sharp from 'sharp';
import { createGenerator, defaultSize, type Split } from './generator.ts';
import { letters } from './questions/phrasing.ts';
import { tsvLine } from './tsv.ts';
import type { Mix, Question, TrainingSample } from './types.ts';

export interface DatasetOptions {
  readonly seed: number;
  /** Questions in all. */
  readonly count: number;
  /** Folder to create: data.jsonl, meta.json and images/. */
  readonly out: string;
  /** File to create with the same questions as a VLMEvalKit-style TSV. */
  readonly tsv?: string;
  /** 'test' by default where a TSV is wanted: contents no training sample has; otherwise 'train'. */
  readonly split?: Split;
  readonly mix?: Mix;
  readonly size?: number;
  /** Questions about one picture. Default 1 for 'test', so that they are independent, 4 for 'train'. */
  readonly questionsPerPicture?: number;
  /** Replace `out` and `tsv` if they exist. */
  readonly force?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface DatasetSummary {
  readonly questions: number;
  readonly pictures: number;
  readonly byType: Readonly<Record<string, number>>;
}

/** About as many questions of each type, so that each can be reported by itself. */
export const testMix: Mix = {
  scenes: { objects: 0.5, counting: 0.14, word: 0.13, chart: 0.13, text: 0.2 },
  questions: {
    describe: 0.08,
    what: 0.15,
    count: 0.12,
    colour: 0.17,
    where: 0.14,
    at: 0.11,
    exists: 0.1,
    read: 0.5,
    bar: 0.7,
    choice: 0.11,
    fact: 0.1,
  },
  casual: 0,
};

const tsvColumns = ['index', 'image', 'question', ...letters, 'answer', 'category', 'l2-category', 'split'];

function pngOf(sample: TrainingSample): Promise<Buffer> {
  const { size } = sample;
  return sharp(sample.rgb, { raw: { width: size, height: size, channels: 3 } })
    .png({ compressionLevel: 9 })
    .toBuffer();
}

function refuseExisting(path: string, force: boolean): void {
  if (existsSync(path) && !force) {
    throw new SpeedqError(
      'output-exists',
      `${path} exists already. Choose another name, or replace it with --force.`,
    );
  }
}

function jsonlRecord(
  id: string,
  image: string | undefined,
  size: number,
  { question, answer }: Question,
): string {
  const picture = image === undefined ? {} : { image, width: size, height: size };
  const asked = image === undefined ? question : `<image>\n${question}`;
  const conversations = [
    { from: 'human', value: asked },
    { from: 'gpt', value: answer },
  ];
  return `${JSON.stringify({ id, ...picture, conversations })}\n`;
}

function tsvRecord(index: number, image: string, question: Question, split: Split): string {
  const options = letters.map((_, i) => question.choices?.[i] ?? '');
  const asked = question.choices === undefined ? question.question : question.stem;
  return tsvLine([
    `${index}`,
    image,
    asked,
    ...options,
    question.answer,
    question.type,
    question.subtype,
    split,
  ]);
}

/**
 * Writes a data set of `count` questions: LLaVA-style JSONL with its meta JSON and PNG pictures, and on wish
 * the same questions as a TSV. Each question is a record of its own; no question is asked twice about equal
 * contents. Files appear under their final names only when complete.
 *
 * `meta.json` follows the training lists of InternVL; its `root` and `annotation` are relative to its folder.
 *
 * @throws SpeedqError invalid-argument, output-exists
 */
export async function writeDataset(options: DatasetOptions): Promise<DatasetSummary> {
  const { seed, count, size = defaultSize, force = false, onProgress } = options;
  const split = options.split ?? (options.tsv === undefined ? 'train' : 'test');
  const questionsPerPicture = options.questionsPerPicture ?? (split === 'test' ? 1 : 4);
  if (!Number.isInteger(count) || count < 1) {
    throw new SpeedqError(
      'invalid-argument',
      `The number of questions must be a positive integer, got ${count}.`,
    );
  }
  const out = resolve(options.out);
  const tsv = options.tsv === undefined ? undefined : resolve(options.tsv);
  refuseExisting(out, force);
  if (tsv !== undefined) refuseExisting(tsv, force);

  const mix = { ...(options.mix ?? testMix), questionsPerPicture };
  const generator = createGenerator({ seed, size, split, mix });
  const partial = `${out}.partial`;
  const partialTsv = tsv === undefined ? undefined : join(dirname(tsv), `.${basename(tsv)}.partial`);
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(join(partial, 'images'), { recursive: true });
  if (partialTsv !== undefined) mkdirSync(dirname(partialTsv), { recursive: true });

  const jsonl = openSync(join(partial, 'data.jsonl'), 'w');
  const table = partialTsv === undefined ? undefined : openSync(partialTsv, 'w');
  let open = [jsonl, ...(table === undefined ? [] : [table])];
  const close = (): void => {
    for (const file of open) closeSync(file);
    open = [];
  };
  const byType: Record<string, number> = {};
  const seen = new Set<string>();
  let questions = 0;
  let pictures = 0;
  try {
    if (table !== undefined) writeSync(table, tsvLine(tsvColumns));
    let barren = 0;
    for (let index = 0; questions < count; index++) {
      const sample = generator.sample(index);
      const isText = sample.type === 'text';
      // A text-only sample's key names its questions together: each is told apart by its own words.
      const fresh = sample.questions.filter(
        ({ question }) => !seen.has(`${isText ? '' : sample.key}\n${question}`),
      );
      if (fresh.length === 0) {
        if (++barren > 2000) {
          throw new SpeedqError(
            'invalid-argument',
            `The mix has only ${questions} different questions, ${count} were asked for. Ask for fewer or widen it.`,
          );
        }
        continue;
      }
      barren = 0;
      let image: string | undefined;
      let encoded = '';
      if (!isText) {
        image = `images/${String(pictures++).padStart(6, '0')}.png`;
        const png = await pngOf(sample);
        writeFileSync(join(partial, image), png);
        encoded = png.toString('base64');
      }
      let owner: number | undefined;
      for (const question of fresh.slice(0, Math.min(questionsPerPicture, count - questions))) {
        seen.add(`${isText ? '' : sample.key}\n${question.question}`);
        writeSync(jsonl, jsonlRecord(`pico-${seed}-${questions}`, image, size, question));
        if (table !== undefined) {
          // Further questions about a picture refer to the row that has it.
          writeSync(table, tsvRecord(questions, owner === undefined ? encoded : `${owner}`, question, split));
          if (!isText) owner ??= questions;
        }
        byType[question.type] = (byType[question.type] ?? 0) + 1;
        questions++;
      }
      onProgress?.(questions, count);
    }
    close();
    const meta = {
      pico: { root: '.', annotation: 'data.jsonl', data_augment: false, repeat_time: 1, length: count },
    };
    writeFileSync(join(partial, 'meta.json'), `${JSON.stringify(meta, null, 2)}\n`);
    if (force) rmSync(out, { recursive: true, force: true });
    renameSync(partial, out);
    if (tsv !== undefined && partialTsv !== undefined) renameSync(partialTsv, tsv);
  } catch (error) {
    close();
    rmSync(partial, { recursive: true, force: true });
    if (partialTsv !== undefined) rmSync(partialTsv, { force: true });
    throw error;
  }
  return { questions, pictures, byType };
}
