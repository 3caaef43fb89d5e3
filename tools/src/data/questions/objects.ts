import { categoryPhrases, colouredCategories, emojiKinds } from '../emoji.ts';
import { colours, placeNames } from '../labels.ts';
import { confusable } from '../layout.ts';
import type { Random } from '../random.ts';
import { capitalise, countPhrase, listPhrase, withArticle } from '../words.ts';
import { ask, type Asked, type Phrasing } from './phrasing.ts';
import {
  absentThing,
  type Pictured,
  pluralOf,
  sameFamily,
  singles,
  singleShapes,
  tally,
  thingOf,
} from './pictured.ts';

export type Asker = (random: Random, about: Pictured) => Asked | undefined;

/** 'at the top left' */
export function placePhrase(place: number): string {
  return `at the ${placeNames[place]}`;
}

/** 'a cat, two dogs and a red star' in reading order. */
export function inventory(about: Pictured): string {
  const parts = [...tally(about.things).values()].map((group) => {
    const thing = thingOf(group[0]);
    return countPhrase(group.length, thing.name, pluralOf(thing));
  });
  return listPhrase(parts);
}

const openQuestions: readonly Phrasing[] = [
  ['What is in the picture?', '{all}'],
  ['What can you see?', '{all}'],
  ['What does the picture show?', '{all}'],
  ['What is in the picture? Answer in a sentence.', 'The picture shows {all}.'],
];
const singleQuestions: readonly Phrasing[] = [
  ...openQuestions,
  ['What is this?', '{all}'],
  ['Which object is shown?', '{all}'],
];
const describeQuestions: readonly Phrasing[] = [
  ...openQuestions,
  ['List the objects in the picture.', '{all}'],
  ['Name everything you can see.', '{all}'],
  ['Describe the picture.', 'The picture shows {all}.'],
];
const detailQuestions: readonly Phrasing[] = [
  ['Describe the picture in detail.', '{detail}'],
  ['What is where in the picture?', '{detail}'],
];

export const describe: Asker = (random, about) => {
  const { things } = about;
  if (things.length < 2) return undefined;
  if (things.length <= 4 && singles(about).length === things.length && random.chance(0.3)) {
    const parts = things.map((thing) => `${withArticle(thing.name)} ${placePhrase(thing.place)}`);
    const detail = `There is ${listPhrase(parts)}.`;
    return ask(random, 'describe', 'places', detailQuestions, { detail });
  }
  return ask(random, 'describe', `${things.length <= 4 ? things.length : 'many'}`, describeQuestions, {
    all: inventory(about),
  });
};

export const what: Asker = (random, about) => {
  const { things } = about;
  if (things.length === 1) {
    const thing = thingOf(things[0]);
    if (thing.family === 'emoji' && random.chance(0.12)) {
      return ask(
        random,
        'what',
        'chinese',
        [
          ['这是什么？', '{chinese}'],
          ['图中有什么？', '{chinese}'],
          ['What is this called in Chinese?', '{chinese}'],
        ],
        { chinese: emojiKinds[thing.emoji].chinese },
      );
    }
    return ask(random, 'what', 'single', singleQuestions, { all: withArticle(thing.name) });
  }
  const groups = [...tally(things).values()];
  if (groups.length === 1) {
    const plural = pluralOf(thingOf(groups[0][0]));
    return ask(
      random,
      'what',
      'plural',
      [
        ['What are these?', '{plural}'],
        ['Which objects are shown?', '{plural}'],
      ],
      {
        plural,
      },
    );
  }
  // "Which fruit is in the picture?" has one answer when one thing belongs to the category.
  const emoji = things.filter((thing) => thing.family === 'emoji');
  const candidates = emoji.filter((thing) => {
    const { category } = emojiKinds[thing.emoji];
    const nameable = category !== 'sky' && category !== 'clothing' && category !== 'furniture';
    return nameable && emoji.filter((other) => emojiKinds[other.emoji].category === category).length === 1;
  });
  if (candidates.length === 0) return undefined;
  const thing = random.pick(candidates);
  return ask(
    random,
    'what',
    'category',
    [
      ['Which {category} is in the picture?', '{thing}'],
      ['What {category} can you see?', '{thing}'],
      ['Which {category} does the picture show? Answer in a sentence.', 'The picture shows {thing}.'],
    ],
    { category: emojiKinds[thing.emoji].category, thing: withArticle(thing.name) },
  );
};

