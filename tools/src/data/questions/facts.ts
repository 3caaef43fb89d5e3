import { type Category, categoryPhrases, colouredCategories, emojiKinds, type FactType } from '../emoji.ts';
import type { Random } from '../random.ts';
import { capitalise, withArticle } from '../words.ts';
import { choiceOfFact } from './choice.ts';
import { ask, type Asked, type Phrasing } from './phrasing.ts';

const factQuestions: Readonly<Record<FactType, readonly Phrasing[]>> = {
  sound: [
    ['What sound does {a} make?', '{text}'],
    ['What does {a} say?', '{text}'],
    ['Which sound does {a} make? Answer in a sentence.', '{A} says {text}.'],
  ],
  home: [
    ['Where does {a} live?', '{text}'],
    ['Where can you find {a}?', '{text}'],
    ['Where does {a} live? Answer in a sentence.', '{A} lives {text}.'],
  ],
  eats: [
    ['What does {a} eat?', '{text}'],
    ['What does {a} like to eat?', '{text}'],
    ['What does {a} eat? Answer in a sentence.', '{A} eats {text}.'],
  ],
  grows: [
    ['Where does {a} grow?', '{text}'],
    ['Where can you find {a}?', '{text}'],
    ['Where does {a} grow? Answer in a sentence.', '{A} grows {text}.'],
  ],
  taste: [
    ['How does {a} taste?', '{text}'],
    ['What does {a} taste like?', '{text}'],
    ['How does {a} taste? Answer in a sentence.', '{A} tastes {text}.'],
  ],
  travels: [
    ['Where does {a} travel?', '{text}'],
    ['Where does {a} move?', '{text}'],
    ['Where does {a} travel? Answer in a sentence.', '{A} travels {text}.'],
  ],
  seen: [
    ['When can you see the {name}?', '{text}'],
    ['When do you see the {name}?', '{text}'],
    ['When can you see the {name}? Answer in a sentence.', 'You can see the {name} {text}.'],
  ],
  use: [
    ['What is {a} for?', '{text}'],
    ['What do you use {a} for?', '{text}'],
    ['What is {a} for? Answer in a sentence.', '{A} is for {text}.'],
  ],
};

const nameQuestions: readonly Phrasing[] = [
  ['What is {name} in Chinese?', '{chinese}'],
  ['How do you say {name} in Chinese?', '{chinese}'],
  ['What is the Chinese word for {name}?', '{chinese}'],
  ['How do you say {name} in Chinese? Answer in a sentence.', 'In Chinese, {a} is {chinese}.'],
  ['What does {chinese} mean?', '{a}'],
  ['What is {chinese} in English?', '{a}'],
  ['{chinese}用英语怎么说？', '{a}'],
];

const kindQuestions: readonly Phrasing[] = [
  ['What kind of thing is {a}?', '{kind}'],
  ['What is {a}?', '{kind}'],
  ['What kind of thing is {a}? Answer in a sentence.', '{A} is {kind}.'],
];

const colourQuestions: readonly Phrasing[] = [
  ['What colour is {a} usually?', '{colour}'],
  ['Which colour does {a} usually have?', '{colour}'],
  ['What colour is {a} usually? Answer in a sentence.', '{A} is usually {colour}.'],
];

const chat: readonly Phrasing[] = [
  ['Hello', 'Hello! Ask me about a picture.'],
  ['Hello!', 'Hello! Ask me about a picture.'],
  ['Hi', 'Hello! Ask me about a picture.'],
  ['Who are you?', 'I am pico, a small model that runs in your browser.'],
  ['What are you?', 'I am pico, a small model that runs in your browser.'],
  ['What is your name?', 'My name is pico.'],
  ['What can you do?', 'I can name objects, colours, places, words and bars in simple pictures.'],
  ['Can you see pictures?', 'Yes, I can see simple pictures.'],
  ['Thank you', 'You are welcome.'],
  ['Thank you!', 'You are welcome.'],
  ['你好', '你好！'],
  ['你是谁？', '我是pico。'],
];

