import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Picture } from '@speedq/runtime';
import { expect } from 'vitest';
import { createGenerator, testMix } from '../../tools/src/data/index.ts';
import type { Question } from '../../tools/src/data/index.ts';
import { encodeQuestion } from '../../tools/src/eval/answer.ts';
import { SequentialExaminee } from '../../tools/src/eval/sequential-examinee.ts';
import type { OpenModel } from '../../tools/src/eval/open-model.ts';
import { speedq, temporaryFolder } from '../support/run-command.ts';
import { writeRandomPico } from '../support/random-pico.ts';

/** Questions come several to a picture, so that a slow engine encodes each picture once. */
const QUESTIONS = 50;
const PER_PICTURE = 8;
const SEED = 50;
/** Answers are mostly shorter; a software adapter takes a fifth of a second of processor time for each. */
const MAX_NEW_TOKENS = 16;
/** Closer than this, rounding may decide which logit is the largest. */
const TIE = 1e-3;

interface Asked {
  readonly rgb: { readonly width: number; readonly height: number; readonly data: Uint8Array } | undefined;
  readonly questions: readonly Question[];
}

function drawQuestions(): Asked[] {
  const mix = { ...testMix, questionsPerPicture: PER_PICTURE };
  const generator = createGenerator({ seed: SEED, split: 'test', mix });
  const drawn: Asked[] = [];
  let left = QUESTIONS;
  for (let index = 0; left > 0; index++) {
    const { rgb, size, questions } = generator.sample(index);
    const kept = questions.slice(0, left);
    drawn.push({ rgb: size === 0 ? undefined : { width: size, height: size, data: rgb }, questions: kept });
    left -= kept.length;
  }
  return drawn;
}

/** The shipped model; random weights of its shapes where the checkout has none. */
export async function packedPico(recipe: '2bit' | '4bit'): Promise<string> {
  const shipped = join('web/public/models', `pico-${recipe}`);
  if (existsSync(join(shipped, 'manifest.json'))) return shipped;
  const folder = temporaryFolder();
  await writeRandomPico(join(folder, 'float'), SEED);
  const packed = join(folder, recipe);
  const run = await speedq(
    'export',
    join(folder, 'float'),
    '--to',
    'packed',
    '--recipe',
    recipe,
    '--out',
    packed,
  );
  expect(run.exitCode, run.stderr).toBe(0);
  return packed;
}

/** Largest and second largest of a row of logits. */
function topTwo(row: Float32Array): [number, number] {
  let first = -Infinity;
  let second = -Infinity;
  for (const value of row) {
    if (value > first) [first, second] = [value, first];
    else if (value > second) second = value;
  }
  return [first, second];
}

export async function compareGreedy(kernels: OpenModel, reference: OpenModel) {
  const [onKernels, onCPU] = [new SequentialExaminee(kernels), new SequentialExaminee(reference)];
  const [stop] = reference.codec.stopTokens;
  const { vocabSize } = reference.engine;
  const differences: string[] = [];
  const answers = new Set<string>();
  let tokens = 0;
  let ties = 0;
  for (const { rgb, questions } of drawQuestions()) {
    const pictures: Picture[] = rgb === undefined ? [] : [kernels.toPicture(rgb)];
    for (const { question } of questions) {
      const prompt = encodeQuestion(kernels, question, pictures);
      const options = { maxNewTokens: MAX_NEW_TOKENS };
      const { ids, text } = await onKernels.ask({ prompt, target: [] }, options);
      // What the kernels said serves the reference as draft: it accepts tokens only while they are its own.
      const target = ids.length === MAX_NEW_TOKENS ? ids : [...ids, stop];
      const expected = await onCPU.ask({ prompt, target }, { ...options, needForced: true });
      answers.add(text);
      const most = Math.max(ids.length, expected.ids.length);
      const at = Array.from({ length: most }, (_, i) => i).find((i) => ids[i] !== expected.ids[i]);
      tokens += at ?? most + 1;
      if (at === undefined) continue;
      const [first, second] = topTwo(expected.forced!.subarray(at * vocabSize, (at + 1) * vocabSize));
      if (first - second < TIE) ties++;
      else {
        const margin = (first - second).toPrecision(3);
        differences.push(`${question} → ${text}, expected ${expected.text} (token ${at}, margin ${margin})`);
      }
    }
    onKernels.keepPictures([]);
    onCPU.keepPictures([]);
  }
  return { differences, answers, tokens, ties };
}

/** A model that says one thing to everything would prove nothing, nor would one that is always undecided. */
export function expectSameAnswers({
  differences,
  answers,
  tokens,
  ties,
}: Awaited<ReturnType<typeof compareGreedy>>): void {
  expect(differences).toEqual([]);
  expect(answers.size).toBeGreaterThan(QUESTIONS / 4);
  expect(tokens).toBeGreaterThan(2 * QUESTIONS);
  expect(ties).toBeLessThan(QUESTIONS / 10);
}