const countQuestions: readonly Phrasing[] = [
  ['How many {things} are there?', '{n}'],
  ['How many {things} can you see?', '{n}'],
  ['Count the {things}.', '{n}'],
  ['How many {things} does the picture show?', '{n}'],
  ['How many {things} are there? Answer in a sentence.', '{sentence}'],
];

export const count: Asker = (random, about) => {
  const { things, scene } = about;
  if (things.length === 0) return undefined;
  const kind = random.weighted({ present: 0.75, zero: 0.13, total: 0.12 });
  if (kind === 'total') {
    const n = `${things.length}`;
    const totals: readonly Phrasing[] = [
      ['How many objects are there?', '{n}'],
      ['How many things can you see?', '{n}'],
      ['Count the objects.', '{n}'],
    ];
    return scene.type === 'word' ? undefined : ask(random, 'count', 'total', totals, { n });
  }
  const groups = [...tally(things).values()];
  // In counting scenes the larger group is the one worth counting.
  const main = groups.reduce((a, b) => (b.length > a.length ? b : a));
  const group = scene.type === 'counting' && random.chance(0.7) ? main : random.pick(groups);
  let thing = thingOf(group[0]);
  let n = group.length;
  if (kind === 'zero') {
    const near = thing;
    const absent = absentThing(about, () =>
      random.chance(0.5) ? confusable(random, near, about.choice) : sameFamily(random, near, about.choice),
    );
    if (absent === undefined) return undefined;
    thing = absent;
    n = 0;
  }
  const plural = pluralOf(thing);
  const subtype = n === 0 ? 'zero' : scene.type === 'counting' ? 'counting' : 'ordinary';
  return ask(random, 'count', subtype, countQuestions, {
    things: plural,
    n: `${n}`,
    sentence: n === 1 ? `There is 1 ${thing.name}.` : `There are ${n} ${plural}.`,
  });
};

const colourQuestions: readonly Phrasing[] = [
  ['What colour is the {thing}?', '{colour}'],
  ['Which colour is the {thing}?', '{colour}'],
  ['Tell me the colour of the {thing}.', '{colour}'],
  ['What colour does the {thing} have?', '{colour}'],
  ['What colour is the {thing}? Answer in a sentence.', 'The {thing} is {colour}.'],
];

export const colour: Asker = (random, about) => {
  const shapes = singleShapes(about);
  const emoji = singles(about).filter(
    (thing) =>
      thing.family === 'emoji' &&
      colouredCategories.includes(emojiKinds[thing.emoji].category) &&
      colours.some(({ name }) => name === emojiKinds[thing.emoji].colour),
  );
  const useShape = shapes.length > 0 && (emoji.length === 0 || random.chance(0.85));
  if (useShape) {
    const shape = random.pick(shapes);
    const slots = { thing: shape.shape, colour: colours[shape.colour].name };
    return ask(random, 'colour', 'shape', colourQuestions, slots);
  }
  // What colour an emoji has is known without looking: asked now and then only.
  if (emoji.length === 0 || !random.chance(0.3)) return undefined;
  const thing = random.pick(emoji);
  if (thing.family !== 'emoji') return undefined;
  const slots = { thing: thing.name, colour: emojiKinds[thing.emoji].colour };
  return ask(random, 'colour', 'emoji', colourQuestions, slots);
};

