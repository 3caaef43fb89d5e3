import { colours, emojiKinds, firstClass, placeNames, shapeNames } from '../data/index.ts';
import type { TrainingSample } from '../data/types.ts';

/** Words that stand for something in the picture. `end` is exclusive; both count characters. */
export interface Mention {
  readonly start: number;
  readonly end: number;
  /** Indices of the objects meant; several for a plural. */
  readonly objects: readonly number[];
  /** The place meant, where the words are those of a place. */
  readonly place?: number;
}

/** Where a text names what `sample` shows, by object ('fox', 'red stars', 'bar C') or by place. */
export function mentions(text: string, sample: TrainingSample): Mention[] {
  const names = objectNames(sample);
  placeNames.forEach((name, place) => {
    for (const spelling of [name, name.replace('centre', 'center')])
      names.set(spelling, { place, objects: [] });
  });
  const longestFirst = [...names.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(`\\b(?:${longestFirst.join('|')})\\b`, 'gi');
  return [...text.matchAll(pattern)].map((match) => {
    const meant = names.get(match[0].toLowerCase())!;
    return { start: match.index, end: match.index + match[0].length, ...meant };
  });
}

function objectNames({ objects }: TrainingSample): Map<string, Omit<Mention, 'start' | 'end'>> {
  const indices = new Map<string, number[]>();
  const add = (name: string, index: number) =>
    indices.set(name.toLowerCase(), [...(indices.get(name.toLowerCase()) ?? []), index]);
  objects.forEach(({ family, name, kind, colour }, index) => {
    if (family === 'glyph') return;
    add(name, index);
    if (family === 'emoji') add(emojiKinds[kind - firstClass.emoji].plural, index);
    if (family === 'shape') {
      const shape = shapeNames[kind - firstClass.shape];
      add(`${name}s`, index);
      add(shape, index);
      add(`${shape}s`, index);
    }
    if (family === 'bar') {
      add(colours[colour].name, index);
      const label = objects[index + 1];
      if (label?.family === 'glyph') {
        add(`bar ${label.name}`, index);
        add(`bar ${label.name}`, index + 1);
      }
    }
  });
  return new Map([...indices].map(([name, meant]) => [name, { objects: [...new Set(meant)] }]));
}
