import { sha256 } from '@speedq/format';
import { MAX_IMAGE_BYTES } from '@speedq/processor';
import type { WireImage } from './messages.ts';
import type { Picture } from './prompt.ts';

/** Each holds the bytes of its tiles: 8 MB at InternVL3's most tiles. */
const KEPT_PICTURES = 4;

/**
 * Remembers the last pictures by the content of their files: a page sends the file again with each
 * question, and need not wait for it to be decoded and cut again.
 */
export function cachePictures(
  read: (image: WireImage) => Promise<Picture>,
): (image: WireImage) => Promise<Picture> {
  const known = new Map<string, Promise<Picture>>();
  return async (image) => {
    // A file beyond the limit is refused unread, also by this.
    if (!(image instanceof Blob) || image.size > MAX_IMAGE_BYTES) return await read(image);
    const key = await sha256(new Uint8Array(await image.arrayBuffer()));
    const picture = known.get(key) ?? read(image);
    // Last in insertion order: the first one is the one not asked for for the longest time.
    known.delete(key);
    known.set(key, picture);
    for (const oldest of known.keys()) {
      if (known.size <= KEPT_PICTURES) break;
      known.delete(oldest);
    }
    try {
      return await picture;
    } catch (error) {
      known.delete(key);
      throw error;
    }
  };
}
