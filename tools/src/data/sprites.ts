import { type Canvas, createCanvas, type SKRSContext2D } from '@napi-rs/canvas';
import { emojiKinds } from './emoji.ts';
import { emojiFontFamily } from './fonts.ts';
import { type ShapeName, shapeNames } from './labels.ts';

/** Side of the coverage masks that patch labels are sampled from. */
export const maskSize = 48;

/** What a square object covers: maskSize² cells, row by row, 1 where it is opaque. */
export type Mask = Uint8Array;

export interface Sprite {
  /** The emoji at falling sizes, trimmed so that its longer side fills the square. */
  readonly levels: readonly Canvas[];
  readonly mask: Mask;
}

function maskOf(picture: Canvas): Mask {
  const small = createCanvas(maskSize, maskSize);
  const context = small.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(picture, 0, 0, maskSize, maskSize);
  const data = small.data();
  return Uint8Array.from({ length: maskSize * maskSize }, (_, i) => (data[4 * i + 3] >= 128 ? 1 : 0));
}

/** Bounding box of what is not transparent. */
function inkBox(canvas: Canvas): { left: number; top: number; width: number; height: number } {
  const { width, height } = canvas;
  const data = canvas.data();
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (data[4 * (y * width + x) + 3] < 16) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y + 1);
    }
  }
  return { left, top, width: right - left, height: bottom - top };
}

const spriteCache = new Map<string, Sprite>();

/** The emoji drawn once from the vector font at `size` pixels, then halved for smaller uses. */
export function emojiSprite(kind: number, size: number): Sprite {
  const key = `${kind}/${size}`;
  const cached = spriteCache.get(key);
  if (cached !== undefined) return cached;
  const rough = createCanvas(Math.ceil(size * 1.6), Math.ceil(size * 1.6));
  const roughContext = rough.getContext('2d');
  roughContext.font = `${size}px "${emojiFontFamily()}"`;
  roughContext.fillText(emojiKinds[kind].emoji, size * 0.1, size * 1.2);
  const ink = inkBox(rough);
  const scale = size / Math.max(ink.width, ink.height);
  const levels: Canvas[] = [];
  for (let side = size; side >= 24; side = Math.ceil(side / 2)) {
    const level = createCanvas(side, side);
    const context = level.getContext('2d');
    context.imageSmoothingQuality = 'high';
    if (levels.length === 0) {
      const [width, height] = [ink.width * scale, ink.height * scale];
      const [x, y] = [(side - width) / 2, (side - height) / 2];
      context.drawImage(rough, ink.left, ink.top, ink.width, ink.height, x, y, width, height);
    } else {
      context.drawImage(levels.at(-1)!, 0, 0, side, side);
    }
    levels.push(level);
  }
  const sprite = { levels, mask: maskOf(levels[0]) };
  spriteCache.set(key, sprite);
  return sprite;
}

/** The outline of a shape in the square from -r to r around the origin. */
export function traceShape(context: SKRSContext2D, shape: ShapeName, r: number): void {
  const polygon = (points: readonly (readonly [number, number])[]): void => {
    points.forEach(([x, y], index) =>
      index === 0 ? context.moveTo(x * r, y * r) : context.lineTo(x * r, y * r),
    );
    context.closePath();
  };
  context.beginPath();
  switch (shape) {
    case 'circle':
      context.arc(0, 0, r, 0, 2 * Math.PI);
      break;
    case 'square':
      polygon([
        [-0.85, -0.85],
        [0.85, -0.85],
        [0.85, 0.85],
        [-0.85, 0.85],
      ]);
      break;
    case 'triangle':
      polygon([
        [0, -0.92],
        [1, 0.85],
        [-1, 0.85],
      ]);
      break;
    case 'star':
      polygon(
        Array.from({ length: 10 }, (_, i) => {
          const radius = i % 2 === 0 ? 1.04 : 0.45;
          const angle = (i * Math.PI) / 5 - Math.PI / 2;
          return [radius * Math.cos(angle), radius * Math.sin(angle) + 0.06] as const;
        }),
      );
      break;
    case 'heart':
      context.moveTo(0, 0.95 * r);
      context.bezierCurveTo(-1.5 * r, -0.15 * r, -0.85 * r, -1.35 * r, 0, -0.5 * r);
      context.bezierCurveTo(0.85 * r, -1.35 * r, 1.5 * r, -0.15 * r, 0, 0.95 * r);
      context.closePath();
      break;
    case 'diamond':
      polygon([
        [0, -1],
        [0.72, 0],
        [0, 1],
        [-0.72, 0],
      ]);
      break;
  }
}

const shapeMasks = new Map<ShapeName, Mask>();

export function shapeMask(shape: ShapeName): Mask {
  if (shapeMasks.size === 0) {
    for (const name of shapeNames) {
      const canvas = createCanvas(4 * maskSize, 4 * maskSize);
      const context = canvas.getContext('2d');
      context.translate(2 * maskSize, 2 * maskSize);
      traceShape(context, name, 2 * maskSize);
      context.fill();
      shapeMasks.set(name, maskOf(canvas));
    }
  }
  return shapeMasks.get(shape)!;
}
