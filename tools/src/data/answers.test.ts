import { describe, expect, it } from 'vitest';
import { createGenerator, defaultMix, emojiKinds, type Question, type TrainingSample } from './index.ts';

/*
 * Every answer is derived a second time, from the words of the question and the labelled objects alone, by
 * code that knows nothing of how questions are made.
 */

const places = [
  'top left',
  'top centre',
  'top right',
  'middle left',
  'centre',
  'middle right',
  'bottom left',
  'bottom centre',
  'bottom right',
];
const words = ['no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];
const colourNames = ['red', 'orange', 'yellow', 'green', 'blue', 'purple', 'pink', 'brown', 'gray', 'black'];
const shapes = ['circle', 'square', 'triangle', 'star', 'heart', 'diamond'];
const article = (name: string): string => (/^[aeiou]/.test(name) ? `an ${name}` : `a ${name}`);
const plurals = new Map(emojiKinds.map(({ name, plural }) => [plural, name]));
const singular = (plural: string): string => plurals.get(plural) ?? plural.replace(/s$/, '');
const kindOf = (name: string) => emojiKinds.find((kind) => kind.name === name);

function enumerate(parts: string[]): string {
  return parts.length === 1 ? parts[0] : `${parts.slice(0, -1).join(', ')} and ${parts[parts.length - 1]}`;
}

/** The sentence or phrase an answer must contain; a set where several would be right. */
function expected(sample: TrainingSample, stem: string): string | undefined {
  const q = stem.replace(/ (Answer in a sentence|Please answer yes or no)\.$/, '');
  const things = sample.objects.filter(({ family }) => family === 'emoji' || family === 'shape');
  const bars = sample.objects.filter(({ family }) => family === 'bar');
  const glyphs = sample.objects.filter(({ family }) => family === 'glyph');
  const text = bars.length > 0 ? '' : glyphs.map(({ name }) => name).join('');
  const height = ({ box }: (typeof bars)[number]): number => box[3] - box[1];
  const barColour = (name: string): string => name.replace(' bar', '');
  const tallest = [...bars].sort((a, b) => height(b) - height(a));

  let match =
    /^(?:How many|Count the) (\w+ ?\w*?)(?: are there| can you see| does the (?:picture show|chart have|word have|number have))?[?.]$/.exec(
      q,
    );
  if (match) {
    const [, noun] = match;
    if (noun === 'bars') return `${bars.length}`;
    if (noun === 'letters' || noun === 'digits') return `${text.length}`;
    if (noun === 'objects' || noun === 'things') return `${things.length}`;
    return `${things.filter(({ name }) => name === singular(noun)).length}`;
  }
  if (
    (match =
      /^(?:Is there|Can you see|Does the picture show|Does the chart have) (an? )([\w ]+?)(?: in the picture)?\?$/.exec(
        q,
      ))
  ) {
    const [, a, rest] = match;
    const [name, place] = rest.split(' at the ');
    expect(`${a}${name}`).toBe(article(name));
    const found = [...things, ...bars].filter((object) => object.name === name);
    return found.some((object) => place === undefined || places[object.place] === place) ? 'yes' : 'no';
  }
  if (
    (match =
      /^(?:Where(?: in the picture)? is|In which part of the picture is|Where can you see) the ([\w ]+)\?$/.exec(
        q,
      ))
  ) {
    const found = things.filter(({ name }) => name === match![1]);
    expect(found).toHaveLength(1);
    return `at the ${places[found[0].place]}`;
  }
  if (
    (match = /^(?:What is|Which object is|What can you see|Name the object) at the ([\w ]+)[?.]$/.exec(q))
  ) {
    const found = things.filter(({ place }) => places[place] === match![1]);
    expect(found).toHaveLength(1);
    return article(found[0].name);
  }
  if (
    (match =
      /^(?:Which bar is(?: the)?|What colour is the|Which colour has the) (tallest|highest|shortest|lowest)(?: bar)?\?$/.exec(
        q,
      ))
  ) {
    const bar = /est/.test(match[1]) && /tall|high/.test(match[1]) ? tallest[0] : tallest[tallest.length - 1];
    return q.startsWith('Which bar') ? `the ${bar.name}` : barColour(bar.name);
  }
  if ((match = /^Is the (\w+) bar (taller|shorter) than the (\w+) bar\?$/.exec(q))) {
    const [a, b] = [match[1], match[3]].map((colour) => bars.find(({ name }) => barColour(name) === colour)!);
    return height(a) > height(b) === (match[2] === 'taller') ? 'yes' : 'no';
  }
  if ((match = /^What colour is bar ([A-Z])\?$/.exec(q))) {
    const label = glyphs.find(({ name }) => name === match![1])!;
    const middle = (label.box[0] + label.box[2]) / 2;
    return barColour(bars.find(({ box }) => box[0] < middle && middle < box[2])!.name);
  }
  if (
    (match =
      /^(?:What colour is the|Which colour is the|Tell me the colour of the|What colour does the) (\w+)(?: have)?[?.]$/.exec(
        q,
      )) ||
    (match = /^What colour is the (\w+)\?$/.exec(q))
  ) {
    const [, noun] = match;
    if (['word', 'number', 'text'].includes(noun)) return colourNames[glyphs[0].colour];
    const found = things.filter(({ name }) => name === noun || name.endsWith(` ${noun}`));
    expect(found).toHaveLength(1);
    return shapes.includes(noun) ? found[0].name.split(' ')[0] : kindOf(noun)!.colour;
  }
  if (
    /^(What does it say|What is written (here|in the picture)|Which (word|number) is shown)\?$|^Read the (text|word|number)\.$/.test(
      q,
    )
  ) {
    return text;
  }
  if (
    (match =
      /^(?:What is the|Which|Read the) (?:(?:first|last) (?:letter|digit)|(?:letter|digit) comes (?:first|last))[?.]$/.exec(
        q,
      ))
  ) {
    return q.includes('first') ? text[0] : text[text.length - 1];
  }
  if (/^(What are these|Which objects are shown)\?$/.test(q)) {
    expect(new Set(things.map(({ name }) => name)).size).toBe(1);
    const kind = kindOf(things[0].name);
    return kind === undefined ? `${things[0].name}s` : kind.plural;
  }
  if ((match = /^(?:Which|What) (\w+) (?:is in the picture|can you see|does the picture show)\?$/.exec(q))) {
    const found = things.filter(({ name }) => kindOf(name)?.category === match![1]);
    expect(found).toHaveLength(1);
    return article(found[0].name);
  }
  if (/^(Describe the picture in detail\.|What is where in the picture\?)$/.test(q)) {
    const ordered = [...things].sort((a, b) => a.place - b.place);
    return `There is ${enumerate(ordered.map(({ name, place }) => `${article(name)} at the ${places[place]}`))}.`;
  }
  if (
    /^(What is in the picture|What can you see|What does the picture show|What is this|Which object is shown)\?$|^(List the objects in the picture|Name everything you can see|Describe the picture)\.$/.test(
      q,
    )
  ) {
    if (bars.length > 0) return `a chart with ${enumerate(bars.map(({ name }) => article(name)))}`;
    const counts = new Map<string, number>();
    for (const { name } of [...things].sort((a, b) => a.place - b.place))
      counts.set(name, (counts.get(name) ?? 0) + 1);
    const parts = [...counts].map(([name, n]) =>
      n === 1 ? article(name) : `${words[n]} ${kindOf(name)?.plural ?? `${name}s`}`,
    );
    if (text === '') return enumerate(parts);
    const written = `the ${/\d/.test(text) ? 'number' : 'word'} "${text}"`;
    return parts.length > 0 ? `${enumerate(parts)} and ${written}` : written;
  }
  if (/^What kind of thing (is this|does the picture show)\?$/.test(q)) return undefined;
  if (/Chinese|[\u4e00-\u9fff]/.test(q) && things.length === 1) return kindOf(things[0].name)!.chinese;
  return undefined;
}

/** A choice is right if the option's text is, and no other option is. */
function checkChoice(sample: TrainingSample, { stem, choices, answer, subtype }: Question): void {
  const chosen = choices!['ABCD'.indexOf(answer)];
  expect(new Set(choices).size).toBe(4);
  const names = sample.objects.map(({ name }) => name);
  if (subtype === 'present') {
    expect(names).toContain(chosen);
    expect(choices!.filter((option) => names.includes(option))).toEqual([chosen]);
  } else if (subtype === 'fact') {
    const kind = emojiKinds.find(({ name, chinese }) => name === chosen || chinese === chosen)!;
    if (stem.includes('Chinese')) expect(stem).toContain(` ${kind.name}?`);
    else expect(choices!.filter((o) => kindOf(o)!.category === kind.category)).toEqual([chosen]);
  } else {
    const right = expected(sample, stem);
    expect(right?.replace(/^(at the|an?) /, '')).toBe(chosen);
  }
}

describe('answers', () => {
  it('follow from the picture', () => {
    const generator = createGenerator({
      seed: 5,
      questionsOnly: true,
      mix: { ...defaultMix, scenes: { objects: 2, counting: 1, word: 1, chart: 1 }, casual: 0 },
    });
    const derived = new Map<string, number>();
    let skipped = 0;
    for (let index = 0; index < 1500; index++) {
      const sample = generator.sample(index);
      for (const question of sample.questions) {
        if (question.choices !== undefined) {
          checkChoice(sample, question);
          derived.set('choice', (derived.get('choice') ?? 0) + 1);
          continue;
        }
        const right = expected(sample, question.stem);
        if (right === undefined) {
          expect(question.type, question.stem).toBe('fact');
          skipped++;
          continue;
        }
        derived.set(question.type, (derived.get(question.type) ?? 0) + 1);
        const note = `${question.stem} → ${question.answer}, expected ${right}`;
        if (/^(yes|no)$/.test(right) && question.answer.endsWith('.')) {
          expect(question.answer.toLowerCase().startsWith(`${right},`), note).toBe(true);
        } else if (question.answer.endsWith('.')) {
          expect(question.answer.toLowerCase().includes(right.toLowerCase()), note).toBe(true);
        } else {
          expect(question.answer, note).toBe(right);
        }
      }
    }
    for (const type of [
      'describe',
      'what',
      'count',
      'colour',
      'where',
      'at',
      'exists',
      'read',
      'bar',
      'choice',
    ]) {
      expect(derived.get(type), type).toBeGreaterThan(150);
    }
    expect(skipped).toBeLessThan(100);
  });

  it('to sums are right, and facts are those of the table', () => {
    const generator = createGenerator({
      seed: 6,
      mix: { scenes: { text: 1 }, questions: { fact: 1 }, casual: 0 },
    });
    let sums = 0;
    for (let index = 0; index < 400; index++) {
      for (const { stem, answer, subtype } of generator.sample(index).questions) {
        const sum = /(\d+) (\+|-|plus|minus) (\d+)/.exec(stem);
        if (sum) {
          const [a, b] = [Number(sum[1]), Number(sum[3])];
          const n = sum[2] === '+' || sum[2] === 'plus' ? a + b : a - b;
          expect(n).toBeGreaterThanOrEqual(0);
          expect(n).toBeLessThanOrEqual(20);
          expect(answer).toMatch(new RegExp(`^(.* = )?${n}\\.?$`));
          sums++;
        } else if (subtype === 'comparison') {
          const [a, b] = stem.match(/\d+/g)!.map(Number);
          expect(Number(answer)).toBe(stem.includes('larger') ? Math.max(a, b) : Math.min(a, b));
        } else if (subtype === 'chinese') {
          const chinese = /[\u4e00-\u9fff]+/.exec(stem.replace('用英语怎么说', ''))?.[0];
          if (chinese !== undefined) {
            const kind = emojiKinds.find((candidate) => candidate.chinese === chinese)!;
            expect(answer).toBe(article(kind.name));
          } else {
            const kind = emojiKinds.find(({ name }) => new RegExp(`\\b${name}\\b`).test(stem))!;
            expect(answer.replace(/^.* is |\.$/g, '')).toBe(kind.chinese);
          }
        }
      }
    }
    expect(sums).toBeGreaterThan(100);
  });

  it('say yes as often as no, whatever is asked for', () => {
    const generator = createGenerator({
      seed: 7,
      questionsOnly: true,
      mix: {
        scenes: { objects: 1, counting: 0.5 },
        questions: { exists: 1 },
        questionsPerPicture: 2,
        casual: 0,
      },
    });
    const byFamily = { emoji: [0, 0], shape: [0, 0] };
    for (let index = 0; index < 5000; index++) {
      for (const { stem, answer } of generator.sample(index).questions) {
        const family = shapes.some((shape) => new RegExp(`\\b${shape}\\b`).test(stem)) ? 'shape' : 'emoji';
        byFamily[family][/^yes/i.test(answer) ? 0 : 1]++;
      }
    }
    for (const [yes, no] of Object.values(byFamily)) {
      // Five standard deviations of a fair coin: the test has a fixed seed, but should hold for any.
      expect(Math.abs(yes - no)).toBeLessThan(5 * Math.sqrt(yes + no));
      expect(yes + no).toBeGreaterThan(2000);
    }
  });

  it('of multiple choice are spread evenly over the letters', () => {
    const generator = createGenerator({
      seed: 8,
      questionsOnly: true,
      mix: { scenes: { objects: 1 }, questions: { choice: 1 } },
    });
    const counts = new Map<string, number>();
    let total = 0;
    for (let index = 0; index < 2000; index++) {
      for (const { answer } of generator.sample(index).questions) {
        counts.set(answer, (counts.get(answer) ?? 0) + 1);
        total++;
      }
    }
    for (const letter of 'ABCD') expect(Math.abs(counts.get(letter)! / total - 0.25)).toBeLessThan(0.03);
  });
});
