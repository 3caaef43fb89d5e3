import type { InternVLConfig } from '@speedq/model';
import type { Tokenizer } from '@speedq/processor';
import { colours } from '../data/index.ts';
import type { Question, TrainingSample } from '../data/types.ts';
import { type Mention, mentions } from './mentions.ts';

/**
 * Attention heads of the language model that are shown where to look while it trains: one finds the object
 * that a word of the question names, one the place, and one, further up, what the next word of the answer
 * is read off. Left to itself the model takes in the picture as a bag of objects, and from there
 * binding an object to its place was never found. The aid is for training alone.
 */
export const GAZES = [
  { name: 'object', layer: 1, keyValueHead: 0 },
  { name: 'place', layer: 1, keyValueHead: 1 },
  { name: 'answer', layer: 3, keyValueHead: 0 },
] as const;
/** Those of the heads that a language model has. */
export function gazesOf({ language }: InternVLConfig): readonly (typeof GAZES)[number][] {
  return GAZES.filter(
    ({ layer, keyValueHead }) => layer < language.numLayers && keyValueHead < language.numKeyValueHeads,
  );
}

export type GazeName = (typeof GAZES)[number]['name'];

/** A token of a text and the visual tokens to look at: from the token itself in a question, in an answer while predicting it. */
export interface Gaze {
  readonly name: GazeName;
  readonly token: number;
  readonly visualTokens: readonly number[];
}

interface Look {
  readonly objects: readonly number[];
  readonly place?: number;
}

export class GazeGuide {
  constructor(
    private readonly tokenizer: Tokenizer,
    /** Visual tokens along each side of the picture. */
    private readonly side: number,
  ) {}

  inQuestion({ question }: Question, sample: TrainingSample): Gaze[] {
    return mentions(question, sample).flatMap((mention) =>
      this.gaze(
        mention.place === undefined ? 'object' : 'place',
        question,
        mention.end - 1,
        this.visualTokens(sample, mention),
      ),
    );
  }

  inAnswer(question: Question, sample: TrainingSample): Gaze[] {
    const { answer } = question;
    return looksOfAnswer(question, sample).flatMap(({ at, look }) =>
      this.gaze('answer', answer, at, this.visualTokens(sample, look)),
    );
  }

  private gaze(name: GazeName, text: string, character: number, visualTokens: readonly number[]): Gaze[] {
    const token = this.tokenAt(text, character);
    return visualTokens.length === 0 || token === undefined ? [] : [{ name, token, visualTokens }];
  }

  /** The token that covers a character. Characters are counted as bytes, so texts beyond ASCII have none. */
  private tokenAt(text: string, character: number): number | undefined {
    if (!/^[\x20-\x7e\n]*$/.test(text)) return undefined;
    let end = 0;
    const index = this.tokenizer.encode(text).findIndex((id) => {
      end += this.tokenizer.bytesOf(id).length;
      return end > character;
    });
    return index < 0 ? undefined : index;
  }

  /** Those that show one of the objects; for a place, those in it, or of what stands there. */
  private visualTokens(sample: TrainingSample, { objects, place }: Look): number[] {
    const { side } = this;
    const grid = Math.sqrt(sample.patchObjects.length);
    const patchesAlong = grid / side;
    const inside = Array.from({ length: side * side }, (_, token) => token).filter(
      (token) =>
        place === undefined ||
        place ===
          Math.floor((Math.floor(token / side) * 3) / side) * 3 + Math.floor(((token % side) * 3) / side),
    );
    const shows = (token: number, wanted: (object: number) => boolean): boolean => {
      const top = Math.floor(token / side) * patchesAlong;
      const left = (token % side) * patchesAlong;
      for (let row = top; row < top + patchesAlong; row++)
        for (let column = left; column < left + patchesAlong; column++)
          if (wanted(sample.patchObjects[row * grid + column])) return true;
      return false;
    };
    if (place === undefined)
      return inside.filter((token) => shows(token, (object) => objects.includes(object)));
    const occupied = inside.filter((token) =>
      shows(token, (object) => sample.objects[object]?.place === place),
    );
    return occupied.length > 0 ? occupied : inside;
  }
}

/** Characters of the answer that are read off the picture, and off what. */
function looksOfAnswer(question: Question, sample: TrainingSample): { at: number; look: Look }[] {
  const { type, answer } = question;
  const asked = mentions(question.stem, sample);
  const askedObjects = asked.flatMap(({ objects }) => objects);
  const askedPlace = asked.find(({ place }) => place !== undefined)?.place;
  const glyphObjects = sample.objects.flatMap(({ family }, index) => (family === 'glyph' ? [index] : []));
  const first = (pattern: RegExp, objects: readonly number[]) => {
    const at = answer.search(pattern);
    return at < 0 ? [] : [{ at, look: { objects } }];
  };
  switch (type) {
    case 'choice':
    case 'fact':
      return [];
    case 'exists':
      // Asked for a place, what stands there decides, whatever is asked for.
      return askedPlace === undefined
        ? first(/yes/i, askedObjects)
        : [{ at: 0, look: { objects: [], place: askedPlace } }];
    case 'count':
      return first(/\d/, askedObjects.length > 0 ? askedObjects : counted(question, sample));
    case 'colour':
      return first(
        new RegExp(`\\b(?:${colours.map(({ name }) => name).join('|')})\\b`),
        askedObjects.length > 0 ? askedObjects : glyphObjects,
      );
    case 'read':
      return lettersRead(question, sample, glyphObjects);
    default: {
      let before: readonly number[] = askedObjects;
      return mentions(answer, sample).map(({ start, objects, place }: Mention) => {
        if (place !== undefined) return { at: start, look: { objects: before } };
        const here = objects.filter(
          (object) => askedPlace === undefined || sample.objects[object].place === askedPlace,
        );
        before = here;
        return { at: start, look: { objects: here } };
      });
    }
  }
}

function counted({ stem }: Question, { objects }: TrainingSample): number[] {
  const family = /letters|digits/.test(stem) ? ['glyph'] : /bars/.test(stem) ? ['bar'] : ['emoji', 'shape'];
  return objects.flatMap((object, index) => (family.includes(object.family) ? [index] : []));
}

/** Every character of what is read, where it stands in the answer. */
function lettersRead({ stem, answer }: Question, { objects }: TrainingSample, glyphs: readonly number[]) {
  const written = glyphs.map((index) => objects[index].name).join('');
  const shown = /\b(?:first|last)\b/.exec(stem.toLowerCase())?.[0];
  const wanted = shown === 'first' ? glyphs.slice(0, 1) : shown === 'last' ? glyphs.slice(-1) : glyphs;
  const begin = answer.indexOf(wanted.length === 1 ? objects[wanted[0]].name : written);
  return begin < 0 ? [] : wanted.map((object, index) => ({ at: begin + index, look: { objects: [object] } }));
}
