import { parsePlaceholders, renderTrainingSample } from '@speedq/processor';
import type { ChatMessage, TemplateOptions } from '@speedq/processor';
import { SpeedqError } from '@speedq/format';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { createRandom, hashText } from '../../data/random.ts';
import type { ModelMetadata } from '../../packing/metadata.ts';
import { PictureSet } from './picture-set.ts';
import { DataProblem, Problems } from './problems.ts';
import { readRecord } from './record.ts';
import type { Conversation } from './record.ts';
import type { DataSource } from './sources.ts';
import { sampleFrames } from './video.ts';
import type { FrameCount } from './video.ts';

/** A conversation as tokens. */
export interface Sample {
  readonly ids: readonly number[];
  /** The id where it is learned, IGNORE_INDEX elsewhere; unshifted. */
  readonly labels: readonly number[];
  /** Indexes into the picture set, in the order of their tokens. */
  readonly pictures: readonly number[];
  /** Of all its pictures. */
  readonly tiles: number;
}

export interface PrepareOptions {
  readonly sources: readonly DataSource[];
  readonly metadata: ModelMetadata;
  readonly template: TemplateOptions;
  /** Longest sequence. */
  readonly maxLength: number;
  readonly frames: FrameCount;
  /** As many conversations as training will look at. */
  readonly wanted: number;
  /** And at least so many different pictures, if there are. */
  readonly wantedPictures: number;
  readonly seed: number;
  readonly onSample?: (done: number) => void;
}

export interface Prepared {
  readonly samples: readonly Sample[];
  readonly pictures: PictureSet;
  readonly problems: Problems;
  /** SHA-256 of tokens, labels and picture files. */
  readonly hash: string;
}

/** Seeds of independent choices. */
const ORDER = 1;
const FRAMES = 2;

/**
 * Reads conversations in a seeded order until there are enough. Bad ones are counted and left out.
 * Throws `invalid-data` where too many are bad.
 */
export async function prepareSamples(options: PrepareOptions): Promise<Prepared> {
  const { sources, metadata, wanted, wantedPictures, seed, frames, onSample } = options;
  const lines = (await Promise.all(sources.map(readLines))).flat();
  const pictures = new PictureSet(metadata, seed);
  const problems = new Problems();
  const samples: Sample[] = [];
  let read = 0;
  for (const index of createRandom(seed, ORDER).shuffle([...lines.keys()])) {
    if (samples.length >= wanted && pictures.pictures.length >= wantedPictures) break;
    const { source, number, text, repetition } = lines[index];
    read++;
    try {
      const conversation = await readRecord(text, source.root, (all) =>
        sampleFrames(all, frames, [seed, FRAMES, hashText(text), repetition]),
      );
      samples.push(await prepare(conversation, lines[index], pictures, options));
      onSample?.(samples.length);
    } catch (error) {
      if (!(error instanceof DataProblem)) throw error;
      problems.add(`${basename(source.annotation)}:${number}`, error);
    }
  }
  problems.requireFew(read);
  return { samples, pictures, problems, hash: hashSamples(samples, pictures) };
}

interface Line {
  readonly source: DataSource;
  readonly number: number;
  readonly text: string;
  /** How often the set was there before. */
  readonly repetition: number;
}

async function readLines(source: DataSource): Promise<Line[]> {
  const lines: Line[] = [];
  let number = 0;
  const input = createReadStream(source.annotation, 'utf8');
  for await (const text of createInterface({ input, crlfDelay: Infinity })) {
    number++;
    if (text.trim() !== '') lines.push({ source, number, text, repetition: 0 });
  }
  if (source.repeat < 1) return lines.slice(0, Math.floor(lines.length * source.repeat));
  return Array.from({ length: source.repeat }, (_, repetition) =>
    lines.map((line) => ({ ...line, repetition })),
  ).flat();
}

async function prepare(
  conversation: Conversation,
  { source, repetition }: Line,
  pictures: PictureSet,
  { metadata, template, maxLength }: PrepareOptions,
): Promise<Sample> {
  const most = source.maxTiles ?? metadata.tiling.maxTiles;
  const share = Math.max(1, Math.floor(most / Math.max(1, conversation.pictures.length)));
  const maxTiles = conversation.isVideo ? 1 : share;
  const augmentation = source.augment ? repetition : undefined;
  const indexes: number[] = [];
  for (const path of conversation.pictures) indexes.push(await pictures.add(path, maxTiles, augmentation));
  const counts = indexes.map((index) => pictures.pictures[index].tiles);
  let used = 0;
  const messages = conversation.turns.map(({ role, text, pictures: count }): ChatMessage => {
    if (role !== 'user') return { role, content: text };
    const content = parsePlaceholders(text, counts.slice(used, used + count));
    used += count;
    return { role, content };
  });
  const { ids, labels } = render(messages, template);
  if (ids.length > maxLength) {
    const remedy = conversation.isVideo ? ' Lower data.maxFrames in the recipe.' : '';
    throw new DataProblem('overlong', `${ids.length} tokens, the limit is ${maxLength}.${remedy}`);
  }
  return { ids, labels, pictures: indexes, tiles: counts.reduce((sum, count) => sum + count, 0) };
}

function render(messages: readonly ChatMessage[], template: TemplateOptions) {
  try {
    return renderTrainingSample(messages, template);
  } catch (error) {
    if (error instanceof SpeedqError && error.code === 'invalid-data') {
      throw new DataProblem('malformed record', error.message);
    }
    throw error;
  }
}

function hashSamples(samples: readonly Sample[], { pictures }: PictureSet): string {
  const hash = createHash('sha256');
  for (const { ids, labels, pictures: used } of samples) {
    hash.update(Int32Array.from([ids.length, ...ids, ...labels, ...used]));
  }
  for (const { hash: own, tiles, augmentation } of pictures) hash.update(`${own} ${tiles} ${augmentation}\n`);
  return hash.digest('hex');
}
