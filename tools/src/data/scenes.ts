import { textFontCount } from './fonts.ts';
import { colours, digitGlyphs, firstClass, glyphs, letterGlyphs } from './labels.ts';
import {
  confusable,
  emojiThing,
  type KindChoice,
  lineWidth,
  placeInCell,
  placeOf,
  putLine,
  putThing,
  randomThing,
  type Thing,
} from './layout.ts';
import type { Random } from './random.ts';
import type { BarObject, Scene, SceneObject } from './types.ts';

/** A scene whose ground is still to be drawn: what it shows is known, which decides its split. */
export type Arrangement = Omit<Scene, 'ground'>;
import { readableWords } from './words.ts';

/** One pixel of pico's 168-pixel tile: sizes below are easiest to think of in these. */
const pixel = 1 / 168;
const nineCells = [0, 1, 2, 3, 4, 5, 6, 7, 8];

function thingContent(objects: readonly SceneObject[]): string {
  return objects
    .map((object) => `${object.name}@${object.place}`)
    .sort()
    .join('|');
}

function finish(type: Scene['type'], objects: SceneObject[], content: string): Arrangement {
  // Reading order, so that no question depends on the order of drawing.
  const ordered =
    type === 'objects' || type === 'counting' ? objects.sort((a, b) => a.place - b.place) : objects;
  return { type, objects: ordered, content: `${type}|${content}` };
}

/** 1–4 objects in different places; now and then two of one kind, or two that are easily confused. */
export function objectsScene(random: Random, choice: KindChoice): Arrangement {
  const count = 1 + Number(random.weighted({ 0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25 }));
  const things: Thing[] = [];
  while (things.length < count) {
    const last = things.at(-1);
    if (last !== undefined && random.chance(0.12)) things.push(last);
    else if (last !== undefined && random.chance(0.2)) things.push(confusable(random, last, choice));
    else things.push(randomThing(random, choice));
  }
  const sizes = [
    [48, 84],
    [46, 60],
    [44, 58],
    [44, 56],
  ][count - 1];
  const cells = random.shuffle(nineCells);
  const objects = things.map((thing, index) => {
    const size = random.range(sizes[0], sizes[1]) * pixel;
    return putThing(random, thing, placeInCell(random, cells[index], 3, size));
  });
  return finish('objects', objects, thingContent(objects));
}

/** One to six of one kind, half the time among up to three others. */
export function countingScene(random: Random, choice: KindChoice): Arrangement {
  const thing = randomThing(random, choice);
  const count = 1 + random.int(6);
  const others = random.chance(0.5) ? 1 + random.int(3) : 0;
  let other = random.chance(0.4) ? confusable(random, thing, choice) : randomThing(random, choice);
  while (other.name === thing.name) other = randomThing(random, { ...choice, shapes: 0.5 });
  const cells = random.shuffle(nineCells);
  const size = random.range(38, 52);
  const objects = Array.from({ length: count + others }, (_, index) => {
    const own = size * random.range(0.94, 1.06) * pixel;
    return putThing(random, index < count ? thing : other, placeInCell(random, cells[index], 3, own));
  });
  return finish('counting', objects, thingContent(objects));
}

function randomWord(random: Random): string {
  const kind = random.weighted({ word: 0.5, letters: 0.2, number: 0.3 });
  if (kind === 'word') return random.pick(readableWords);
  const alphabet = kind === 'letters' ? letterGlyphs : digitGlyphs;
  const length = 2 + random.int(kind === 'letters' ? 3 : 4);
  return Array.from({ length }, () => random.pick(alphabet)).join('');
}

/** A word or number of 2–5 characters, a third of the time beside one object. */
export function wordScene(random: Random, choice: KindChoice): Arrangement {
  const text = randomWord(random);
  const style = { font: random.int(textFontCount), colour: random.int(colours.length) };
  const accompanied = random.chance(0.33);
  const widthInEms = lineWidth(style.font, text);
  // Rows are 56 pixels apart: beside an object the word is smaller, to keep clear of it.
  const largest = Math.min((accompanied ? 54 : 68) * pixel, 0.92 / widthInEms);
  const fontSize = Math.max(Math.min(30 * pixel, largest), largest * random.range(0.75, 1));
  const row = random.int(3);
  const width = widthInEms * fontSize;
  const left = random.range(0.03, 0.97 - width);
  const margin = 0.4 * fontSize + 0.02;
  const y = Math.min(1 - margin, Math.max(margin, (row + 0.5) / 3 + random.range(-6, 6) * pixel));
  const line = putLine(text, style, { left, y, fontSize });
  const objects: SceneObject[] = [...line];
  if (accompanied) {
    const otherRow = (row + 1 + random.int(2)) % 3;
    const cell = otherRow * 3 + random.int(3);
    const placement = placeInCell(random, cell, 3, random.range(42, 48) * pixel);
    objects.push(putThing(random, randomThing(random, choice), placement));
  }
  const place = placeOf(left + width / 2, y);
  // The string alone is the content, so that a test never shows a string that was trained on.
  const scene = finish('word', objects, text);
  return { ...scene, word: { text, colour: style.colour, place } };
}

