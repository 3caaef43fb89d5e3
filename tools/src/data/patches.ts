import { emojiSprite, type Mask, maskSize, shapeMask } from './sprites.ts';
import type { Scene, SceneObject } from './types.ts';

/** Side of a patch in pixels: InternVL's. */
export const patchSize = 14;

/** Points sampled along each side of a patch, and how many of the 16 an object must cover to own it. */
const samples = 4;
const enough = 4;

export interface PatchLabels {
  readonly patchKinds: Uint8Array;
  readonly patchColours: Int8Array;
  readonly patchObjects: Int8Array;
}

/** Whether the object covers the point (fractions of the side). Bars and glyphs count as their boxes. */
function covers(object: SceneObject, mask: Mask | undefined, x: number, y: number): boolean {
  let u = (x - object.x) / object.width;
  let v = (y - object.y) / object.height;
  if (mask !== undefined && 'rotation' in object) {
    const [cos, sin] = [Math.cos(object.rotation), Math.sin(object.rotation)];
    [u, v] = [cos * u + sin * v, cos * v - sin * u];
  }
  if (u < -0.5 || u >= 0.5 || v < -0.5 || v >= 0.5) return false;
  if (mask === undefined) return true;
  const column = Math.floor((u + 0.5) * maskSize);
  const row = Math.floor((v + 0.5) * maskSize);
  return mask[row * maskSize + column] === 1;
}

function maskFor(object: SceneObject): Mask | undefined {
  if (object.family === 'emoji') return emojiSprite(object.emoji, 128).mask;
  return object.family === 'shape' ? shapeMask(object.shape) : undefined;
}

/** Which object each patch of a picture of `size` pixels shows: the one covering most of it, if a quarter. */
export function labelPatches(scene: Scene, size: number): PatchLabels {
  const grid = Math.floor(size / patchSize);
  const patchKinds = new Uint8Array(grid * grid);
  const patchColours = new Int8Array(grid * grid);
  const patchObjects = new Int8Array(grid * grid).fill(-1);
  const covered = new Uint8Array(grid * grid);
  const patch = patchSize / size;
  // A tilted square reaches beyond its side by at most this factor.
  const reach = 0.5 * Math.SQRT2;
  scene.objects.forEach((object, index) => {
    const mask = maskFor(object);
    const [rx, ry] =
      mask === undefined
        ? [object.width / 2, object.height / 2]
        : [object.width * reach, object.height * reach];
    const first = (low: number): number => Math.max(0, Math.floor(low / patch));
    const last = (high: number): number => Math.min(grid - 1, Math.floor(high / patch));
    for (let row = first(object.y - ry); row <= last(object.y + ry); row++) {
      for (let column = first(object.x - rx); column <= last(object.x + rx); column++) {
        let hits = 0;
        for (let i = 0; i < samples; i++) {
          for (let j = 0; j < samples; j++) {
            const x = (column + (j + 0.5) / samples) * patch;
            const y = (row + (i + 0.5) / samples) * patch;
            if (covers(object, mask, x, y)) hits++;
          }
        }
        const at = row * grid + column;
        if (hits < enough || hits <= covered[at]) continue;
        covered[at] = hits;
        patchObjects[at] = index;
        patchKinds[at] = object.kind;
        patchColours[at] = object.family === 'emoji' ? -1 : object.colour + 1;
      }
    }
  });
  return { patchKinds, patchColours, patchObjects };
}
