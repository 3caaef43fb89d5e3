import sharp from 'sharp';
import { dirname } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { tsvLine } from '../data/index.ts';
import { evaluateModel } from './evaluate.ts';
import type { EvaluateOptions } from './evaluate.ts';
import { promptStyleOf } from './prompts.ts';
import { readQuestions } from './question.ts';
import type { Question } from './question.ts';
import { picoTokenizer, scriptedModel } from './testing/scripted-model.ts';
import { temporaryTable } from './testing/temporary-table.ts';

async function picture(red: number): Promise<string> {
  const background = { r: red, g: 0, b: 0 };
  const png = await sharp({ create: { width: 28, height: 28, channels: 3, background } })
    .png()
    .toBuffer();
  return png.toString('base64');
}

const dark = await picture(30);
const bright = await picture(240);
/** Eight questions over two pictures and none. */
const tsv = [
  ['index', 'image', 'question', 'A', 'B', 'C', 'answer', 'category', 'l2-category'],
  ['0', dark, 'What is this?', '', '', '', 'a cat', 'what', 'single'],
  ['1', bright, 'What is this?', '', '', '', 'a dog', 'what', 'single'],
  ['2', '0', 'How many cats are there?', '', '', '', '2', 'count', 'ordinary'],
  ['3', '1', 'How many cats are there?', '', '', '', '0', 'count', 'zero'],
  ['4', '0', 'Is there a dog?', '', '', '', 'no', 'exists', 'other'],
  ['5', '1', 'Which?', 'cat', 'dog', 'cow', 'B', 'choice', 'present'],
  ['6', '', 'What is 1 + 1?', '', '', '', '2', 'fact', 'arithmetic'],
  ['7', '', 'What is 2 + 2?', '', '', '', '4', 'fact', 'arithmetic'],
]
  .map(tsvLine)
  .join('');
let rows: Question[] = [];
beforeEach(async () => {
  rows = await read(tsv);
});

async function read(text: string): Promise<Question[]> {
  const { table, path } = await temporaryTable(text);
  return readQuestions(table, dirname(path));
}

/** Sees whether the picture is bright; says 2 to every number. */
const script = (prompt: string, mean: number | undefined): string => {
  if (prompt.includes('How many') || prompt.includes(' + ')) return '2';
  if (prompt.includes('Is there')) return 'Yes.';
  if (prompt.includes('Which?')) return 'The answer is B';
  return mean! > 0.2 ? 'a dog' : 'a cat';
};

function evaluate(options: Partial<EvaluateOptions> = {}) {
  return evaluateModel({
    rows,
    model: scriptedModel(script),
    style: promptStyleOf(rows),
    ...options,
  });
}

