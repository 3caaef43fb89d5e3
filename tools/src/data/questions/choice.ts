import { categoryPhrases, emojiKinds } from '../emoji.ts';
import { colours, placeNames } from '../labels.ts';
import { confusable, type Thing } from '../layout.ts';
import type { Random } from '../random.ts';
import { type Asker, placePhrase } from './objects.ts';
import { askChoice, type Asked } from './phrasing.ts';
import { absentThing, type Pictured, sameFamily, singles, singleShapes, thingOf } from './pictured.ts';

/** Three things that are not in the picture, of the family of the right one, one of them easily confused. */
function wrongThings(random: Random, about: Pictured, right: Thing): string[] | undefined {
  const names: string[] = [];
  while (names.length < 3) {
    const first = names.length === 0;
    const wrong = absentThing(
      about,
      () => (first ? confusable(random, right, about.choice) : sameFamily(random, right, about.choice)),
      names,
    );
    if (wrong === undefined) return undefined;
    names.push(wrong.name);
  }
  return names;
}

/** Options that are all in the picture where possible: only the place decides. */
function choiceAt(random: Random, about: Pictured): Asked | undefined {
  const thing = random.pick(about.things);
  const others = [...new Set(about.things.map(({ name }) => name))].filter((name) => name !== thing.name);
  const wrong = wrongThings(random, about, thingOf(thing));
  if (wrong === undefined) return undefined;
  const stem = random.pick([
    `What is ${placePhrase(thing.place)}?`,
    `Which object is ${placePhrase(thing.place)}?`,
  ]);
  return askChoice(random, 'at', stem, thing.name, [...random.shuffle(others), ...wrong].slice(0, 3));
}

function choiceWhere(random: Random, about: Pictured): Asked | undefined {
  const candidates = singles(about);
  if (candidates.length === 0) return undefined;
  const thing = random.pick(candidates);
  const taken = random
    .shuffle(about.things.filter((other) => other.place !== thing.place))
    .map((o) => o.place);
  const rest = random
    .shuffle([0, 1, 2, 3, 4, 5, 6, 7, 8])
    .filter((p) => p !== thing.place && !taken.includes(p));
  const wrong = [...taken, ...rest].slice(0, 3).map((place) => placeNames[place]);
  return askChoice(random, 'where', `Where is the ${thing.name}?`, placeNames[thing.place], wrong);
}

function choiceCount(random: Random, about: Pictured): Asked | undefined {
  const object = random.pick(about.things);
  const n = about.things.filter((other) => other.name === object.name).length;
  const thing = thingOf(object);
  const plural = thing.family === 'emoji' ? emojiKinds[thing.emoji].plural : `${thing.name}s`;
  const wrong = random.shuffle([1, 2, 3, 4, 5, 6].filter((other) => other !== n)).slice(0, 3);
  return askChoice(random, 'count', `How many ${plural} are there?`, `${n}`, wrong.map(String));
}

function choiceColour(random: Random, about: Pictured): Asked | undefined {
  const shapes = singleShapes(about);
  if (shapes.length === 0) return undefined;
  const shape = random.pick(shapes);
  const names = random.shuffle(colours.map(({ name }) => name));
  const right = colours[shape.colour].name;
  const wrong = names.filter((name) => name !== right).slice(0, 3);
  return askChoice(random, 'colour', `What colour is the ${shape.shape}?`, right, wrong);
}

export const choice: Asker = (random, about) => {
  if (about.things.length === 0) return undefined;
  const weights =
    about.scene.type === 'counting'
      ? { present: 0.5, count: 0.5 }
      : { present: 0.6, at: 0.15, where: 0.1, colour: 0.15 };
  switch (random.weighted(weights)) {
    case 'at':
      return choiceAt(random, about);
    case 'where':
      return choiceWhere(random, about);
    case 'count':
      return choiceCount(random, about);
    case 'colour':
      return choiceColour(random, about);
    default: {
      const thing = thingOf(random.pick(about.things));
      const wrong = wrongThings(random, about, thing);
      const stems = [
        'Which of these is in the picture?',
        'What can you see in the picture?',
        'Which object does the picture show?',
      ];
      return wrong && askChoice(random, 'present', random.pick(stems), thing.name, wrong);
    }
  }
};

/** "Which of these is a fruit?", without a picture. */
export function choiceOfFact(random: Random): Asked {
  const right = random.pick(emojiKinds);
  const others = random.shuffle(emojiKinds.filter((kind) => kind.category !== right.category)).slice(0, 3);
  const wrong = others.map((kind) => kind.name);
  if (random.chance(0.5)) {
    const chinese = others.map((kind) => kind.chinese);
    return askChoice(random, 'fact', `What is the Chinese word for ${right.name}?`, right.chinese, chinese);
  }
  return askChoice(
    random,
    'fact',
    `Which of these is ${categoryPhrases[right.category]}?`,
    right.name,
    wrong,
  );
}
