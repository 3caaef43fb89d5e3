import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createGenerator, testMix } from '../data/index.ts';
import { encodeQuestion } from './answer.ts';
import type { Answer, AnswerOptions, EncodedQuestion, Examinee } from './answer.ts';
import { BatchExaminee } from './batch-examinee.ts';
import { openModel } from './open-model.ts';
import type { OpenModel } from './open-model.ts';
import { SequentialExaminee } from './sequential-examinee.ts';
import { scriptedModel } from './testing/scripted-model.ts';

const PICO = fileURLToPath(new URL('../../models/pico', import.meta.url));
const SEED = 77;

let model: OpenModel;
/** Some about no picture, several about one, one about two at once. */
let questions: EncodedQuestion[] = [];
beforeAll(async () => {
  model = await openModel(PICO, 'cpu', { threads: 1 });
  const generator = createGenerator({ seed: SEED, split: 'test', mix: testMix });
  const samples = Array.from({ length: 60 }, (_, i) => generator.sample(i));
  const shown = samples.filter(({ size }) => size > 0).slice(0, 4);
  const encode = (text: string, pictures: Parameters<typeof encodeQuestion>[2] = []): EncodedQuestion => ({
    prompt: encodeQuestion(model, text, pictures),
    target: [],
  });
  const pictures = shown.map(({ rgb, size }) => model.toPicture({ width: size, height: size, data: rgb }));
  const texts = samples.filter(({ size }) => size === 0).slice(0, 3);
  questions = [
    ...shown.flatMap((sample, i) =>
      sample.questions.slice(0, 2).map(({ question }) => encode(question, [pictures[i]])),
    ),
    ...texts.map((sample) => encode(sample.questions[0].question)),
    encode('Describe the picture.', [pictures[0]]),
    encode('Describe the pictures.', [pictures[0], pictures[1]]),
    encode('What is 3 + 4?'),
  ];
});
afterAll(() => model.engine.destroy());

async function all(examinee: Examinee, asked: readonly EncodedQuestion[], options: AnswerOptions) {
  const answers: Answer[] = [];
  for await (const answer of examinee.answer(asked, options)) answers.push(answer);
  examinee.keepPictures([]);
  return answers;
}

const ids = (answers: readonly Answer[]) => answers.map((answer) => answer.ids);

it('answers questions together as it answers each alone', async () => {
  const options = { maxNewTokens: 24 };
  const sequential = new SequentialExaminee(model);
  const alone: Answer[] = [];
  for (const question of questions) alone.push(...(await all(sequential, [question], options)));
  // What makes it a test: prompts of several lengths, and answers that end at different steps.
  expect(new Set(questions.map(({ prompt }) => prompt.ids.length)).size).toBeGreaterThan(4);
  expect(new Set(alone.map((answer) => answer.ids.length)).size).toBeGreaterThan(3);
  expect(Math.min(...alone.map((answer) => answer.ids.length))).toBe(1);

  const together = await all(new BatchExaminee(model), questions, options);
  expect(together.map(({ text }) => text)).toEqual(alone.map(({ text }) => text));
  expect(ids(together)).toEqual(ids(alone));
  // In another order and company.
  const reversed = await all(new BatchExaminee(model), questions.toReversed().slice(1), options);
  expect(ids(reversed)).toEqual(ids(alone).toReversed().slice(1));
});

it('takes right answers, and wrong ones, as drafts', async () => {
  const options = { maxNewTokens: 10 };
  const plain = await all(new BatchExaminee(model), questions, options);
  const [stop] = model.codec.stopTokens;
  const drafted = questions.map(({ prompt }, i): EncodedQuestion => {
    const right = [...plain[i].ids, stop];
    // Every third is right, every third goes astray at its second token, every third has none.
    const astray = [...right.slice(0, 1), (right[1] + 1) % 1000, ...right.slice(1)];
    return { prompt, target: [right, astray, []][i % 3] };
  });
  const together = await all(new BatchExaminee(model), drafted, options);
  expect(ids(together)).toEqual(ids(plain));
  const alone = await all(new SequentialExaminee(model), drafted, options);
  for (const [i, { forced }] of alone.entries()) {
    const other = together[i].forced;
    expect(other?.length).toBe(forced?.length);
    expect(forced?.length ?? 0).toBe(drafted[i].target.length * model.engine.vocabSize);
    const differences = forced?.map((value, at) => Math.abs(value - other![at])) ?? [];
    expect(Math.max(0, ...differences)).toBeLessThan(1e-3);
  }
});

it('stops each answer at the limit', async () => {
  const answers = await all(new BatchExaminee(model), questions, { maxNewTokens: 2 });
  const longer = await all(new BatchExaminee(model), questions, { maxNewTokens: 5 });
  expect(ids(answers)).toEqual(ids(longer).map((answer) => answer.slice(0, 2)));
});

it('stops when it is told to', async () => {
  const controller = new AbortController();
  controller.abort(new Error('enough'));
  const asked = all(new BatchExaminee(model), questions, { maxNewTokens: 5, signal: controller.signal });
  await expect(asked).rejects.toThrow('enough');
});

it('is not for engines that hold one conversation', () => {
  expect(() => new BatchExaminee(scriptedModel(() => 'a cat', 'webgpu'))).toThrow(
    /webgpu holds one conversation.*--batch/,
  );
});
