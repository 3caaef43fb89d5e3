import { SpeedqError } from '@speedq/format';
import type { PackedManifest } from '@speedq/format';
import {
  CONTROL_TOKENS,
  createStreamDecoder,
  renderPrompt,
  renderTrainingSample,
  userContent,
} from '@speedq/processor';
import type { ChatMessage as TemplateMessage, ContentPart, Tokenizer } from '@speedq/processor';
import { createConstraints } from './constraint/response-constraint.ts';
import type { ChatCodec } from './engine.ts';
import type { ChatMessage, EncodedPrompt, Picture, PlacedPicture } from './prompt.ts';

/**
 * The template and tokenizer of a packed model. Videos, then pictures stand at the start of their message,
 * whatever the order of its parts: that is how the models were trained.
 */
export function createCodec(
  { prompt, stopTokenIds, tokensPerTile }: Pick<PackedManifest, 'prompt' | 'stopTokenIds' | 'tokensPerTile'>,
  tokenizer: Tokenizer,
): ChatCodec {
  const options = { tokenizer, tokensPerTile, systemPrompt: prompt.systemPrompt };
  const imageContext = tokenizer.tokenToId(CONTROL_TOKENS.imageContext);
  return {
    stopTokens: new Set(stopTokenIds),
    encode(messages, awaitAnswer) {
      const last = messages.at(-1);
      const start = awaitAnswer && last?.prefix ? last : undefined;
      const template = (start ? messages.slice(0, -1) : messages).map(toTemplate);
      const ids = awaitAnswer
        ? renderPrompt(template, options, start && textOf(start))
        : renderTrainingSample(template, options).ids;
      return placePictures(Uint32Array.from(ids), messages, imageContext, tokensPerTile);
    },
    createDecoder: () => createStreamDecoder(tokenizer),
    tokenText: (id) => tokenizer.decode([id]),
    constrain: createConstraints(tokenizer),
  };
}

function textOf({ parts }: ChatMessage): string {
  return parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
}

function toTemplate(message: ChatMessage): TemplateMessage {
  const { role, parts } = message;
  const text = textOf(message);
  const tiles = parts.flatMap((part) => (part.type === 'image' ? [part.picture.tiles] : []));
  const frames = parts.flatMap((part) => (part.type === 'video' ? part.frames : []));
  if (role === 'user') return { role, content: [...videoContent(frames), ...userContent(text, tiles)] };
  if (tiles.length + frames.length > 0) {
    throw new SpeedqError(
      'invalid-argument',
      `Only messages of the user can hold pictures; one of role '${role}' holds ${tiles.length + frames.length}.`,
    );
  }
  return { role, content: text };
}

/** As the models were trained: each frame a picture of its own on a line that counts it. */
function videoContent(frames: readonly Picture[]): ContentPart[] {
  return frames.flatMap(({ tiles }, index): ContentPart[] => [
    { type: 'text', text: `Frame-${index + 1}: ` },
    { type: 'image', tiles },
    { type: 'text', text: '\n' },
  ]);
}

/** The pictures of a message in the order in which `toTemplate` places them. */
function picturesOf({ parts }: ChatMessage): Picture[] {
  return [
    ...parts.flatMap((part) => (part.type === 'video' ? part.frames : [])),
    ...parts.flatMap((part) => (part.type === 'image' ? [part.picture] : [])),
  ];
}

/** Runs of placeholders, in order, are the pictures, in order: text never makes a placeholder. */
function placePictures(
  ids: Uint32Array,
  messages: readonly ChatMessage[],
  imageContext: number | undefined,
  tokensPerTile: number,
): EncodedPrompt {
  const images: PlacedPicture[] = [];
  let at = 0;
  for (const picture of messages.flatMap(picturesOf)) {
    if (imageContext === undefined) break;
    const start = ids.indexOf(imageContext, at);
    const length = picture.tiles * tokensPerTile;
    images.push({ picture, start, length });
    at = start + length;
  }
  return { ids, images };
}
