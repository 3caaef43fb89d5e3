import { sha256, SpeedqError } from '@speedq/format';
import type { PackedManifest } from '@speedq/format';
import { cutTiles, normalizeTiles, rgbFromRgba } from '@speedq/processor';
import type { RgbImage } from '@speedq/processor';
import { decodeImage } from '@speedq/processor/browser';
import type { WireImage } from './messages.ts';
import type { Picture } from './prompt.ts';

type PictureOptions = Pick<PackedManifest, 'tiling' | 'normalization'>;

/**
 * A picture as the vision encoder takes it. It holds the bytes of its tiles, a quarter of the pixels: they are
 * made anew when they are asked for, which is when the encoder runs.
 * @throws {SpeedqError} `invalid-image`.
 */
export async function toPicture(
  image: RgbImage,
  { tiling, normalization }: PictureOptions,
): Promise<Picture> {
  const { count, data } = cutTiles(image, tiling);
  return {
    tiles: count,
    key: await sha256(data),
    get pixels() {
      return normalizeTiles(data, tiling.tileSize, normalization.mean, normalization.std);
    },
  };
}

/** How a frame of a video is cut: it is one tile, without a thumbnail. */
export function frameOptions({ tiling, normalization }: PictureOptions): PictureOptions {
  return { tiling: { ...tiling, minTiles: 1, maxTiles: 1 }, normalization };
}

/**
 * Reads what a page may send: the bytes of a picture file, or pixels. In a window or worker.
 * @throws {SpeedqError} `invalid-image`, `unsupported`.
 */
export async function readPicture(image: WireImage, options: PictureOptions): Promise<Picture> {
  if (image instanceof Blob) return await toPicture(await decodeImage(image), options);
  if (image instanceof ImageData) {
    return await toPicture(rgbFromRgba(image.width, image.height, image.data), options);
  }
  const { width, height } = image;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) {
    throw new SpeedqError(
      'unsupported',
      'Reading an ImageBitmap needs a 2D canvas in the worker. Pass the picture as a Blob instead.',
    );
  }
  context.drawImage(image, 0, 0);
  return await toPicture(rgbFromRgba(width, height, context.getImageData(0, 0, width, height).data), options);
}
