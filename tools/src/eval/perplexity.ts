import { SpeedqError } from '@speedq/format';
import {
  CONTROL_TOKENS,
  IGNORE_INDEX,
  MARKUP_TOKENS,
  parsePlaceholders,
  renderTrainingSample,
} from '@speedq/processor';
import type { ChatMessage, TrainingSample } from '@speedq/processor';
import { decodeImage } from '@speedq/processor/node';
import type { ImageFeaturesHandle, Picture } from '@speedq/runtime';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { DataProblem } from '../quantize/data/problems.ts';
import { readRecord } from '../quantize/data/record.ts';
import type { Conversation } from '../quantize/data/record.ts';
import { requireSameIds } from './ask.ts';
import { argmax } from './engine.ts';
import type { OpenModel } from './open-model.ts';
import { klDivergence, logProbabilities } from './statistics.ts';

/** Tokens whose probabilities are computed in one go. */
interface Stretch {
  readonly ids: readonly number[];
  /** Per id, whether its probability counts; never the first, which nothing precedes. */
  readonly counts: readonly boolean[];
  /** In the order of their placeholders. */
  readonly pictures: readonly string[];
  /** How far the file is read with it. */
  readonly done: number;
  readonly total: number;
}

export interface TextScore {
  /** Tokens whose probabilities count. */
  readonly tokens: number;
  /** exp of the mean of −log p. */
  readonly perplexity: number;
  /** Beside the reference; KL(reference ‖ model) per token, in nats. */
  readonly reference?: {
    readonly perplexity: number;
    readonly kl: number;
    /** Share of tokens at which both models' most probable next token is the same. */
    readonly topAgreement: number;
  };
}

export interface TextOptions {
  readonly model: OpenModel;
  readonly reference?: OpenModel;
  /** Plain text, or conversations in LLaVA's layout where the name ends in .jsonl. */
  readonly file: string;
  /** Tokens a stretch of plain text is cut into; at most the context. */
  readonly window: number;
  readonly signal?: AbortSignal;
  /** Tokens of plain text, bytes of conversations. */
  readonly onProgress?: (done: number, total: number, perplexity: number) => void;
}

/** Rows of logits per step: bounds what a vocabulary of 150,000 takes to 80 MB. */
const ROWS = 128;

/**
 * Perplexity of a text, or of the answers in conversations (their tokens and the end of the message, as training
 * sees them). Plain text is cut into windows that do not overlap.
 * @throws {SpeedqError} `invalid-data`: nothing to score, a record that cannot be read; `context-exceeded`.
 */
export async function scoreText(options: TextOptions): Promise<TextScore> {
  const { model, reference, file, signal, onProgress } = options;
  let tokens = 0;
  let loss = 0;
  let referenceLoss = 0;
  let kl = 0;
  let same = 0;
  const stretches = file.endsWith('.jsonl') ? conversations(options) : windows(options);
  for await (const stretch of stretches) {
    const pairs = [model, ...(reference === undefined ? [] : [reference])].map((one) =>
      scan(one, stretch, signal),
    );
    for (;;) {
      const [own, other] = await Promise.all(pairs.map((pair) => pair.next()));
      if (own.done === true) break;
      const { id, log } = own.value;
      tokens++;
      loss -= log[id];
      if (other === undefined || other.done === true) continue;
      const float = other.value.log;
      referenceLoss -= float[id];
      kl += klDivergence(float, log);
      if (argmax(float) === argmax(log)) same++;
    }
    onProgress?.(stretch.done, stretch.total, Math.exp(loss / tokens));
  }
  if (tokens === 0) {
    throw new SpeedqError(
      'invalid-data',
      `${file} has no token whose probability could be computed; it needs at least two.`,
    );
  }
  return {
    tokens,
    perplexity: Math.exp(loss / tokens),
    ...(reference === undefined
      ? {}
      : {
          reference: {
            perplexity: Math.exp(referenceLoss / tokens),
            kl: kl / tokens,
            topAgreement: same / tokens,
          },
        }),
  };
}

