/** What an imported picture may be: everything else a file claims to be is left out. */
const TYPES = new Set(['image/png', 'image/jpeg', 'image/webp', 'image/gif', 'image/avif', 'image/bmp']);

export function isPictureType(type: string): boolean {
  return TYPES.has(type);
}
