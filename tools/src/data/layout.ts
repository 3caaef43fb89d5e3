import { emojiKinds } from './emoji.ts';
import { glyphMetrics } from './fonts.ts';
import { colours, curriculumOrder, firstClass, glyphs, shapeNames } from './labels.ts';
import type { Random } from './random.ts';
import type { EmojiObject, GlyphObject, Placement, ShapeObject } from './types.ts';

/** What can be asked for when kinds are drawn. */
export interface KindChoice {
  /** Indices into `emojiKinds`. */
  readonly emoji: readonly number[];
  readonly shapes: number;
}

export function kindChoice(kinds = emojiKinds.length, shapes = 0.35): KindChoice {
  return { emoji: curriculumOrder.slice(0, kinds), shapes: kinds === 0 ? 1 : shapes };
}

/** An object before it has a place. */
export type Thing =
  | { readonly family: 'emoji'; readonly emoji: number; readonly name: string }
  | { readonly family: 'shape'; readonly shape: number; readonly colour: number; readonly name: string };

export function emojiThing(emoji: number): Thing {
  return { family: 'emoji', emoji, name: emojiKinds[emoji].name };
}

export function shapeThing(shape: number, colour: number): Thing {
  return { family: 'shape', shape, colour, name: `${colours[colour].name} ${shapeNames[shape]}` };
}

export function randomThing(random: Random, choice: KindChoice): Thing {
  return random.chance(choice.shapes)
    ? shapeThing(random.int(shapeNames.length), random.int(colours.length))
    : emojiThing(random.pick(choice.emoji));
}

/** Something that could be mistaken for the thing: same group, or one of shape and colour in common. */
export function confusable(random: Random, thing: Thing, choice: KindChoice): Thing {
  if (thing.family === 'emoji') {
    const { group } = emojiKinds[thing.emoji];
    const near = choice.emoji.filter((kind) => kind !== thing.emoji && emojiKinds[kind].group === group);
    if (near.length > 0) return emojiThing(random.pick(near));
    const others = choice.emoji.filter((kind) => kind !== thing.emoji);
    return others.length > 0
      ? emojiThing(random.pick(others))
      : randomThing(random, { ...choice, shapes: 1 });
  }
  return random.chance(0.5)
    ? shapeThing(thing.shape, (thing.colour + 1 + random.int(colours.length - 1)) % colours.length)
    : shapeThing((thing.shape + 1 + random.int(shapeNames.length - 1)) % shapeNames.length, thing.colour);
}

export function placeOf(x: number, y: number): number {
  const cell = (value: number): number => Math.min(2, Math.max(0, Math.floor(value * 3)));
  return cell(y) * 3 + cell(x);
}

const maxTilt = 0.2;

/** The thing as an object of the given size, tilted a little. */
export function putThing(random: Random, thing: Thing, at: Placement): EmojiObject | ShapeObject {
  const rotation = random.range(-maxTilt, maxTilt);
  const common = { ...at, place: placeOf(at.x, at.y), name: thing.name, rotation };
  return thing.family === 'emoji'
    ? { ...common, family: 'emoji', emoji: thing.emoji, kind: firstClass.emoji + thing.emoji, colour: -1 }
    : {
        ...common,
        family: 'shape',
        shape: shapeNames[thing.shape],
        kind: firstClass.shape + thing.shape,
        colour: thing.colour,
      };
}

/** A square of about the given size near the middle of a cell of a grid, wholly inside the picture. */
export function placeInCell(random: Random, cell: number, grid: number, size: number): Placement {
  const pitch = 1 / grid;
  const slack = Math.max(0.01, (pitch + 0.02 - size) / 2);
  const margin = size / 2 + 0.015;
  const along = (index: number): number => {
    const wanted = (index + 0.5) * pitch + random.range(-slack, slack);
    return Math.min(1 - margin, Math.max(margin, wanted));
  };
  const x = along(cell % grid);
  const y = along(Math.floor(cell / grid));
  return { x, y, width: size, height: size };
}

export interface TextStyle {
  readonly font: number;
  readonly colour: number;
}

/** Width of a line in units of the font size. */
export function lineWidth(font: number, text: string): number {
  let width = 0;
  for (const glyph of text) width += glyphMetrics(font, glyph).advance;
  return width;
}

/** The glyphs of one line, ink centred vertically on y; `left` is the pen's start. */
export function putLine(
  text: string,
  style: TextStyle,
  at: { readonly left: number; readonly y: number; readonly fontSize: number },
): GlyphObject[] {
  let pen = at.left;
  // All glyphs are capitals or digits: one cap height serves for the whole line.
  const capHeight = glyphMetrics(style.font, 'H').ascent;
  const baseline = at.y + (capHeight * at.fontSize) / 2;
  return text.split('').map((glyph) => {
    const metrics = glyphMetrics(style.font, glyph);
    const left = pen + metrics.left * at.fontSize;
    const right = pen + metrics.right * at.fontSize;
    const top = baseline - metrics.ascent * at.fontSize;
    const bottom = baseline + metrics.descent * at.fontSize;
    pen += metrics.advance * at.fontSize;
    const x = (left + right) / 2;
    const y = (top + bottom) / 2;
    return {
      family: 'glyph',
      name: glyph,
      kind: firstClass.glyph + glyphs.indexOf(glyph),
      colour: style.colour,
      font: style.font,
      fontSize: at.fontSize,
      x,
      y,
      width: right - left,
      height: bottom - top,
      place: placeOf(x, y),
    };
  });
}
