import { readFile } from 'node:fs/promises';
import { createTokenizer, type Tokenizer } from '@speedq/processor';
import { beforeAll, describe, expect, it } from 'vitest';
import { createGenerator, firstClass, placeNames } from '../data/index.ts';
import type { LabelledObject, Question, QuestionType, TrainingSample } from '../data/types.ts';
import { GazeGuide } from './gaze.ts';
import { mentions } from './mentions.ts';
import { SequencePacker } from './sequence.ts';

const SIDE = 6;
const box = [0, 0, 0, 0] as const;
const star: LabelledObject = {
  family: 'shape',
  name: 'red star',
  kind: firstClass.shape + 3,
  colour: 0,
  place: 0,
  box,
};
const heart: LabelledObject = {
  family: 'shape',
  name: 'blue heart',
  kind: firstClass.shape + 4,
  colour: 4,
  place: 8,
  box,
};

/** A red star on the visual tokens (0,0), (0,1) and a blue heart on (5,5); 12×12 patches, two by two a token. */
const picture: TrainingSample = {
  type: 'objects',
  rgb: new Uint8Array(0),
  size: 168,
  objects: [star, heart],
  patchKinds: new Uint8Array(144),
  patchColours: new Int8Array(144),
  patchObjects: Int8Array.from({ length: 144 }, (_, patch) => (patch < 3 ? 0 : patch === 143 ? 1 : -1)),
  questions: [],
  key: '',
};

const asked = (type: QuestionType, question: string, answer: string): Question => ({
  type,
  subtype: '',
  question,
  stem: question,
  answer,
});

describe('mentions', () => {
  it('finds objects by their full name, their shape and their plural, and places', () => {
    const text = 'Is the star or the Blue Heart at the top left or the bottom centre? Hearts!';
    const found = mentions(text, picture).map(({ start, end, objects, place }) => [
      text.slice(start, end),
      objects,
      place,
    ]);
    expect(found).toEqual([
      ['star', [0], undefined],
      ['Blue Heart', [1], undefined],
      ['top left', [], 0],
      ['bottom centre', [], 7],
      ['Hearts', [1], undefined],
    ]);
  });

  it('does not find words inside words', () => {
    expect(mentions('The starfish is at the topleft.', picture)).toEqual([]);
  });
});

describe('gazes', () => {
  let tokenizer: Tokenizer;
  let guide: GazeGuide;
  beforeAll(async () => {
    tokenizer = createTokenizer(JSON.parse(await readFile('tools/models/pico/tokenizer.json', 'utf8')));
    guide = new GazeGuide(tokenizer, SIDE);
  });
  const wordAt = (text: string, token: number) =>
    new TextDecoder().decode(Uint8Array.from([...tokenizer.bytesOf(tokenizer.encode(text)[token])])).trim();

  it('looks at the object a question names, from the last token of its name', () => {
    const question = asked('where', 'Where is the blue heart?', 'at the bottom right');
    const [gaze, ...others] = guide.inQuestion(question, picture);
    expect(others).toEqual([]);
    expect(gaze).toMatchObject({ name: 'object', visualTokens: [35] });
    expect(wordAt(question.question, gaze.token)).toBe('heart');
  });

  it('reads a place off the object that was asked for', () => {
    const question = asked('where', 'Where is the blue heart?', 'at the bottom right');
    const [gaze] = guide.inAnswer(question, picture);
    expect(gaze).toMatchObject({ name: 'answer', visualTokens: [35] });
    expect(wordAt(question.answer, gaze.token)).toBe('bottom');
  });

  it('reads an object off the place that was asked for', () => {
    const question = asked('at', 'What is at the top left?', 'a red star');
    expect(guide.inQuestion(question, picture)).toMatchObject([{ name: 'place', visualTokens: [0, 1] }]);
    expect(guide.inAnswer(question, picture)).toMatchObject([{ name: 'answer', visualTokens: [0, 1] }]);
  });

  it('looks at all of an empty place', () => {
    const question = asked('exists', 'Is there a red star at the centre?', 'no');
    const place = guide.inQuestion(question, picture).find(({ name }) => name === 'place');
    expect(place?.visualTokens).toEqual([14, 15, 20, 21]);
    expect(guide.inAnswer(question, picture)).toMatchObject([
      { name: 'answer', token: 0, visualTokens: [14, 15, 20, 21] },
    ]);
  });

  it('reads a word letter by letter', () => {
    const letter = (name: string): LabelledObject => ({
      family: 'glyph',
      name,
      kind: firstClass.glyph,
      colour: 0,
      place: 0,
      box,
    });
    const word: TrainingSample = {
      ...picture,
      objects: 'XVX'.split('').map(letter),
      patchObjects: Int8Array.from({ length: 144 }, (_, patch) =>
        patch === 0 ? 0 : patch === 2 ? 1 : patch === 4 ? 2 : -1,
      ),
    };
    const gazes = guide.inAnswer(asked('read', 'What does it say?', 'XVX'), word);
    expect(gazes.map(({ visualTokens }) => visualTokens)).toEqual([[0], [1], [2]]);
    expect(guide.inAnswer(asked('read', 'What is the last letter?', 'X'), word)[0].visualTokens).toEqual([2]);
  });

  it('packs the gaze of an answer one position before its token', () => {
    const packer = new SequencePacker(tokenizer, SIDE * SIDE, tokenizer.tokenToId('<IMG_CONTEXT>')!);
    const question = asked('at', 'What is at the top left?', 'a red star');
    const packed = packer.pack({
      length: 152,
      withPicture: true,
      conversations: [[question]],
      texts: [],
      weights: {},
      gazesOf: {
        inQuestion: (one) => guide.inQuestion(one, picture),
        inAnswer: (one) => guide.inAnswer(one, picture),
      },
    });
    const next = packed.gazes.map(({ name, position }) => [
      name,
      wordOf(packed.ids[position + (name === 'answer' ? 1 : 0)]),
    ]);
    expect(next).toEqual([
      ['place', 'left'],
      ['answer', 'red'],
    ]);
    function wordOf(id: number) {
      return new TextDecoder().decode(Uint8Array.from([...tokenizer.bytesOf(id)])).trim();
    }
  });

  it('finds something to look at for every place and object that is asked for', () => {
    const generator = createGenerator({
      seed: 5,
      size: 168,
      mix: { scenes: { objects: 1 }, questions: { at: 1, where: 1 }, casual: 0 },
    });
    for (let index = 0; index < 40; index++) {
      const sample = generator.sample(index);
      for (const question of sample.questions) {
        const shown = guide.inAnswer(question, sample);
        expect(shown.length, `${question.question} ${question.answer}`).toBeGreaterThan(0);
        const place = placeNames.findIndex((name) =>
          `${question.question} ${question.answer}`.includes(`at the ${name}`),
        );
        const looked = shown[0].visualTokens.map((token) => {
          const objects = sample.patchObjects;
          const at = Math.floor(token / SIDE) * 24 + (token % SIDE) * 2;
          return [at, at + 1, at + 12, at + 13].map((patch) => sample.objects[objects[patch]]?.place);
        });
        expect(looked.every((places) => places.includes(place))).toBe(true);
      }
    }
  });
});
