/** The conversation types of the Prompt API, reduced to what a vision-language model takes. */

export type LanguageModelRole = 'system' | 'user' | 'assistant';

/** The kinds of content that the Prompt API knows; 'text' and 'image' are what the models here take. */
export type LanguageModelMessageType = 'text' | 'image' | 'audio' | 'tool-call' | 'tool-response';

/** What an image part may hold: everything `createImageBitmap` takes, and the bytes of a picture file. */
export type ImageValue = ImageBitmapSource | BufferSource;

export type LanguageModelContent =
  | { readonly type: 'text'; readonly value: string }
  | { readonly type: 'image'; readonly value: ImageValue }
  /** Not in the Prompt API: frames of a video in order, each seen as a whole. 8 to 32 is what models know. */
  | { readonly type: 'video'; readonly value: readonly ImageValue[] };

export interface LanguageModelMessage {
  readonly role: LanguageModelRole;
  readonly content: string | readonly LanguageModelContent[];
  /** Of a last message of the assistant: the answer goes on from it. */
  readonly prefix?: boolean;
}

/** A string is one message of the user. */
export type LanguageModelPrompt = string | readonly LanguageModelMessage[];

/** A message as it goes to the worker: every value can be cloned, no element of a page is left. */
export interface WireMessage {
  readonly role: LanguageModelRole;
  readonly parts: readonly WirePart[];
  readonly prefix?: boolean;
}

export type WirePart =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'image'; readonly image: WireImage }
  | { readonly type: 'video'; readonly frames: readonly WireImage[] };

export type WireImage = Blob | ImageBitmap | ImageData;
