import { colours } from '../labels.ts';
import type { Random } from '../random.ts';
import type { BarObject } from '../types.ts';
import { listPhrase, withArticle } from '../words.ts';
import { inventory } from './objects.ts';
import { ask, askChoice, type Asked, type Phrasing } from './phrasing.ts';
import type { Pictured } from './pictured.ts';

/** One character of the word: a step towards reading all of it. */
function readOne(random: Random, text: string, noun: string): Asked {
  const at = random.pick(['first', 'last']);
  return ask(
    random,
    'read',
    noun,
    [
      ['What is the {at} {noun}?', '{glyph}'],
      ['Which {noun} comes {at}?', '{glyph}'],
      ['Read the {at} {noun}.', '{glyph}'],
    ],
    { at, noun, glyph: at === 'first' ? text.charAt(0) : text.charAt(text.length - 1) },
  );
}

/** Questions about what is written: word scenes. */
export const read = (random: Random, { scene }: Pictured): Asked | undefined => {
  if (scene.word === undefined) return undefined;
  const { text } = scene.word;
  const isNumber = /^\d/.test(text);
  if (random.chance(0.3)) return readOne(random, text, isNumber ? 'digit' : 'letter');
  const own: readonly Phrasing[] = isNumber
    ? [
        ['Which number is shown?', '{text}'],
        ['Read the number.', '{text}'],
      ]
    : [
        ['Which word is shown?', '{text}'],
        ['Read the word.', '{text}'],
      ];
  return ask(
    random,
    'read',
    isNumber ? 'number' : 'word',
    [
      ['What does it say?', '{text}'],
      ['What is written here?', '{text}'],
      ['Read the text.', '{text}'],
      ['What is written in the picture? Answer in a sentence.', 'It says "{text}".'],
      ...own,
    ],
    { text },
  );
};

export function colourOfWord(random: Random, { scene }: Pictured): Asked | undefined {
  if (scene.word === undefined) return undefined;
  const noun = /^\d/.test(scene.word.text) ? 'number' : 'word';
  return ask(
    random,
    'colour',
    'text',
    [
      ['What colour is the {noun}?', '{colour}'],
      ['What colour is the text?', '{colour}'],
    ],
    { noun, colour: colours[scene.word.colour].name },
  );
}

export function countGlyphs(random: Random, { scene }: Pictured): Asked | undefined {
  if (scene.word === undefined) return undefined;
  const isNumber = /^\d/.test(scene.word.text);
  const slots = {
    noun: isNumber ? 'number' : 'word',
    glyphs: isNumber ? 'digits' : 'letters',
    n: `${scene.word.text.length}`,
  };
  return ask(
    random,
    'count',
    'letters',
    [
      ['How many {glyphs} does the {noun} have?', '{n}'],
      ['How many {glyphs} are there?', '{n}'],
      ['Count the {glyphs}.', '{n}'],
    ],
    slots,
  );
}

export function describeWord(random: Random, about: Pictured): Asked | undefined {
  const { word } = about.scene;
  if (word === undefined) return undefined;
  const written = `the ${/^\d/.test(word.text) ? 'number' : 'word'} "${word.text}"`;
  const all = about.things.length > 0 ? `${inventory(about)} and ${written}` : written;
  return ask(
    random,
    'describe',
    'text',
    [
      ['What is in the picture?', '{all}'],
      ['Describe the picture.', 'The picture shows {all}.'],
    ],
    { all },
  );
}

function bars({ scene }: Pictured): BarObject[] {
  return scene.objects.filter((object) => object.family === 'bar');
}

function extreme(all: readonly BarObject[], tallest: boolean): BarObject {
  return all.reduce((a, b) => (b.height > a.height === tallest ? b : a));
}

function colourName(bar: BarObject): string {
  return colours[bar.colour].name;
}

/** Questions about the bars of a chart. */
export function bar(random: Random, about: Pictured): Asked | undefined {
  const all = bars(about);
  if (all.length === 0) return undefined;
  const kind = random.weighted({ tallest: 0.36, shortest: 0.36, compare: 0.16, label: 0.12 });
  if (kind === 'tallest' || kind === 'shortest') {
    const words = kind === 'tallest' ? ['tallest', 'highest'] : ['shortest', 'lowest'];
    return ask(
      random,
      'bar',
      kind,
      [
        ['Which bar is the {most}?', 'the {colour} bar'],
        ['Which bar is {most}?', 'the {colour} bar'],
        ['What colour is the {most} bar?', '{colour}'],
        ['Which colour has the {most} bar?', '{colour}'],
        ['Which bar is the {most}? Answer in a sentence.', 'The {colour} bar is the {most}.'],
      ],
      { most: random.pick(words), colour: colourName(extreme(all, kind === 'tallest')) },
    );
  }
  if (kind === 'compare') {
    const [a, b] = random.shuffle(all);
    const taller = random.chance(0.5);
    const slots = { a: colourName(a), b: colourName(b), yes: a.height > b.height === taller ? 'yes' : 'no' };
    const how = taller ? 'taller' : 'shorter';
    return ask(random, 'bar', 'compare', [[`Is the {a} bar ${how} than the {b} bar?`, '{yes}']], slots);
  }
  const one = random.pick(all);
  return ask(random, 'bar', 'label', [['What colour is bar {label}?', '{colour}']], {
    label: one.label,
    colour: colourName(one),
  });
}

export function countBars(random: Random, about: Pictured): Asked | undefined {
  const all = bars(about);
  if (all.length === 0) return undefined;
  return ask(
    random,
    'count',
    'bars',
    [
      ['How many bars are there?', '{n}'],
      ['How many bars does the chart have?', '{n}'],
      ['Count the bars.', '{n}'],
    ],
    { n: `${all.length}` },
  );
}

export function barExists(random: Random, about: Pictured): Asked | undefined {
  const all = bars(about);
  if (all.length === 0) return undefined;
  const present = all.map(colourName);
  const yes = random.chance(0.5);
  const absent = colours.map(({ name }) => name).filter((name) => !present.includes(name));
  const slots = { bar: withArticle(`${random.pick(yes ? present : absent)} bar`), yes: yes ? 'yes' : 'no' };
  return ask(
    random,
    'exists',
    'bar',
    [
      ['Is there {bar}?', '{yes}'],
      ['Does the chart have {bar}?', '{yes}'],
    ],
    slots,
  );
}

export function describeChart(random: Random, about: Pictured): Asked | undefined {
  const all = bars(about);
  if (all.length === 0) return undefined;
  return ask(
    random,
    'describe',
    'chart',
    [
      ['What is in the picture?', '{chart}'],
      ['Describe the picture.', 'The picture shows {chart}.'],
    ],
    { chart: `a chart with ${listPhrase(all.map((one) => withArticle(`${colourName(one)} bar`)))}` },
  );
}

export function choiceOfBar(random: Random, about: Pictured): Asked | undefined {
  const all = bars(about);
  if (all.length === 0) return undefined;
  const tallest = random.chance(0.5);
  const right = colourName(extreme(all, tallest));
  const others = random.shuffle(all.map(colourName).filter((name) => name !== right));
  const absent = random
    .shuffle(colours.map(({ name }) => name))
    .filter((name) => name !== right && !others.includes(name));
  const wrong = [...others, ...absent].slice(0, 3);
  return askChoice(
    random,
    'bar',
    `What colour is the ${tallest ? 'tallest' : 'shortest'} bar?`,
    right,
    wrong,
  );
}
