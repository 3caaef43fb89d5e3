import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { requestTestDevice } from '@speedq/kernels/node';
import type { Picture } from '@speedq/runtime';
import { describe, expect, it } from 'vitest';
import { createGenerator, testMix } from '../../tools/src/data/index.ts';
import type { Question } from '../../tools/src/data/index.ts';
import { Examinee } from '../../tools/src/eval/answer.ts';
import { openModel } from '../../tools/src/eval/open-model.ts';
import type { OpenModel } from '../../tools/src/eval/open-model.ts';
import { speedq, temporaryFolder } from '../support/run-command.ts';
import { writeRandomPico } from '../support/random-pico.ts';

/**
 * The kernels on packed weights say what the CPU reference says: the same weights dequantized, in float32 by
 * onnxruntime. Questions come several to a picture, so that the software adapter encodes each picture once.
 */
const gpu = await requestTestDevice();
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
async function packedPico(recipe: '2bit' | '4bit'): Promise<string> {
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

async function compare(kernels: OpenModel, reference: OpenModel) {
  const [onGPU, onCPU] = [new Examinee(kernels), new Examinee(reference)];
  const [stop] = reference.codec.stopTokens;
  const { vocabSize } = reference.engine;
  const differences: string[] = [];
  const answers = new Set<string>();
  let tokens = 0;
  let ties = 0;
  for (const { rgb, questions } of drawQuestions()) {
    const pictures: Picture[] = rgb === undefined ? [] : [kernels.toPicture(rgb)];
    for (const { question } of questions) {
      const prompt = onGPU.encode(question, pictures);
      const options = { maxNewTokens: MAX_NEW_TOKENS, target: [], needForced: false };
      const { ids, text } = await onGPU.ask(prompt, options);
      // What the kernels said serves the reference as draft: it accepts tokens only while they are its own.
      const target = ids.length === MAX_NEW_TOKENS ? ids : [...ids, stop];
      const expected = await onCPU.ask(prompt, { ...options, target, needForced: true });
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
    onGPU.forgetPictures();
    onCPU.forgetPictures();
  }
  return { differences, answers, tokens, ties };
}

describe.skipIf(gpu === null)('greedy answers of packed pico on WebGPU', { timeout: 900_000 }, () => {
  it.each(['2bit', '4bit'] as const)('%s: token by token the CPU reference’s', async (recipe) => {
    const folder = await packedPico(recipe);
    const kernels = await openModel(folder, 'webgpu', { device: gpu!, maxContext: 256 });
    const reference = await openModel(folder, 'cpu', { threads: 1, maxContext: 256 });
    try {
      const { differences, answers, tokens, ties } = await compare(kernels, reference);
      expect(differences).toEqual([]);
      // A model that says one thing to everything would prove nothing, nor would one that is always undecided.
      expect(answers.size).toBeGreaterThan(QUESTIONS / 4);
      expect(tokens).toBeGreaterThan(2 * QUESTIONS);
      expect(ties).toBeLessThan(QUESTIONS / 10);
    } finally {
      kernels.engine.destroy();
      reference.engine.destroy();
    }
  });
});
