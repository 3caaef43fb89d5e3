import { colours, placeNames } from '../data/index.ts';
import { matchRule, normalizeAnswer } from './matching.ts';
import type { QuestionText } from './question.ts';

/** What a row would score without looking, and without knowing which of the shown things is asked about. */
export interface Chance {
  /** Options at random, yes or no at random, or the most frequent answer to that kind of question. */
  readonly blind: number;
  /** Picking one of the objects, places or bars that are in the picture; absent where that is no strategy. */
  readonly present?: number;
}

/** Charts have 2, 3 or 4 bars, equally often. */
const ONE_OF_THE_BARS = (1 / 2 + 1 / 3 + 1 / 4) / 3;

/** One entry per row. The most frequent answer is that among the *other* rows, so that rare ones are not guessed. */
export function chances(rows: readonly QuestionText[]): Chance[] {
  const answers = new Map<string, Map<string, number>>();
  for (const row of rows) {
    const counts = answers.get(kindOf(row)) ?? new Map<string, number>();
    counts.set(answerKey(row), (counts.get(answerKey(row)) ?? 0) + 1);
    answers.set(kindOf(row), counts);
  }
  return rows.map((row) => {
    const present = presentChance(row);
    return {
      blind: blindChance(row, answers.get(kindOf(row))!),
      ...(present === undefined ? {} : { present }),
    };
  });
}

/** Subtypes that only the picture tells apart: a guess cannot know that nothing is there to be counted. */
const SEEN_ONLY: Readonly<Record<string, RegExp>> = {
  count: /^(zero|ordinary|counting)$/,
  where: /^of /,
  at: /^of /,
  describe: /./,
};

function kindOf({ category = '', subcategory = '' }: QuestionText): string {
  return SEEN_ONLY[category]?.test(subcategory) ? category : `${category}\n${subcategory}`;
}

function blindChance(row: QuestionText, counts: ReadonlyMap<string, number>): number {
  const rule = matchRule(row);
  if (rule === 'letter') return 1 / Object.keys(row.options).length;
  if (rule === 'yes or no') return 1 / 2;
  const own = answerKey(row);
  const others = new Map(counts);
  others.set(own, others.get(own)! - 1);
  const most = Math.max(...others.values());
  if (most === 0 || others.get(own) !== most) return 0;
  return 1 / [...others.values()].filter((count) => count === most).length;
}

function presentChance(row: QuestionText): number | undefined {
  const { category = '', subcategory = '' } = row;
  if (matchRule(row) !== 'exact') return undefined;
  if (category === 'where' || category === 'at') {
    const objects = Number(/^of (\d+)$/.exec(subcategory)?.[1]);
    // With a single object there is nothing to choose from.
    return objects >= 2 ? 1 / objects : undefined;
  }
  if (category === 'bar') return subcategory === 'compare' ? 1 / 2 : ONE_OF_THE_BARS;
  return undefined;
}

const longestFirst = [...placeNames].sort((a, b) => b.length - a.length);

/** What an answer comes to, however it is worded: 'The cat is at the top left.' is the place 'top left'. */
function answerKey({ category, answer }: QuestionText): string {
  const text = normalizeAnswer(answer);
  switch (category) {
    case 'where':
      return longestFirst.find((place) => text.includes(place)) ?? text;
    case 'colour':
    case 'bar':
      return colours.find(({ name }) => new RegExp(`\\b${name}\\b`).test(text))?.name ?? text;
    case 'count':
      return /\d+/.exec(text)?.[0] ?? text;
    default:
      return text;
  }
}
