import { IMAGE_PLACEHOLDER } from '@speedq/processor';
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createRandom } from '../../data/random.ts';
import type { Random } from '../../data/random.ts';
import { DataProblem } from './problems.ts';

/** Frames of a video, at least and at most. */
export interface FrameCount {
  readonly minFrames: number;
  readonly maxFrames: number;
}

/** Stands for a video in the text of a record. */
export const VIDEO_PLACEHOLDER = '<video>';
const PICTURE = /\.(jpe?g|png|webp|gif|avif|tiff?)$/i;
/** frame-2 before frame-10. */
const BY_NUMBER = new Intl.Collator('en', { numeric: true });

/** A video is a folder of its frames, or their paths in order. Throws `DataProblem`. */
export async function listFrames(video: string | readonly string[]): Promise<readonly string[]> {
  if (typeof video !== 'string') return video;
  const found = await stat(video).catch(() => undefined);
  if (found === undefined) throw new DataProblem('missing video', `${video} does not exist.`);
  if (!found.isDirectory()) {
    const folder = video.replace(/\.[^./\\]*$/, '');
    throw new DataProblem(
      'unsupported video',
      `${video} is not a folder; videos are not decoded here. Extract its frames, ` +
        `ffmpeg -i ${basename(video)} -vf fps=1 ${basename(folder)}/%05d.jpg, and give the folder as "video".`,
    );
  }
  const frames = (await readdir(video)).filter((name) => PICTURE.test(name) && !name.startsWith('.'));
  if (frames.length === 0) throw new DataProblem('missing video', `${video} holds no pictures.`);
  return frames.sort((a, b) => BY_NUMBER.compare(a, b)).map((name) => join(video, name));
}

/**
 * As InternVL's training draws them: a number of frames between the least and the most, and one at random of each of
 * as many stretches of equal length; all where there are no more.
 */
export function sampleFrames<T>(
  frames: readonly T[],
  { minFrames, maxFrames }: FrameCount,
  seed: readonly number[],
): readonly T[] {
  const random = createRandom(...seed);
  const count = minFrames + random.int(maxFrames - minFrames + 1);
  if (frames.length <= count) return frames;
  const start = (stretch: number) => Math.floor((stretch * frames.length) / count);
  return Array.from({ length: count }, (_, i) => frames[within(random, start(i), start(i + 1))]);
}

function within(random: Random, start: number, end: number): number {
  return start + random.int(end - start);
}

/** A question with its frames in place of the video, on lines of their own; in front where it has no placeholder. */
export function placeFrames(question: string, count: number): string {
  const frames = Array.from({ length: count }, (_, i) => `Frame-${i + 1}: ${IMAGE_PLACEHOLDER}`).join('\n');
  // A function: "$&" in a replacement would not be plain text.
  return question.includes(VIDEO_PLACEHOLDER)
    ? question.replace(VIDEO_PLACEHOLDER, () => frames)
    : `${frames}\n${question}`;
}