/** 2–4 bars of different heights and colours with a letter under each. */
export function chartScene(random: Random): Arrangement {
  const count = 2 + random.int(3);
  const barColours = random.shuffle(colours.map((_, index) => index)).slice(0, count);
  const labels = random.shuffle(letterGlyphs).slice(0, count);
  const levels = random.shuffle([1, 2, 3, 4, 5]).slice(0, count);
  const slot = 0.92 / count;
  const width = Math.min(0.24, slot * random.range(0.6, 0.8));
  const base = 0.8 + random.range(-2, 2) * pixel;
  const step = random.range(0.13, 0.148);
  const objects: SceneObject[] = [];
  const fontSize = random.range(24, 28) * pixel;
  const font = random.int(textFontCount);
  for (let index = 0; index < count; index++) {
    const x = 0.04 + (index + 0.5) * slot;
    const height = levels[index] * step;
    const y = base - height / 2;
    const bar: BarObject = {
      family: 'bar',
      name: `${colours[barColours[index]].name} bar`,
      kind: firstClass.bar,
      colour: barColours[index],
      label: labels[index],
      x,
      y,
      width,
      height,
      place: placeOf(x, y),
    };
    const labelWidth = lineWidth(font, labels[index]) * fontSize;
    const ink = { font, colour: colours.length - 1 };
    objects.push(
      bar,
      ...putLine(labels[index], ink, { left: x - labelWidth / 2, y: base + 0.105, fontSize }),
    );
  }
  const content = barColours.map((colour, index) => `${colours[colour].name}:${levels[index]}`).join('|');
  return finish('chart', objects, content);
}

/** A line of random characters that fills the width, for the vision encoder to learn letters from. */
function glyphLine(random: Random, top: number, rowHeight: number): SceneObject[] {
  const style = { font: random.int(textFontCount), colour: random.int(colours.length) };
  const fontSize = Math.min(rowHeight * 1.2, 64 * pixel) * random.range(0.72, 1);
  let text = '';
  for (;;) {
    const longer = text + random.pick(glyphs);
    if (lineWidth(style.font, longer) * fontSize > 0.96) break;
    text = longer;
  }
  const slack = 0.98 - lineWidth(style.font, text) * fontSize;
  const left = 0.01 + random.next() * slack;
  return putLine(text, style, { left, y: top + rowHeight / 2, fontSize });
}

/** 9–16 small objects in a grid, some rows of it replaced by lines of characters (`textShare`). */
function gridScene(
  random: Random,
  choice: KindChoice,
  type: 'mosaic' | 'glyphs',
  textShare: number,
): Arrangement {
  const grid = random.chance(0.5) ? 4 : 3;
  const pitch = 168 / grid;
  const objects: SceneObject[] = [];
  for (let row = 0; row < grid; row++) {
    if (random.chance(textShare)) {
      objects.push(...glyphLine(random, row / grid, 1 / grid));
      continue;
    }
    for (let column = 0; column < grid; column++) {
      const thing = random.chance(0.25)
        ? randomThing(random, { ...choice, shapes: 1 })
        : emojiThing(random.pick(choice.emoji));
      const size = random.range(pitch * 0.7, pitch) * pixel;
      objects.push(putThing(random, thing, placeInCell(random, row * grid + column, grid, size)));
    }
  }
  return finish(type, objects, thingContent(objects));
}

export function mosaicScene(random: Random, choice: KindChoice): Arrangement {
  return gridScene(random, choice, 'mosaic', 0.15);
}

export function glyphsScene(random: Random, choice: KindChoice): Arrangement {
  return gridScene(random, choice, 'glyphs', 0.9);
}
