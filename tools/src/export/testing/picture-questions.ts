import { createGenerator, testMix } from '../../data/index.ts';
import { encodeQuestion } from '../../eval/answer.ts';
import { argmax } from '../../eval/engine.ts';
import type { OpenModel } from '../../eval/open-model.ts';

export interface PictureQuestion {
  readonly question: string;
  /** The whole prompt with its image placeholders. */
  readonly ids: Uint32Array;
  /** [tiles, 3, S, S] */
  readonly pixels: Float32Array;
  readonly tiles: number;
  /** What our runtime answers: greedy ids without the one that ends them. */
  readonly expected: readonly number[];
  /** Smallest distance, over the answer, of the largest logit from the next: rounding decides ties. */
  readonly margin: number;
}

/** Questions by seed about pictures that training never shows, and the greedy answers of `model`. */
export async function drawPictureQuestions(
  model: OpenModel,
  { seed, count, maxNewTokens }: { seed: number; count: number; maxNewTokens: number },
): Promise<PictureQuestion[]> {
  const generator = createGenerator({ seed, split: 'test', mix: { ...testMix, questionsPerPicture: 2 } });
  const drawn: PictureQuestion[] = [];
  for (let index = 0; drawn.length < count; index++) {
    const { rgb, size, questions } = generator.sample(index);
    if (size === 0) continue;
    const picture = model.toPicture({ width: size, height: size, data: rgb });
    const features = await model.engine.encodeImages(picture.pixels, picture.tiles);
    for (const { question } of questions.slice(0, count - drawn.length)) {
      const { ids } = encodeQuestion(model, question, [picture]);
      const answer = await greedy(model, ids, features, maxNewTokens);
      drawn.push({ question, ids, ...picture, ...answer });
    }
    features.destroy();
  }
  return drawn;
}

type Features = Awaited<ReturnType<OpenModel['engine']['encodeImages']>>;

async function greedy({ engine, codec }: OpenModel, ids: Uint32Array, features: Features, limit: number) {
  engine.truncate(0);
  const expected: number[] = [];
  let margin = Infinity;
  let logits = await engine.forward(ids, [features], 1);
  while (expected.length < limit) {
    const token = argmax(logits);
    const [first, second] = logits.toSorted().subarray(-2).toReversed();
    margin = Math.min(margin, first - second);
    if (codec.stopTokens.has(token)) break;
    expected.push(token);
    logits = await engine.forward(Uint32Array.of(token), [], 1);
  }
  return { expected, margin };
}
