import { emojiKinds } from './emoji.ts';
import { createRandom } from './random.ts';

/** A colour that shapes, bars and words can have. */
export interface Colour {
  readonly name: string;
  readonly rgb: readonly [number, number, number];
}

export const colours: readonly Colour[] = [
  { name: 'red', rgb: [222, 30, 38] },
  { name: 'orange', rgb: [255, 136, 16] },
  { name: 'yellow', rgb: [252, 214, 20] },
  { name: 'green', rgb: [36, 158, 58] },
  { name: 'blue', rgb: [36, 92, 226] },
  { name: 'purple', rgb: [132, 40, 188] },
  { name: 'pink', rgb: [255, 116, 188] },
  { name: 'brown', rgb: [122, 72, 32] },
  { name: 'gray', rgb: [136, 142, 150] },
  { name: 'black', rgb: [24, 24, 26] },
];

export const shapeNames = ['circle', 'square', 'triangle', 'star', 'heart', 'diamond'] as const;
export type ShapeName = (typeof shapeNames)[number];

/** Letters and digits that words are made of. No 0, 1 and Q, so that O and I cannot be mistaken. */
export const glyphs: readonly string[] = 'ABCDEFGHIJKLMNOPRSTUVWXYZ23456789'.split('');
export const letterGlyphs = glyphs.filter((glyph) => /[A-Z]/.test(glyph));
export const digitGlyphs = glyphs.filter((glyph) => /\d/.test(glyph));

/** The nine places, row by row; a place is the cell of the 3×3 grid an object's centre lies in. */
export const placeNames: readonly string[] = [
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

/**
 * Patch classes: 0 = ground, then emoji kinds, shapes, glyphs and the bar. `firstClass` says where each
 * family starts.
 */
export const firstClass = {
  emoji: 1,
  shape: 1 + emojiKinds.length,
  glyph: 1 + emojiKinds.length + shapeNames.length,
  bar: 1 + emojiKinds.length + shapeNames.length + glyphs.length,
} as const;
export const patchClassCount = firstClass.bar + 1;

/** The word each patch class is called by; '' for the ground. */
export const patchClassNames: readonly string[] = [
  '',
  ...emojiKinds.map((kind) => kind.name),
  ...shapeNames,
  ...glyphs,
  'bar',
];

/** Patch colour classes: 0 = none (ground), 1… = `colours`; -1 = not asked (emoji have many). */
export const patchColourCount = colours.length + 1;

/** Order in which a curriculum introduces the kinds (indices into `emojiKinds`); never changes. */
export const curriculumOrder: readonly number[] = createRandom(20251).shuffle(
  emojiKinds.map((_, index) => index),
);