function arithmetic(random: Random): Asked {
  if (random.chance(0.2)) {
    const a = random.int(21);
    const b = (a + 1 + random.int(20)) % 21;
    const larger = random.chance(0.5);
    const n = `${larger ? Math.max(a, b) : Math.min(a, b)}`;
    const which = larger ? 'larger' : 'smaller';
    return ask(random, 'fact', 'comparison', [[`Which number is ${which}, {a} or {b}?`, '{n}']], {
      a: `${a}`,
      b: `${b}`,
      n,
    });
  }
  const sum = random.int(21);
  const part = random.int(sum + 1);
  const plus = random.chance(0.5);
  const [a, b, n] = plus ? [part, sum - part, sum] : [sum, part, sum - part];
  const sign = plus ? '+' : '-';
  return ask(
    random,
    'fact',
    'arithmetic',
    [
      [`What is {a} ${sign} {b}?`, '{n}'],
      [`{a} ${sign} {b} = ?`, '{n}'],
      [`How much is {a} ${plus ? 'plus' : 'minus'} {b}?`, '{n}'],
      [`What is {a} ${sign} {b}? Answer in a sentence.`, `{a} ${sign} {b} = {n}.`],
    ],
    { a: `${a}`, b: `${b}`, n: `${n}` },
  );
}

/** A question that needs no picture: what is known of the kinds, small sums, and what pico is. */
function fact(random: Random): Asked {
  const topic = random.weighted({
    name: 0.24,
    kind: 0.12,
    isKind: 0.1,
    colour: 0.12,
    use: 0.2,
    arithmetic: 0.2,
    chat: 0.02,
  });
  if (topic === 'arithmetic') return arithmetic(random);
  if (topic === 'chat') return ask(random, 'fact', 'chat', chat, {});
  const coloured = emojiKinds.filter((kind) => colouredCategories.includes(kind.category));
  const kind = random.pick(topic === 'colour' ? coloured : emojiKinds);
  const a = withArticle(kind.name);
  const slots = {
    name: kind.name,
    a,
    A: capitalise(a),
    chinese: kind.chinese,
    colour: kind.colour,
    kind: categoryPhrases[kind.category],
    text: kind.fact.text,
  };
  switch (topic) {
    case 'name':
      return ask(random, 'fact', 'chinese', nameQuestions, slots);
    case 'kind':
      return ask(random, 'fact', 'kind', kindQuestions, slots);
    case 'colour':
      return ask(random, 'fact', 'colour', colourQuestions, slots);
    case 'isKind': {
      const yes = random.chance(0.5);
      const others = (Object.keys(categoryPhrases) as Category[]).filter(
        (category) => !related(category, kind.category),
      );
      const phrase = categoryPhrases[yes ? kind.category : random.pick(others)];
      return ask(
        random,
        'fact',
        'yes or no',
        [
          ['Is {a} {phrase}?', '{yes}'],
          ['Is {a} {phrase}? Answer in a sentence.', '{sentence}'],
        ],
        {
          ...slots,
          phrase,
          yes: yes ? 'yes' : 'no',
          sentence: yes ? `Yes, ${a} is ${phrase}.` : `No, ${a} is ${slots.kind}.`,
        },
      );
    }
    default:
      return ask(random, 'fact', kind.fact.type, factQuestions[kind.fact.type], slots);
  }
}

/** A "no" must be beyond dispute: fruit is food, a phone is a tool to some. */
function related(a: Category, b: Category): boolean {
  const families: readonly (readonly Category[])[] = [
    ['fruit', 'vegetable', 'food', 'plant'],
    ['tool', 'device', 'instrument', 'toy'],
  ];
  return a === b || families.some((family) => family.includes(a) && family.includes(b));
}

export function textQuestion(
  random: Random,
  weights: { readonly fact?: number; readonly choice?: number },
): Asked | undefined {
  const type = random.weighted({ fact: weights.fact ?? 0, choice: (weights.choice ?? 0) / 8 });
  if (type === undefined) return undefined;
  return type === 'choice' ? choiceOfFact(random) : fact(random);
}