describe('evaluateModel', () => {
  it('scores by category and subtype as a person would', async () => {
    const result = await evaluate();
    expect(result.predictions.map(({ hit }) => hit)).toEqual([
      true,
      true,
      true,
      false,
      false,
      true,
      true,
      false,
    ]);
    expect(result.predictions[5].prediction).toBe('The answer is B');
    expect(result).toMatchObject({ count: 8, hits: 5, accuracy: 5 / 8 });
    expect(result.withPictures).toMatchObject({ count: 6, hits: 4 });
    expect(Object.keys(result.byCategory)).toEqual(['choice', 'count', 'exists', 'fact', 'what']);
    expect(result.byCategory.count).toMatchObject({ count: 2, hits: 1, accuracy: 0.5 });
    expect(result.byCategory.count.bySubtype).toMatchObject({ ordinary: { hits: 1 }, zero: { hits: 0 } });
    // 1/3 for the choice, 1/2 for yes or no, nothing for answers that occur once.
    expect(result.chance).toBeCloseTo((1 / 3 + 1 / 2) / 8, 12);
  });

  it('gives the same answers token by token as with the right answer as draft', async () => {
    const drafted = await evaluate();
    const generated = await evaluate({ model: scriptedModel(script, 'webgpu') });
    expect(generated.predictions).toEqual(drafted.predictions);
    expect(generated.perplexity).toBeUndefined();
  });

  it('encodes each picture once and keeps what prompts have in common', async () => {
    const model = scriptedModel(script);
    await evaluate({ model });
    expect(model.calls.encodeImages).toBe(2);
    const whole = scriptedModel(script);
    for (const row of rows) await evaluate({ rows: [row], model: whole });
    expect(whole.calls.encodeImages).toBe(6);
    expect(model.calls.ids).toBeLessThan(0.8 * whole.calls.ids);
  });

  it('shows a grey picture, or that of another question', async () => {
    const blank = await evaluate({ pictures: 'blank' });
    // 128/255 is brighter than 0.2 in all channels: a dog both times.
    expect(blank.predictions.slice(0, 2).map(({ prediction }) => prediction)).toEqual(['a dog', 'a dog']);
    const shuffled = await evaluate({ pictures: 'shuffled', seed: 3 });
    expect(shuffled.predictions.slice(0, 2).map(({ prediction }) => prediction)).toEqual(['a dog', 'a cat']);
    expect(shuffled.byCategory.fact.hits).toBe(1);
    expect(shuffled.withPictures.hits).toBe(2);
  });

  it('measures what a model lost against its reference', async () => {
    const vocabulary = picoTokenizer.vocabSize;
    // Both say the same, with different confidence: p at the right token, the rest spread evenly.
    const right = rows.map(({ answer }) => answer);
    const said = (prompt: string) => right[rows.findIndex(({ question }) => prompt.includes(question))];
    const some = rows.filter(({ index }) => ['0', '4', '6'].includes(index));
    const model = scriptedModel(said, 'webgpu', 4);
    const reference = scriptedModel(said, 'webgpu', 8);
    const result = await evaluate({ rows: some, model, reference });
    const p = (confidence: number) => Math.exp(confidence) / (Math.exp(confidence) + vocabulary - 1);
    const rest = (confidence: number) => (1 - p(confidence)) / (vocabulary - 1);
    const kl = p(8) * Math.log(p(8) / p(4)) + (vocabulary - 1) * rest(8) * Math.log(rest(8) / rest(4));
    expect(result.reference).toMatchObject({ topAgreement: 1, answerAgreement: 1 });
    expect(result.reference!.kl).toBeCloseTo(kl, 6);
    expect(result.reference!.perplexity).toBeCloseTo(1 / p(4), 4);
    expect(result.reference!.referencePerplexity).toBeCloseTo(1 / p(8), 4);
    expect(result.perplexity).toBeCloseTo(1 / p(4), 4);
    // Each answer's tokens and its end.
    const tokens = some.map(({ answer }) => picoTokenizer.encode(answer).length + 1);
    expect(result.reference!.answerTokens).toBe(tokens.reduce((a, b) => a + b));
  });

  it('sees where greedy answers part', async () => {
    const reference = scriptedModel((prompt, mean) => (prompt.includes(' + ') ? '4' : script(prompt, mean)));
    const result = await evaluate({ reference });
    expect(result.reference!.answerAgreement).toBe(6 / 8);
    expect(result.reference!.topAgreement).toBeLessThan(1);
  });

  it('stops at the length limit', async () => {
    const result = await evaluate({
      model: scriptedModel(() => 'a cat and a dog and a cow and a pig'),
      maxNewTokens: 2,
    });
    for (const { prediction } of result.predictions) {
      expect(picoTokenizer.encode(prediction).length).toBeLessThanOrEqual(2);
    }
  });
});

describe('bad data', () => {
  const change = (line: number, column: number, value: string) => {
    const table = tsv.split('\n').map((text) => text.split('\t'));
    table[line][column] = value;
    return table.map((fields) => fields.join('\t')).join('\n');
  };
  it.each([
    ['no answer', () => change(3, 6, ''), /Row 2 has no answer/],
    [
      'an answer that is no option',
      () => change(6, 6, 'E'),
      /Row 5: the answer "E" is none of its options A, B, C/,
    ],
    ['nothing', () => tsv.split('\n')[0], /no questions/],
  ])('%s', async (_, bad, message) => {
    await expect(evaluate({ rows: await read(bad()) })).rejects.toMatchObject({
      code: 'invalid-data',
      message,
    });
  });

  it('a picture that is none, named by its row', async () => {
    const noise = Buffer.from('this is no picture at all, however long it may be made'.repeat(2)).toString(
      'base64',
    );
    await expect(evaluate({ rows: await read(change(2, 1, noise)) })).rejects.toMatchObject({
      code: 'invalid-image',
      message: expect.stringMatching(/^Row 1: /) as string,
    });
  });

  it('a picture file that is not there', async () => {
    const named = await read('index\timage_path\tquestion\tanswer\n0\tnowhere.png\tWhat?\ta\n');
    await expect(evaluate({ rows: named })).rejects.toMatchObject({
      code: 'invalid-data',
      message: expect.stringMatching(/Row 0: its picture .*nowhere\.png/) as string,
    });
  });

  it('one picture cannot be shuffled', async () => {
    await expect(evaluate({ rows: [rows[0], rows[2]], pictures: 'shuffled' })).rejects.toMatchObject({
      code: 'invalid-data',
    });
  });

  it('a prompt beyond the context, named by its row', async () => {
    const long = { ...rows[0], question: 'cat '.repeat(600) };
    await expect(
      evaluate({ rows: [rows[1], long], model: scriptedModel(script, 'webgpu') }),
    ).rejects.toMatchObject({
      code: 'context-exceeded',
      message: expect.stringMatching(/^Row 0: /) as string,
    });
  });
});
