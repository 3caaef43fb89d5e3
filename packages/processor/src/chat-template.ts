import { SpeedqError } from '@speedq/format';
import { CONTROL_TOKENS, MARKUP_TOKENS } from './tokenizer/control-tokens.ts';
import { invalidTokenizer } from './tokenizer/tokenizer-json.ts';
import type { Tokenizer } from './tokenizer/tokenizer.ts';

/** A piece of a user message. */
export type ContentPart =
  | { readonly type: 'text'; readonly text: string }
  /** A picture cut into `tiles` tiles, thumbnail included. */
  | { readonly type: 'image'; readonly tiles: number };

export type ChatMessage =
  | { readonly role: 'system' | 'assistant'; readonly content: string }
  | { readonly role: 'user'; readonly content: string | readonly ContentPart[] };

export interface TemplateOptions {
  readonly tokenizer: Tokenizer;
  /** `<IMG_CONTEXT>` tokens per tile: InternVLConfig.tokensPerTile. */
  readonly tokensPerTile: number;
  /** Text of the system block, or null for none. A first message with role 'system' replaces it. */
  readonly systemPrompt: string | null;
}

export interface TrainingSample {
  readonly ids: number[];
  /** One per id, unshifted: the id where it is to be learned, IGNORE_INDEX elsewhere. */
  readonly labels: number[];
}

/** Label of positions without a loss (the convention of PyTorch's cross-entropy). */
export const IGNORE_INDEX = -100;

/** System prompt of InternVL3's own template; original-layout folders use it, Hugging Face-layout ones none. */
export const INTERNVL_SYSTEM_PROMPT =
  '你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。';

/** Stands for a picture in the text of a LLaVA-style record. */
export const IMAGE_PLACEHOLDER = '<image>';

/**
 * Control tokens in anybody's text stay plain characters, so that a question, a data set or a page pasted into
 * the chat cannot end its message or add picture slots. (The reference tokenises the finished prompt as one
 * string and so obeys them.) Grounding markup is recognised: answers of the real models hold it.
 */
const textOptions = { allowSpecial: new Set(MARKUP_TOKENS) };

function mismatch(placeholders: number, pictures: number): SpeedqError {
  return new SpeedqError(
    'invalid-data',
    `The message has ${placeholders} ${IMAGE_PLACEHOLDER} placeholder(s) for ${pictures} picture(s). ` +
      'Write one per picture, or none at all to have them put in front of the text.',
  );
}

/**
 * Lays out a user turn the way the models were trained: `<image>\n` before the text for one picture,
 * `Image-1: <image>\nImage-2: <image>\n…` for several. The text is literal: `<image>` in it is just characters.
 * @param tilesPerImage tiles of each picture, thumbnail included
 */
export function userContent(text: string, tilesPerImage: readonly number[]): ContentPart[] {
  const parts: ContentPart[] = [];
  for (const [index, tiles] of tilesPerImage.entries()) {
    if (tilesPerImage.length > 1) parts.push({ type: 'text', text: `Image-${index + 1}: ` });
    parts.push({ type: 'image', tiles }, { type: 'text', text: '\n' });
  }
  parts.push({ type: 'text', text });
  return parts;
}

/**
 * The same for text whose `<image>` placeholders say where the pictures go (LLaVA-style records). Without any
 * placeholder the pictures go in front, as in `userContent`.
 * @throws SpeedqError 'invalid-data' if placeholders and pictures differ in number
 */
export function parsePlaceholders(text: string, tilesPerImage: readonly number[]): ContentPart[] {
  const texts = text.split(IMAGE_PLACEHOLDER);
  if (texts.length === 1) return userContent(text, tilesPerImage);
  if (texts.length - 1 !== tilesPerImage.length) throw mismatch(texts.length - 1, tilesPerImage.length);
  return texts.flatMap((piece, index): ContentPart[] => [
    ...(index > 0 ? [{ type: 'image' as const, tiles: tilesPerImage[index - 1] }] : []),
    ...(piece === '' ? [] : [{ type: 'text' as const, text: piece }]),
  ]);
}

/** Ids a picture takes in a prompt: `<img>`, tiles × tokensPerTile, `</img>`. */
export function imageTokenCount(tiles: number, tokensPerTile: number): number {
  return tiles * tokensPerTile + 2;
}

/** Ids that end an answer: `<|im_end|>`, and `<|endoftext|>`, where the tokenizer has it. */
export function stopTokenIds(tokenizer: Tokenizer): number[] {
  return [CONTROL_TOKENS.messageEnd, CONTROL_TOKENS.endOfText].flatMap(
    (token) => tokenizer.tokenToId(token) ?? [],
  );
}

/** Writes the template into one growing list of ids, block by block. */
class Writer {
  readonly ids: number[] = [];
  readonly labels: number[] = [];
  private readonly tokenizer: Tokenizer;
  private readonly tokensPerTile: number;

