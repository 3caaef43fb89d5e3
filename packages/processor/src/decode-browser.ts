import { SpeedqError } from '@speedq/format';
import { checkImageFile, imageBytes, undecodable } from './image/sniff.ts';
import type { ImageFormat, ImageSource } from './image/sniff.ts';
import { checkImageSize, copyRgb } from './image/rgb-image.ts';
import type { RgbImage } from './image/rgb-image.ts';

/** Formats handed to the browser; which of the last three it reads depends on the browser. */
const supported: readonly ImageFormat[] = ['jpeg', 'png', 'webp', 'gif', 'bmp', 'avif', 'heic'];

/** Pixels of one strip: phones refuse canvases above 16 million, and a strip bounds the RGBA copy to 16 MB. */
const STRIP_PIXELS = 4_194_304;

const bitmapOptions: ImageBitmapOptions = {
  premultiplyAlpha: 'none',
  colorSpaceConversion: 'none',
  imageOrientation: 'from-image',
};

/**
 * Decodes a picture in a window or worker: EXIF orientation applied, alpha dropped without compositing, no
 * colour conversion, the first frame of an animation.
 * @throws SpeedqError 'invalid-image', 'unsupported' without OffscreenCanvas
 */
export async function decodeImage(source: ImageSource): Promise<RgbImage> {
  const bytes = await imageBytes(source);
  const format = checkImageFile(bytes, supported);
  let bitmap: ImageBitmap;
  try {
    // A copy with a definite type: the browser must not guess another one from the Blob it came in.
    bitmap = await createImageBitmap(new Blob([bytes.slice()], { type: `image/${format}` }), bitmapOptions);
  } catch (cause) {
    throw undecodable(format, cause);
  }
  try {
    return await readBitmap(bitmap);
  } finally {
    bitmap.close();
  }
}

async function readBitmap(bitmap: ImageBitmap): Promise<RgbImage> {
  const { width, height } = bitmap;
  checkImageSize(width, height);
  const data = new Uint8Array(width * height * 3);
  const rows = Math.max(1, Math.min(height, Math.floor(STRIP_PIXELS / width)));
  const context = new OffscreenCanvas(width, rows).getContext('2d', { willReadFrequently: true });
  if (!context) throw unsupported('a 2D canvas');
  let gl: StripReader | undefined;
  try {
    for (let y = 0; y < height; y += rows) {
      const count = Math.min(rows, height - y);
      // 'copy' replaces what the last strip left, where this one is transparent too.
      context.globalCompositeOperation = 'copy';
      context.drawImage(bitmap, 0, y, width, count, 0, 0, width, count);
      let rgba: Uint8Array | Uint8ClampedArray = context.getImageData(0, 0, width, count).data;
      if (!isOpaque(rgba)) {
        // A 2D canvas stores premultiplied colours, so those under low alpha are lost; WebGL keeps them.
        gl ??= createStripReader(width, rows);
        rgba = await gl.read(bitmap, y, count);
      }
      copyRgb(rgba, data, y * width * 3);
    }
  } finally {
    gl?.release();
  }
  return { width, height, data };
}

function isOpaque(rgba: Uint8ClampedArray): boolean {
  for (let i = 3; i < rgba.length; i += 4) if (rgba[i] !== 255) return false;
  return true;
}

function unsupported(what: string): SpeedqError {
  return new SpeedqError(
    'unsupported',
    `Reading this picture needs ${what}, which this browser does not give. Update the browser, or save the ` +
      'picture as JPEG and try again.',
  );
}

interface StripReader {
  /** RGBA of rows y … y + count − 1, not premultiplied. */
  read(bitmap: ImageBitmap, y: number, count: number): Promise<Uint8Array>;
  release(): void;
}

function createStripReader(width: number, rows: number): StripReader {
  const gl = new OffscreenCanvas(1, 1).getContext('webgl2', { premultipliedAlpha: false });
  if (!gl || width > (gl.getParameter(gl.MAX_TEXTURE_SIZE) as number)) {
    throw unsupported(`WebGL 2 with textures of ${width} pixels to keep colours under transparency`);
  }
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  return {
    async read(bitmap, y, count) {
      const strip = await createImageBitmap(bitmap, 0, y, width, count, { premultiplyAlpha: 'none' });
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, strip);
      strip.close();
      gl.framebufferTexture2D(
        gl.FRAMEBUFFER,
        gl.COLOR_ATTACHMENT0,
        gl.TEXTURE_2D,
        gl.getParameter(gl.TEXTURE_BINDING_2D) as WebGLTexture,
        0,
      );
      const rgba = new Uint8Array(width * Math.min(count, rows) * 4);
      gl.readPixels(0, 0, width, count, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
      if (gl.getError() !== gl.NO_ERROR) throw unsupported('working WebGL 2');
      return rgba;
    },
    release: () => gl.getExtension('WEBGL_lose_context')?.loseContext(),
  };
}
