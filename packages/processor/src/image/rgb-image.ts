import { SpeedqError } from '@speedq/format';

/** A decoded picture: rows from top to bottom, 3 bytes a pixel. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  /** height × width × 3, values 0–255. */
  readonly data: Uint8Array;
}

/** Longest side in pixels: what browsers' decoders and canvases handle, and no photograph exceeds it. */
export const MAX_IMAGE_SIDE = 16_384;
/** Pixels of one picture: 268 MB as RGBA while it is decoded; above a 60-megapixel camera. */
export const MAX_IMAGE_PIXELS = 67_108_864;
/** Bytes of a picture file. */
export const MAX_IMAGE_BYTES = 67_108_864;

/** @throws SpeedqError 'invalid-image' for empty or excessive sizes */
export function checkImageSize(width: number, height: number): void {
  if (!Number.isInteger(width) || !Number.isInteger(height) || width < 1 || height < 1) {
    throw new SpeedqError(
      'invalid-image',
      `A picture must be at least 1 × 1 pixels, got ${width} × ${height}. Use another picture.`,
    );
  }
  if (width > MAX_IMAGE_SIDE || height > MAX_IMAGE_SIDE || width * height > MAX_IMAGE_PIXELS) {
    throw new SpeedqError(
      'invalid-image',
      `The picture has ${width} × ${height} pixels; the limit is ${MAX_IMAGE_SIDE} a side and ` +
        `${MAX_IMAGE_PIXELS} in all. Scale it down first.`,
    );
  }
}

function checkData(width: number, height: number, channels: number, length: number): void {
  checkImageSize(width, height);
  if (length !== width * height * channels) {
    throw new SpeedqError(
      'invalid-image',
      `A ${width} × ${height} picture with ${channels} bytes a pixel has ${width * height * channels} bytes, ` +
        `got ${length}. Check the pixel layout.`,
    );
  }
}

/** @throws SpeedqError 'invalid-image' unless size and number of bytes agree and are within the limits */
export function checkRgbImage({ width, height, data }: RgbImage): void {
  checkData(width, height, 3, data.length);
}

/**
 * Drops alpha without compositing, as the reference does: the colour under a transparent pixel comes forward.
 * @param rgba height × width × 4, not premultiplied
 * @throws SpeedqError 'invalid-image'
 */
export function rgbFromRgba(width: number, height: number, rgba: Uint8Array | Uint8ClampedArray): RgbImage {
  checkData(width, height, 4, rgba.length);
  const data = new Uint8Array(width * height * 3);
  copyRgb(rgba, data, 0);
  return { width, height, data };
}

/** Copies the colours of RGBA pixels into RGB data from byte `offset` on. */
export function copyRgb(rgba: Uint8Array | Uint8ClampedArray, rgb: Uint8Array, offset: number): void {
  for (let from = 0, to = offset; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
}
