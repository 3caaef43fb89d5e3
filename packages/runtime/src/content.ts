import { promptError, typeError } from './prompt-error.ts';
import type {
  ImageValue,
  LanguageModelContent,
  LanguageModelMessage,
  LanguageModelMessageType,
  LanguageModelPrompt,
  WireImage,
  WireMessage,
  WirePart,
} from './messages.ts';

export interface PromptContext {
  /** What the session takes besides text. */
  readonly expectedTypes: ReadonlySet<LanguageModelMessageType>;
  /** Whether messages precede this prompt. */
  readonly hasMessages: boolean;
}

/**
 * Validates a prompt as the Prompt API's "validate and canonicalize a prompt" does and makes it cloneable. Checks run
 * at once, so that later changes by the caller are not seen.
 * @throws TypeError, or a DOMException SyntaxError, NotSupportedError or EncodingError.
 */
export async function toWireMessages(
  prompt: LanguageModelPrompt,
  context: PromptContext,
): Promise<WireMessage[]> {
  return await Promise.all(
    canonicalize(prompt, context).map(async ({ role, parts, prefix }) => ({
      role,
      parts: await Promise.all(parts.map(toWirePart)),
      prefix,
    })),
  );
}

interface CanonicalMessage extends Pick<LanguageModelMessage, 'role' | 'prefix'> {
  readonly parts: readonly LanguageModelContent[];
}

const ROLES = ['system', 'user', 'assistant'];

function canonicalize(prompt: LanguageModelPrompt, context: PromptContext): CanonicalMessage[] {
  if (typeof prompt === 'string') return [{ role: 'user', parts: [text(prompt)] }];
  if (!isIterable(prompt)) throw invalid('a prompt', 'a string or a list of messages', prompt);
  const messages = [...prompt];
  if (messages.length === 0) return [{ role: 'user', parts: [text('')] }];
  return messages.map((message, index) => {
    const { role, content, prefix = false } = message ?? {};
    if (!ROLES.includes(role)) throw invalid("a message's role", "'system', 'user' or 'assistant'", role);
    if (prefix && (role !== 'assistant' || index < messages.length - 1)) {
      throw promptError(
        'SyntaxError',
        'invalid-argument',
        "Only a prompt's last message, and only one of role 'assistant', can be the prefix of the answer.",
      );
    }
    if (role === 'system' && (context.hasMessages || index > 0)) {
      throw typeError("A message of role 'system' can only be the first of a session.");
    }
    if (typeof content === 'string') return { role, parts: [text(content)], prefix };
    if (!isIterable(content)) throw invalid("a message's content", 'a string or a list of parts', content);
    const parts = [...content];
    for (const part of parts) checkPart(part, role, context.expectedTypes);
    return { role, parts: parts.length > 0 ? joinTexts(parts) : [text('')], prefix };
  });
}

function checkPart(
  part: LanguageModelContent,
  role: LanguageModelMessage['role'],
  expectedTypes: PromptContext['expectedTypes'],
): void {
  const { type, value } = (part ?? {}) as { type?: unknown; value?: unknown };
  switch (type) {
    case 'text':
      if (typeof value !== 'string') throw invalid("a text part's value", 'a string', value);
      return;
    case 'image':
    case 'video': {
      if (role !== 'user')
        throw unsupported(`Only messages of the user can hold pictures; got role '${role}'.`);
      if (!expectedTypes.has('image')) {
        throw unsupported(
          "This session takes no pictures: create it with expectedInputs: [{ type: 'image' }] to send some.",
        );
      }
      const images: unknown[] = type === 'image' ? [value] : Array.isArray(value) ? value : [];
      if (images.length === 0 || !images.every(isImageValue)) {
        throw typeError(
          `Expected ${type === 'image' ? "an image part's value to be a picture" : "a video part's value to be a list of pictures"}: ` +
            'a file (Blob), the bytes of one, an ImageBitmap, ImageData, or an image, canvas or video element.',
        );
      }
      return;
    }
    case 'audio':
    case 'tool-call':
    case 'tool-response':
      throw unsupported(`This library's models take no content of type '${type}'.`);
    default:
      throw invalid("a part's type", "'text', 'image' or 'video'", type);
  }
}

/** Texts that follow one another are one, without anything between them. */
function joinTexts(parts: readonly LanguageModelContent[]): LanguageModelContent[] {
  const joined: LanguageModelContent[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    if (part.type === 'text' && last?.type === 'text')
      joined[joined.length - 1] = text(last.value + part.value);
    else joined.push(part);
  }
  return joined;
}

async function toWirePart(part: LanguageModelContent): Promise<WirePart> {
  switch (part.type) {
    case 'text':
      return { type: 'text', text: part.value };
    case 'image':
      return { type: 'image', image: await toWireImage(part.value) };
    case 'video':
      return { type: 'video', frames: await Promise.all(part.value.map(toWireImage)) };
  }
}

/** Files stay files: the worker decodes them. What lives in the page becomes a bitmap here. */
async function toWireImage(value: ImageValue): Promise<WireImage> {
  if (value instanceof Blob || isInstance(value, 'ImageData')) return value;
  if (isBufferSource(value)) return new Blob([value]);
  try {
    return await createImageBitmap(value, { premultiplyAlpha: 'none', colorSpaceConversion: 'none' });
  } catch (cause) {
    throw promptError(
      'EncodingError',
      'invalid-image',
      'The image part holds no readable picture: expected one that is loaded, not empty and of this origin.',
      cause,
    );
  }
}

/** Everything that `createImageBitmap` takes. Node has few of them. */
const IMAGE_CLASSES = [
  'ImageBitmap',
  'ImageData',
  'HTMLImageElement',
  'SVGImageElement',
  'HTMLCanvasElement',
  'HTMLVideoElement',
  'OffscreenCanvas',
  'VideoFrame',
] as const;

function isImageValue(value: unknown): value is ImageValue {
  return (
    value instanceof Blob || isBufferSource(value) || IMAGE_CLASSES.some((name) => isInstance(value, name))
  );
}

function isBufferSource(value: unknown): value is BufferSource {
  return value instanceof ArrayBuffer || ArrayBuffer.isView(value);
}

type ImageClass = (typeof IMAGE_CLASSES)[number];

function isInstance<N extends ImageClass>(
  value: unknown,
  name: N,
): value is InstanceType<(typeof globalThis)[N]> {
  const constructor = (globalThis as Record<string, unknown>)[name];
  return typeof constructor === 'function' && value instanceof constructor;
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value;
}

function text(value: string): LanguageModelContent & { readonly type: 'text' } {
  return { type: 'text', value };
}

function unsupported(message: string): DOMException {
  return promptError('NotSupportedError', 'unsupported', message);
}

function invalid(what: string, expected: string, got: unknown): TypeError {
  return typeError(`Expected ${what} to be ${expected}; got ${describe(got)}.`);
}

function describe(value: unknown): string {
  return typeof value === 'string' ? `'${value.slice(0, 40)}'` : value === null ? 'null' : typeof value;
}