  constructor({ tokenizer, tokensPerTile }: TemplateOptions) {
    if (!Number.isInteger(tokensPerTile) || tokensPerTile < 1) {
      throw new SpeedqError(
        'invalid-argument',
        `tokensPerTile must be a positive whole number, got ${tokensPerTile}.`,
      );
    }
    this.tokenizer = tokenizer;
    this.tokensPerTile = tokensPerTile;
  }

  header(role: ChatMessage['role']): void {
    this.control('messageStart');
    this.text(`${role}\n`);
  }

  /** Header and text of a prompt block are one piece for the tokenizer, as in training. */
  block(role: 'system' | 'user', content: string | readonly ContentPart[]): void {
    const parts = typeof content === 'string' ? parsePlaceholdersIn(role, content) : content;
    this.control('messageStart');
    let pending = `${role}\n`;
    for (const part of parts) {
      if (part.type === 'text') {
        pending += part.text;
      } else {
        this.text(pending);
        pending = '';
        this.image(part.tiles);
      }
    }
    this.text(pending);
    this.control('messageEnd');
    this.text('\n');
  }

  /** The header is encoded apart from the answer, because at inference it is where the prompt ends. */
  answer(content: string): void {
    this.header('assistant');
    const start = this.ids.length;
    this.text(content);
    this.control('messageEnd');
    for (let i = start; i < this.ids.length; i++) this.labels[i] = this.ids[i];
    this.text('\n');
  }

  text(text: string): void {
    for (const id of this.tokenizer.encode(text, textOptions)) this.put(id);
  }

  private image(tiles: number): void {
    if (!Number.isInteger(tiles) || tiles < 1) {
      throw new SpeedqError('invalid-data', `A picture must have at least one tile, got ${tiles}.`);
    }
    this.control('imageStart');
    const context = this.controlId('imageContext');
    for (let i = 0; i < tiles * this.tokensPerTile; i++) this.put(context);
    this.control('imageEnd');
  }

  private controlId(name: keyof typeof CONTROL_TOKENS): number {
    const id = this.tokenizer.tokenToId(CONTROL_TOKENS[name]);
    if (id === undefined)
      throw invalidTokenizer(`it lacks ${CONTROL_TOKENS[name]}, which the chat template needs`);
    return id;
  }

  private control(name: keyof typeof CONTROL_TOKENS): void {
    this.put(this.controlId(name));
  }

  private put(id: number): void {
    this.ids.push(id);
    this.labels.push(IGNORE_INDEX);
  }
}

/** A string given for a user turn has no pictures: a placeholder in it would silently be lost. */
function parsePlaceholdersIn(role: 'system' | 'user', content: string): ContentPart[] {
  return role === 'user' ? parsePlaceholders(content, []) : [{ type: 'text', text: content }];
}

function writeMessages(writer: Writer, messages: readonly ChatMessage[], isStart: boolean): void {
  for (const [index, message] of messages.entries()) {
    if (message.role === 'assistant') {
      writer.answer(message.content);
    } else if (message.role === 'user') {
      writer.block('user', message.content);
    } else if (isStart && index === 0) {
      writer.block('system', message.content);
    } else {
      throw new SpeedqError(
        'invalid-data',
        `Only the first message may have role 'system', message ${index} has.`,
      );
    }
  }
}

function writeConversation(messages: readonly ChatMessage[], options: TemplateOptions): Writer {
  const writer = new Writer(options);
  if (options.systemPrompt !== null && messages[0]?.role !== 'system') {
    writer.block('system', options.systemPrompt);
  }
  writeMessages(writer, messages, true);
  return writer;
}

/**
 * A whole conversation for training. Learned are each answer's tokens and the `<|im_end|>` after it; system
 * block, questions, headers and line breaks between blocks are not.
 * @throws SpeedqError 'invalid-data', 'invalid-tokenizer'
 */
export function renderTrainingSample(
  messages: readonly ChatMessage[],
  options: TemplateOptions,
): TrainingSample {
  const { ids, labels } = writeConversation(messages, options);
  return { ids, labels };
}

/**
 * The prompt for the next answer: the conversation so far, the assistant's header and `answerStart`, which the
 * model goes on from. It equals the start of `renderTrainingSample` for the same conversation with an answer.
 * @throws SpeedqError 'invalid-data', 'invalid-tokenizer'
 */
export function renderPrompt(
  messages: readonly ChatMessage[],
  options: TemplateOptions,
  answerStart = '',
): number[] {
  const writer = writeConversation(messages, options);
  writer.header('assistant');
  if (answerStart !== '') writer.text(answerStart);
  return writer.ids;
}

/**
 * What follows an answer whose `<|im_end|>` is already in the key-value cache: the line break, the new messages
 * and the assistant's header.
 * @throws SpeedqError 'invalid-data', 'invalid-tokenizer'
 */
export function renderContinuation(messages: readonly ChatMessage[], options: TemplateOptions): number[] {
  const writer = new Writer(options);
  writer.text('\n');
  writeMessages(writer, messages, false);
  writer.header('assistant');
  return writer.ids;
}
