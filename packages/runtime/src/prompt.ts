import type { LanguageModelRole } from './messages.ts';

/** A picture cut into tiles. */
export interface Picture {
  readonly tiles: number;
  /** Stands for its content: equal keys are one picture. Without one, only the same object is. */
  readonly key?: string;
  /** [tiles, 3, S, S], normalised. */
  readonly pixels: Float32Array;
}

export interface ChatMessage {
  readonly role: LanguageModelRole;
  readonly parts: readonly ChatPart[];
  /** Of a last message of the assistant: the start of the answer that is asked for. */
  readonly prefix?: boolean;
}

export type ChatPart =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'image'; readonly picture: Picture }
  /** Frames in order, each of one tile. */
  | { readonly type: 'video'; readonly frames: readonly Picture[] };

/** What tells pictures apart in caches. */
export function pictureIdentity(picture: Picture): unknown {
  return picture.key ?? picture;
}

/** A rendered conversation. */
export interface EncodedPrompt {
  readonly ids: Uint32Array;
  readonly images: readonly PlacedPicture[];
}

/** Where a picture's placeholders stand in the ids. */
export interface PlacedPicture {
  readonly picture: Picture;
  readonly start: number;
  readonly length: number;
}

/**
 * How much of `next` a cache that holds `cached` can keep: their longest common prefix, which never ends
 * inside a picture (its features go in whole), and leaves at least the last token to compute logits from.
 */
export function reusablePrefix(cached: EncodedPrompt, next: EncodedPrompt): number {
  const limit = Math.min(cached.ids.length, next.ids.length - 1);
  let length = 0;
  while (length < limit && cached.ids[length] === next.ids[length]) length++;
  for (const [i, { picture, start, length: size }] of next.images.entries()) {
    if (start >= length) break;
    const known = cached.images[i];
    const same =
      known !== undefined &&
      pictureIdentity(known.picture) === pictureIdentity(picture) &&
      known.start === start &&
      known.length === size;
    if (!same || start + size > length) return start;
  }
  return length;
}

/** The part of a prompt after its first `length` tokens, which must not end inside a picture. */
export function promptAfter({ ids, images }: EncodedPrompt, length: number): EncodedPrompt {
  return {
    ids: ids.subarray(length),
    images: images
      .filter(({ start }) => start >= length)
      .map((image) => ({ ...image, start: image.start - length })),
  };
}

/** The first `length` tokens and the pictures that lie wholly in them. */
export function promptBefore({ ids, images }: EncodedPrompt, length: number): EncodedPrompt {
  return {
    ids: ids.subarray(0, length),
    images: images.filter((image) => image.start + image.length <= length),
  };
}