/** Log-probabilities before each id that counts. */
async function* scan(
  model: OpenModel,
  { ids, counts, pictures }: Stretch,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ readonly id: number; readonly log: Float64Array }, void, void> {
  const { engine, tokenizer } = model;
  const first = counts.indexOf(true);
  if (first < 0) return;
  if (ids.length > engine.maxContext) {
    throw new SpeedqError(
      'context-exceeded',
      `A conversation has ${ids.length} tokens, the context holds ${engine.maxContext}. Shorten it or leave it out.`,
    );
  }
  const features: ImageFeaturesHandle[] = [];
  for (const path of pictures) {
    const { pixels, tiles } = await openPicture(model, path);
    features.push(await engine.encodeImages(pixels, tiles, signal));
  }
  engine.truncate(0);
  // The first step takes all pictures, and whatever needs no row of its own.
  const placeholder = tokenizer.tokenToId(CONTROL_TOKENS.imageContext);
  let start = 0;
  let end = Math.max(first, placeholder === undefined ? 0 : ids.lastIndexOf(placeholder) + 1);
  let rows = end - first + 1;
  while (start < ids.length - 1) {
    signal?.throwIfAborted();
    const part = Uint32Array.from(ids.slice(start, end));
    const logits = await engine.forward(part, start === 0 ? features : [], rows);
    for (let row = 0; row < rows; row++) {
      const next = end - rows + row + 1;
      if (!counts[next]) continue;
      yield { id: ids[next], log: logProbabilities(logits, row * engine.vocabSize, engine.vocabSize) };
    }
    start = end;
    end = Math.min(ids.length - 1, end + ROWS);
    rows = end - start;
  }
  for (const one of features) one.destroy();
}

async function* windows({ model, reference, file, window }: TextOptions): AsyncGenerator<Stretch> {
  const text = await readFile(file, 'utf8');
  const encode = ({ tokenizer }: OpenModel) =>
    tokenizer.encode(text, { allowSpecial: new Set(MARKUP_TOKENS) });
  const ids = encode(model);
  if (reference !== undefined) requireSameIds(ids, encode(reference), reference.name);
  const length = Math.min(window, model.engine.maxContext);
  for (let at = 0; at < ids.length; at += length) {
    const part = ids.slice(at, at + length);
    yield {
      ids: part,
      counts: part.map((_, i) => i > 0),
      pictures: [],
      done: at + part.length,
      total: ids.length,
    };
  }
}

async function* conversations({ model, reference, file }: TextOptions): AsyncGenerator<Stretch> {
  const root = dirname(resolve(file));
  const { size: total } = await stat(file);
  let done = 0;
  let number = 0;
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    number++;
    done += Buffer.byteLength(line) + 1;
    if (line.trim() === '') continue;
    try {
      const conversation = await readRecord(line, root, refuseVideo);
      const { ids, labels } = await render(conversation, model);
      if (reference !== undefined) {
        requireSameIds(ids, (await render(conversation, reference)).ids, reference.name);
      }
      const counts = labels.map((label) => label !== IGNORE_INDEX);
      yield { ids, counts, pictures: conversation.pictures, done, total };
    } catch (cause) {
      if (!(cause instanceof DataProblem)) throw cause;
      throw new SpeedqError('invalid-data', `${file}, line ${number}: ${cause.message}`, { cause });
    }
  }
}

/** Which frames are seen is drawn in training. */
function refuseVideo(): never {
  throw new DataProblem(
    'unsupported video',
    'videos are not scored; list the frames as pictures ("image": […]).',
  );
}

async function render({ turns, pictures }: Conversation, model: OpenModel): Promise<TrainingSample> {
  const tiles: number[] = [];
  for (const path of pictures) tiles.push((await openPicture(model, path)).tiles);
  let used = 0;
  const messages = turns.map(({ role, text, pictures: count }): ChatMessage => {
    if (role !== 'user') return { role, content: text };
    const content = parsePlaceholders(text, tiles.slice(used, used + count));
    used += count;
    return { role, content };
  });
  return renderTrainingSample(messages, model.template);
}

async function openPicture(model: OpenModel, path: string): Promise<Picture> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new SpeedqError(
      'invalid-data',
      `The picture ${path} cannot be read. Paths are relative to the JSONL.`,
      {
        cause,
      },
    );
  });
  return model.toPicture(await decodeImage(bytes));
}
