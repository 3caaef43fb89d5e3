import { SpeedqError } from '@speedq/format';
import type { PackedManifest } from '@speedq/format';
import { preprocessImage, rgbFromRgba } from '@speedq/processor';
import type { RgbImage } from '@speedq/processor';
import { decodeImage } from '@speedq/processor/browser';
import type { WireImage } from './messages.ts';
import type { Picture } from './prompt.ts';

type PictureOptions = Pick<PackedManifest, 'tiling' | 'normalization'>;

/** A decoded picture as the vision encoder takes it. @throws {SpeedqError} `invalid-image`. */
function toPicture(image: RgbImage, { tiling, normalization }: PictureOptions): Picture {
  const { tiles, pixelValues } = preprocessImage(image, { ...tiling, ...normalization });
  return { tiles, pixels: pixelValues };
}

/**
 * Reads what a page may send: the bytes of a picture file, or pixels. In a window or worker.
 * @throws {SpeedqError} `invalid-image`, `unsupported`.
 */
export async function readPicture(image: WireImage, options: PictureOptions): Promise<Picture> {
  if (image instanceof Blob) return toPicture(await decodeImage(image), options);
  if (image instanceof ImageData)
    return toPicture(rgbFromRgba(image.width, image.height, image.data), options);
  const { width, height } = image;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) {
    throw new SpeedqError(
      'unsupported',
      'Reading an ImageBitmap needs a 2D canvas in the worker. Pass the picture as a Blob instead.',
    );
  }
  context.drawImage(image, 0, 0);
  return toPicture(rgbFromRgba(width, height, context.getImageData(0, 0, width, height).data), options);
}
