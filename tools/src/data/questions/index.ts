import type { KindChoice } from '../layout.ts';
import type { Random } from '../random.ts';
import type { Mix, Question, QuestionType, Scene } from '../types.ts';
import { choice } from './choice.ts';
import { at, type Asker, colour, count, describe, exists, factsOfPicture, what, where } from './objects.ts';
import { vary } from './phrasing.ts';
import { pictured } from './pictured.ts';
import {
  bar,
  barExists,
  choiceOfBar,
  colourOfWord,
  countBars,
  countGlyphs,
  describeChart,
  describeWord,
  read,
} from './written.ts';

/** What can be asked about each type of scene; where several askers serve one type, one is drawn. */
const askers: Readonly<Partial<Record<Scene['type'], Partial<Record<QuestionType, readonly Asker[]>>>>> = {
  objects: {
    describe: [describe],
    what: [what],
    count: [count],
    colour: [colour],
    where: [where],
    at: [at],
    exists: [exists],
    choice: [choice],
    fact: [factsOfPicture],
  },
  counting: {
    describe: [describe],
    what: [what],
    count: [count],
    at: [at],
    exists: [exists],
    choice: [choice],
  },
  word: {
    count: [countGlyphs],
    read: [read],
    colour: [colourOfWord],
    describe: [describeWord],
    exists: [exists],
    where: [where],
  },
  chart: {
    bar: [bar],
    count: [countBars],
    exists: [barExists],
    describe: [describeChart],
    choice: [choiceOfBar],
  },
};

/**
 * Draws up to `limit` different questions about the scene by the mix's weights; fewer, or none, where the
 * scene does not offer them. One question type is drawn at most three times.
 */
export function askAbout(
  random: Random,
  scene: Scene,
  mix: Mix,
  choiceOfKinds: KindChoice,
  limit: number,
): Question[] {
  const available = askers[scene.type];
  if (available === undefined) return [];
  const about = pictured(scene, choiceOfKinds);
  const weights: Partial<Record<QuestionType, number>> = {};
  for (const type of Object.keys(available) as QuestionType[]) weights[type] = mix.questions[type] ?? 0;
  const questions: Question[] = [];
  const subjects = new Map<string, number>();
  const drawn = new Map<QuestionType, number>();
  for (let attempt = 0; attempt < 4 * limit && questions.length < limit; attempt++) {
    const type = random.weighted(weights);
    if (type === undefined) break;
    const question = random.pick(available[type]!)(random, about);
    if (question === undefined || questions.some(({ stem }) => stem === question.stem)) continue;
    // Little can be asked about a word: it may be read twice, in different words.
    const before = subjects.get(question.subject) ?? 0;
    if (before >= (type === 'read' ? 2 : 1)) continue;
    subjects.set(question.subject, before + 1);
    questions.push(vary(random, question, mix.casual ?? 0.06));
    const times = (drawn.get(type) ?? 0) + 1;
    drawn.set(type, times);
    if (times >= 3) weights[type] = 0;
  }
  return questions;
}
