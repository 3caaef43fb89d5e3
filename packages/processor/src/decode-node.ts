import sharp from 'sharp';
import { checkImageFile, imageBytes, undecodable } from './image/sniff.ts';
import type { ImageFormat, ImageSource } from './image/sniff.ts';
import { checkRgbImage, MAX_IMAGE_PIXELS } from './image/rgb-image.ts';
import type { RgbImage } from './image/rgb-image.ts';

/** What sharp's prebuilt binaries read; SVG is left out on purpose (it may refer to other files). */
const supported: readonly ImageFormat[] = ['jpeg', 'png', 'webp', 'gif', 'avif', 'tiff'];

/**
 * Decodes a picture in Node: EXIF orientation applied, alpha dropped without compositing, colour profiles
 * ignored (as Pillow does), the first frame of an animation.
 * @throws SpeedqError 'invalid-image'
 */
export async function decodeImage(source: ImageSource): Promise<RgbImage> {
  const bytes = await imageBytes(source);
  const format = checkImageFile(bytes, supported);
  try {
    const { data, info } = await sharp(bytes, {
      failOn: 'error',
      ignoreIcc: true,
      limitInputPixels: MAX_IMAGE_PIXELS,
    })
      .rotate()
      .toColourspace('srgb')
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    const image = {
      width: info.width,
      height: info.height,
      data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    };
    checkRgbImage(image);
    return image;
  } catch (cause) {
    throw undecodable(format, cause);
  }
}
