import sharp from 'sharp';
import { join } from 'node:path';
import type { Picture } from '@speedq/runtime';
import { createGenerator, testMix } from '../../tools/src/data/index.ts';
import { encodeQuestion } from '../../tools/src/eval/answer.ts';
import { openModel } from '../../tools/src/eval/open-model.ts';
import type { OpenModel } from '../../tools/src/eval/open-model.ts';
import { SequentialExaminee } from '../../tools/src/eval/sequential-examinee.ts';
import { logProbabilities } from '../../tools/src/eval/statistics.ts';

const QUESTIONS = 20;
const SEED = 41;
/** Where llama.cpp puts a picture, between the tokens that open and close it. */
const MARKER = '<__media__>';
const PLACE = /<img>(<IMG_CONTEXT>)+<\/img>/;

/** A question for llama.cpp, and what our CPU engine says to it. */
export interface LlamaQuestion {
  /** The whole prompt, the marker for the picture. */
  readonly text: string;
  /** A file of exactly one tile: others are cut by rules of llama.cpp's own. */
  readonly picture?: string;
  /** Of the prompt; −1 for a picture's. */
  readonly ids: readonly number[];
  readonly expected: string;
  /** Probabilities of the answer's first token, by text. */
  readonly first: Readonly<Record<string, number>>;
}

/** Questions by seed that training never shows, as many without a picture as with one. */
export async function drawLlamaQuestions(
  packed: string,
  folder: string,
  maxNewTokens: number,
): Promise<LlamaQuestion[]> {
  const model = await openModel(packed, 'cpu', { threads: 1, maxContext: 256 });
  const generator = createGenerator({ seed: SEED, split: 'test', mix: testMix });
  const [plain, shown]: LlamaQuestion[][] = [[], []];
  for (let index = 0; plain.length < QUESTIONS || shown.length < QUESTIONS; index++) {
    const { rgb, size, questions } = generator.sample(index);
    const list = size === 0 ? plain : shown;
    if (list.length >= QUESTIONS) continue;
    const [{ question }] = questions;
    if (size === 0) {
      list.push(await ask(model, question, maxNewTokens));
      continue;
    }
    const file = join(folder, `${index}.png`);
    await sharp(rgb, { raw: { width: size, height: size, channels: 3 } })
      .png()
      .toFile(file);
    const picture = model.toPicture({ width: size, height: size, data: rgb });
    list.push({ ...(await ask(model, question, maxNewTokens, picture)), picture: file });
  }
  model.engine.destroy();
  return [...plain, ...shown];
}

async function ask(
  model: OpenModel,
  question: string,
  maxNewTokens: number,
  picture?: Picture,
): Promise<LlamaQuestion> {
  const { engine, tokenizer } = model;
  const prompt = encodeQuestion(model, question, picture === undefined ? [] : [picture]);
  const features = picture && [await engine.encodeImages(picture.pixels, picture.tiles)];
  engine.truncate(0);
  const logits = await engine.forward(prompt.ids, features ?? [], 1);
  const probabilities = Array.from(logProbabilities(logits, 0, logits.length), Math.exp);
  const examinee = new SequentialExaminee(model);
  const { text: expected } = await examinee.ask({ prompt, target: [] }, { maxNewTokens });
  return {
    text: tokenizer.decode(prompt.ids, { skipSpecial: false }).replace(PLACE, MARKER),
    ids: Array.from(prompt.ids, (id, at) => (prompt.images.some(covers(at)) ? -1 : id)),
    expected,
    first: Object.fromEntries(
      probabilities.map((value, id) => [tokenizer.decode([id], { skipSpecial: false }), value]),
    ),
  };
}

function covers(at: number) {
  return ({ start, length }: { readonly start: number; readonly length: number }): boolean =>
    at >= start && at < start + length;
}