const whereQuestions: readonly Phrasing[] = [
  ['Where is the {thing}?', '{place}'],
  ['Where in the picture is the {thing}?', '{place}'],
  ['In which part of the picture is the {thing}?', '{place}'],
  ['Where can you see the {thing}?', '{place}'],
  ['Where is the {thing}? Answer in a sentence.', 'The {thing} is {place}.'],
];

export const where: Asker = (random, about) => {
  const candidates = singles(about);
  if (candidates.length === 0) return undefined;
  const thing = random.pick(candidates);
  const subtype = about.things.length <= 4 ? `of ${about.things.length}` : 'of many';
  return ask(random, 'where', subtype, whereQuestions, {
    thing: thing.name,
    place: placePhrase(thing.place),
  });
};

const atQuestions: readonly Phrasing[] = [
  ['What is {place}?', '{thing}'],
  ['Which object is {place}?', '{thing}'],
  ['What can you see {place}?', '{thing}'],
  ['Name the object {place}.', '{thing}'],
  ['What is {place}? Answer in a sentence.', 'There is {thing} {place}.'],
];

export const at: Asker = (random, about) => {
  if (about.things.length === 0) return undefined;
  const thing = random.pick(about.things);
  const subtype = about.things.length <= 4 ? `of ${about.things.length}` : 'of many';
  const slots = { place: placePhrase(thing.place), thing: withArticle(thing.name) };
  return ask(random, 'at', subtype, atQuestions, slots);
};

const existsQuestions: readonly Phrasing[] = [
  ['Is there {thing}?', '{yes}'],
  ['Is there {thing} in the picture?', '{yes}'],
  ['Can you see {thing}?', '{yes}'],
  ['Does the picture show {thing}?', '{yes}'],
  ['Is there {thing} in the picture? Please answer yes or no.', '{yes}'],
  ['Is there {thing}? Answer in a sentence.', '{sentence}'],
];
const existsAtQuestions: readonly Phrasing[] = [
  ['Is there {thing} {place}?', '{yes}'],
  ['Can you see {thing} {place}?', '{yes}'],
];

export const exists: Asker = (random, about) => {
  if (about.things.length === 0) return undefined;
  const yes = random.chance(0.5);
  const object = random.pick(about.things);
  if (about.things.length > 1 && about.things.length <= 4 && random.chance(0.15)) {
    // Both are in the picture; only the place decides.
    const others = about.things.filter((other) => other.name !== object.name);
    if (others.length === 0) return undefined;
    const place = yes ? object.place : random.pick(others).place;
    const slots = { thing: withArticle(object.name), place: placePhrase(place), yes: yes ? 'yes' : 'no' };
    return ask(random, 'exists', 'place', existsAtQuestions, slots);
  }
  const present = thingOf(object);
  const near = random.chance(0.5);
  // Also when the answer is yes: the draw below must not depend on it.
  const absent = absentThing(about, () =>
    near ? confusable(random, present, about.choice) : sameFamily(random, present, about.choice),
  );
  if (absent === undefined) return undefined;
  const thing = yes ? present : absent;
  const slots = {
    thing: withArticle(thing.name),
    yes: yes ? 'yes' : 'no',
    sentence: yes ? `Yes, there is ${withArticle(thing.name)}.` : `No, there is no ${thing.name}.`,
  };
  return ask(random, 'exists', near ? 'confusable' : 'other', existsQuestions, slots);
};

export const factsOfPicture: Asker = (random, about) => {
  if (about.things.length !== 1) return undefined;
  const [thing] = about.things;
  if (thing.family !== 'emoji') return undefined;
  const { category } = emojiKinds[thing.emoji];
  return ask(
    random,
    'fact',
    'pictured',
    [
      ['What kind of thing is this?', '{kind}'],
      ['What kind of thing does the picture show?', '{kind}'],
      ['What is this and what kind of thing is it?', '{this} is {kind}.'],
    ],
    { kind: categoryPhrases[category], this: capitalise(withArticle(thing.name)) },
  );
};
