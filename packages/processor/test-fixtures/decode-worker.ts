import { SpeedqError } from '@speedq/format';
import { decodeImage } from '../src/decode-browser.ts';

/** Runs the browser's decoder where the product runs it, in a worker: bytes in, picture or error code out. */
self.onmessage = async ({ data }: MessageEvent<Uint8Array>) => {
  try {
    const { width, height, data: rgb } = await decodeImage(data);
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', rgb.slice()));
    const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
    self.postMessage({ width, height, sha256, rgb: rgb.length > 100_000 ? [] : Array.from(rgb) });
  } catch (error) {
    self.postMessage({ code: error instanceof SpeedqError ? error.code : String(error) });
  }
};
