import { SpeedqError } from '@speedq/format';
import { emojiKinds } from './emoji.ts';
import { drawGround } from './ground.ts';
import { type KindChoice, kindChoice } from './layout.ts';
import { createPainter } from './paint.ts';
import { labelPatches, patchSize } from './patches.ts';
import { askAbout } from './questions/index.ts';
import { textQuestion } from './questions/facts.ts';
import { vary } from './questions/phrasing.ts';
import { createRandom, hashText, type Random } from './random.ts';
import {
  type Arrangement,
  chartScene,
  countingScene,
  glyphsScene,
  mosaicScene,
  objectsScene,
  wordScene,
} from './scenes.ts';
import type { LabelledObject, Mix, Question, Scene, SceneType, TrainingSample } from './types.ts';

/** Side of pico's one tile, in pixels. */
export const defaultSize = 168;

/** One content in so many belongs to the test split, by its hash: the splits cannot overlap. */
const testShare = 50;

export type Split = 'train' | 'test';

export interface GeneratorOptions {
  readonly seed: number;
  /** Side of the pictures in pixels, a multiple of 14. Default 168. */
  readonly size?: number;
  /** Default 'train'. */
  readonly split?: Split;
  /** Leave the pictures and patch labels out: the questions alone, some twenty times faster. */
  readonly questionsOnly?: boolean;
  readonly mix: Mix;
}

export interface Generator {
  /** The sample of an index: the same for the same options on one platform, in any order of calls. */
  sample(index: number): TrainingSample;
}

/** A balanced mix of everything a person may ask; the mosaics are for the vision encoder alone. */
export const defaultMix: Mix = {
  scenes: { objects: 0.5, counting: 0.15, word: 0.12, chart: 0.12, text: 0.11 },
  questions: {
    describe: 0.08,
    what: 0.12,
    count: 0.12,
    colour: 0.1,
    where: 0.12,
    at: 0.1,
    exists: 0.13,
    read: 0.3,
    bar: 0.3,
    choice: 0.13,
    fact: 0.1,
  },
};

const scenes: Readonly<
  Record<Exclude<SceneType, 'text'>, (random: Random, choice: KindChoice) => Arrangement>
> = {
  objects: objectsScene,
  counting: countingScene,
  word: wordScene,
  chart: chartScene,
  mosaic: mosaicScene,
  glyphs: glyphsScene,
};

/** Which split a content (a scene's, or the words of a question without picture) belongs to. */
function splitOf(content: string): Split {
  return hashText(content) % testShare === 0 ? 'test' : 'train';
}

function keyOf(content: string): string {
  return hashText(content).toString(16).padStart(14, '0');
}

function textQuestions(random: Random, mix: Mix, split: Split, limit: number): Question[] {
  const questions: Question[] = [];
  for (let attempt = 0; attempt < 40 * testShare && questions.length < limit; attempt++) {
    const question = textQuestion(random, mix.questions);
    if (question === undefined) break;
    if (splitOf(question.stem) !== split || questions.some(({ stem }) => stem === question.stem)) continue;
    questions.push(vary(random, question, mix.casual ?? 0.06));
  }
  return questions;
}

function labelled(scene: Scene, size: number): LabelledObject[] {
  return scene.objects.map(({ family, name, kind, colour, place, x, y, width, height }) => ({
    family,
    name,
    kind,
    colour,
    place,
    box: [(x - width / 2) * size, (y - height / 2) * size, (x + width / 2) * size, (y + height / 2) * size],
  }));
}

const nothing = {
  rgb: new Uint8Array(0),
  size: 0,
  objects: [],
  patchKinds: new Uint8Array(0),
  patchColours: new Int8Array(0),
  patchObjects: new Int8Array(0),
} as const;

/**
 * A source of pictures with questions, labels and answers, each from (seed, index) alone. Fonts and emoji
 * are loaded on creation (about a second), so keep one generator per worker thread.
 *
 * @throws SpeedqError invalid-argument for a size that is no multiple of 14, a number of kinds outside
 *   1…96, or (from `sample`) a mix in which no scene can be asked any of the questions.
 */
export function createGenerator({
  questionsOnly = false,
  seed,
  size = defaultSize,
  split = 'train',
  mix,
}: GeneratorOptions): Generator {
  if (!Number.isInteger(size) || size < patchSize || size % patchSize !== 0) {
    throw new SpeedqError(
      'invalid-argument',
      `The picture size must be a multiple of ${patchSize} pixels, got ${size}. Use ${defaultSize} for pico.`,
    );
  }
  const kinds = mix.kinds ?? emojiKinds.length;
  if (!Number.isInteger(kinds) || kinds < 1 || kinds > emojiKinds.length) {
    throw new SpeedqError(
      'invalid-argument',
      `mix.kinds must be an integer from 1 to ${emojiKinds.length}, got ${kinds}.`,
    );
  }
  const choice = kindChoice(kinds, mix.shapes);
  const painter = createPainter(size);

  function draw(random: Random, type: SceneType): TrainingSample | undefined {
    const most = mix.questionsPerPicture ?? 6;
    const limit = most - (most > 1 && random.chance(0.5) ? 1 : 0);
    if (type === 'text') {
      const questions = textQuestions(random, mix, split, limit);
      if (questions.length === 0) return undefined;
      return { type, ...nothing, questions, key: keyOf(questions.map(({ stem }) => stem).join('\n')) };
    }
    const arrangement = scenes[type](random, choice);
    if (splitOf(arrangement.content) !== split) return undefined;
    const scene: Scene = { ...arrangement, ground: drawGround(random, arrangement.objects) };
    const forEncoder = type === 'mosaic' || type === 'glyphs';
    const questions = askAbout(random, scene, mix, choice, limit);
    if (questions.length === 0 && !forEncoder) return undefined;
    const objects = labelled(scene, size);
    const seen = questionsOnly
      ? { ...nothing, objects }
      : { rgb: painter.paint(scene), size, objects, ...labelPatches(scene, size) };
    return { type, ...seen, questions, key: keyOf(scene.content) };
  }

  return {
    sample(index) {
      // The type is drawn before the tries, so that what a split or a question rejects does not skew the mix.
      for (let redraw = 0; redraw < 8; redraw++) {
        const type = createRandom(seed, index, redraw).weighted(mix.scenes);
        if (type === undefined) break;
        for (let attempt = 0; attempt < 20 * testShare; attempt++) {
          const sample = draw(createRandom(seed, index, redraw, attempt), type);
          if (sample !== undefined) return sample;
        }
      }
      throw new SpeedqError(
        'invalid-argument',
        'The mix yields nothing: none of its scenes can be asked any of its questions. Give both positive weights.',
      );
    },
  };
}
