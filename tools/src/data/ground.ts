import { emojiKinds } from './emoji.ts';
import { colours } from './labels.ts';
import type { Random } from './random.ts';
import type { Ground, SceneObject } from './types.ts';

type Rgb = readonly [number, number, number];

const light: readonly Rgb[] = [
  [255, 255, 255],
  [236, 238, 242],
  [255, 246, 222],
  [216, 234, 255],
  [218, 244, 226],
  [234, 226, 255],
  [255, 228, 234],
  [186, 220, 246],
  [232, 218, 190],
  [196, 226, 196],
];

const dark: readonly Rgb[] = [
  [34, 44, 74],
  [26, 62, 52],
  [64, 36, 70],
  [60, 60, 66],
];

const white: Rgb = [236, 236, 236];
const byName = new Map(colours.map((colour) => [colour.name, colour.rgb]));

/** How well two colours are told apart: mostly by lightness, a little by hue. Black on white: 366. */
function contrastOf(a: Rgb, b: Rgb): number {
  const [red, green, blue] = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
  return Math.abs(0.299 * red + 0.587 * green + 0.114 * blue) + 0.25 * Math.hypot(red, green, blue);
}

function nominal(object: SceneObject): Rgb | undefined {
  if (object.family !== 'emoji') return colours[object.colour].rgb;
  const name = emojiKinds[object.emoji].colour;
  return name === 'white' ? white : byName.get(name);
}

/** A plain or gradient ground that every object stands out from. */
export function drawGround(random: Random, objects: readonly SceneObject[]): Ground {
  let best: Ground | undefined;
  let bestContrast = -1;
  for (let attempt = 0; attempt < 10; attempt++) {
    const palette = random.chance(0.15) ? dark : light;
    const from = random.pick(palette);
    const to = random.chance(0.5) ? random.pick(palette) : from;
    const angle = random.int(8) * (Math.PI / 4);
    let contrast = Infinity;
    for (const object of objects) {
      const colour = nominal(object);
      // Thin strokes need more contrast than filled shapes; emoji have outlines and shades of their own.
      const weight = object.family === 'glyph' ? 0.8 : object.family === 'emoji' ? 1.6 : 1;
      if (colour !== undefined) {
        contrast = Math.min(contrast, weight * Math.min(contrastOf(colour, from), contrastOf(colour, to)));
      }
    }
    if (contrast > bestContrast) {
      best = { from, to, angle };
      bestContrast = contrast;
    }
    if (contrast >= 95) break;
  }
  return best!;
}
