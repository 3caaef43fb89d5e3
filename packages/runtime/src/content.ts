import { SpeedqError } from '@speedq/format';
import type {
  ImageValue,
  LanguageModelContent,
  LanguageModelPrompt,
  WireImage,
  WireMessage,
  WirePart,
} from './messages.ts';

/**
 * Checks a prompt and makes it cloneable. Runs at once, so that later changes by the caller are not seen.
 * @throws {SpeedqError} `invalid-argument` for anything that is no prompt.
 */
export async function toWireMessages(prompt: LanguageModelPrompt): Promise<WireMessage[]> {
  if (typeof prompt === 'string') return [{ role: 'user', parts: [{ type: 'text', text: prompt }] }];
  if (!Array.isArray(prompt)) throw invalid('a prompt', 'a string or a list of messages', prompt);
  const messages: WireMessage[] = [];
  for (const message of prompt) {
    const { role, content } = message ?? {};
    if (role !== 'system' && role !== 'user' && role !== 'assistant') {
      throw invalid("a message's role", "'system', 'user' or 'assistant'", role);
    }
    if (typeof content === 'string') {
      messages.push({ role, parts: [{ type: 'text', text: content }] });
    } else if (Array.isArray(content)) {
      messages.push({ role, parts: await Promise.all(content.map(toWirePart)) });
    } else {
      throw invalid("a message's content", 'a string or a list of parts', content);
    }
  }
  return messages;
}

async function toWirePart(part: LanguageModelContent): Promise<WirePart> {
  switch (part.type) {
    case 'text':
      if (typeof part.value !== 'string') throw invalid("a text part's value", 'a string', part.value);
      return { type: 'text', text: part.value };
    case 'image':
      return { type: 'image', image: await toWireImage(part.value) };
    case 'video':
      if (!Array.isArray(part.value) || part.value.length === 0) {
        throw invalid("a video part's value", 'a list of at least one picture', part.value);
      }
      return { type: 'video', frames: await Promise.all((part.value as ImageValue[]).map(toWireImage)) };
    default:
      throw invalid("a part's type", "'text', 'image' or 'video'", (part as { type: unknown }).type);
  }
}

/** Files stay files: the worker decodes them. What lives in the page becomes a bitmap here. */
async function toWireImage(value: ImageValue): Promise<WireImage> {
  if (value instanceof Blob || value instanceof ImageData) return value;
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return new Blob([value]);
  try {
    return await createImageBitmap(value, { premultiplyAlpha: 'none', colorSpaceConversion: 'none' });
  } catch (cause) {
    throw new SpeedqError(
      'invalid-image',
      'The image part holds no readable picture: expected a file (Blob), the bytes of one, an ImageBitmap, ' +
        'ImageData, or a loaded image, canvas or video element of this origin.',
      { cause },
    );
  }
}

function invalid(what: string, expected: string, got: unknown): SpeedqError {
  return new SpeedqError('invalid-argument', `Expected ${what} to be ${expected}; got ${describe(got)}.`);
}

function describe(value: unknown): string {
  return typeof value === 'string' ? `'${value.slice(0, 40)}'` : value === null ? 'null' : typeof value;
}
