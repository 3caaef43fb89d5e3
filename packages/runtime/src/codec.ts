import { SpeedqError } from '@speedq/format';
import type { PackedManifest } from '@speedq/format';
import {
  CONTROL_TOKENS,
  createStreamDecoder,
  renderPrompt,
  renderTrainingSample,
  userContent,
} from '@speedq/processor';
import type { ChatMessage as TemplateMessage, Tokenizer } from '@speedq/processor';
import type { ChatCodec } from './engine.ts';
import type { ChatMessage, EncodedPrompt, PlacedPicture } from './prompt.ts';

/**
 * The template and tokenizer of a packed model. Pictures stand at the start of their message, whatever
 * the order of its parts: that is how the models were trained.
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
      const template = messages.map(toTemplate);
      const ids = awaitAnswer ? renderPrompt(template, options) : renderTrainingSample(template, options).ids;
      return placePictures(Uint32Array.from(ids), messages, imageContext, tokensPerTile);
    },
    createDecoder: () => createStreamDecoder(tokenizer),
    tokenText: (id) => tokenizer.decode([id]),
  };
}

function toTemplate({ role, parts }: ChatMessage): TemplateMessage {
  const text = parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');
  const tiles = parts.flatMap((part) => (part.type === 'image' ? [part.picture.tiles] : []));
  if (role === 'user') return { role, content: userContent(text, tiles) };
  if (tiles.length > 0) {
    throw new SpeedqError(
      'invalid-argument',
      `Only messages of the user can hold pictures; one of role '${role}' holds ${tiles.length}.`,
    );
  }
  return { role, content: text };
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
  for (const { parts } of messages) {
    for (const part of parts) {
      if (part.type !== 'image' || imageContext === undefined) continue;
      const start = ids.indexOf(imageContext, at);
      const length = part.picture.tiles * tokensPerTile;
      images.push({ picture: part.picture, start, length });
      at = start + length;
    }
  }
  return { ids, images };
}
