import { IMAGE_PLACEHOLDER } from '@speedq/processor';
import { join } from 'node:path';
import { DataProblem } from './problems.ts';
import { VIDEO_PLACEHOLDER, listFrames, placeFrames } from './video.ts';

export interface Turn {
  readonly role: 'system' | 'user' | 'assistant';
  readonly text: string;
  /** Pictures whose placeholders this turn has. */
  readonly pictures: number;
}

export interface Conversation {
  /** Paths, in the order of their placeholders. */
  readonly pictures: readonly string[];
  /** The pictures are frames of a video: each is one tile. */
  readonly isVideo: boolean;
  readonly turns: readonly Turn[];
}

const ROLES: Readonly<Record<string, Turn['role']>> = { human: 'user', gpt: 'assistant', system: 'system' };

/**
 * A line of LLaVA-style JSONL: {"image": "path" or […], "conversations": [{"from": "human" | "gpt" | "system",
 * "value": …}, …]}. A single picture without a placeholder goes in front of the first question. Without a picture,
 * {"video": "folder" or ["frame", …]}, whose placeholder is in the first question; `choose` says which frames are seen.
 * Throws `DataProblem`.
 */
export async function readRecord(
  line: string,
  root: string,
  choose: (frames: readonly string[]) => readonly string[],
): Promise<Conversation> {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (error) {
    throw new DataProblem('malformed record', `not JSON (${(error as Error).message}).`);
  }
  const { image, video, clip, conversations } = (json ?? {}) as Readonly<Record<string, unknown>>;
  const pictures = paths('image', image, root);
  const turns = parseTurns(conversations);
  const frames = pictures.length === 0 ? paths('video', video, root) : [];
  if (frames.length === 0) {
    return { pictures, isVideo: false, turns: placePictures(turns, pictures.length) };
  }
  if (clip !== undefined && clip !== null) {
    throw new DataProblem(
      'malformed record',
      '"clip" counts seconds, which pictures do not tell. Extract that stretch alone (ffmpeg -ss START -to END -i …) ' +
        'and leave "clip" out.',
    );
  }
  const chosen = choose(await listFrames(Array.isArray(video) ? frames : frames[0]));
  const first = turns.findIndex(({ role }) => role === 'user');
  const placed = turns.map((turn, index) =>
    index === first ? { ...turn, text: placeFrames(turn.text, chosen.length) } : turn,
  );
  if (placed.some(({ role, text }) => role === 'user' && text.includes(VIDEO_PLACEHOLDER))) {
    throw new DataProblem(
      'placeholder mismatch',
      `a record has one ${VIDEO_PLACEHOLDER}, in its first question.`,
    );
  }
  return { pictures: chosen, isVideo: true, turns: placePictures(placed, chosen.length) };
}

function paths(key: string, value: unknown, root: string): string[] {
  if (value === undefined || value === null || value === '') return [];
  const all: unknown[] = Array.isArray(value) ? value : [value];
  return all.map((path) => {
    if (typeof path !== 'string' || path === '') {
      throw new DataProblem(
        'malformed record',
        `"${key}" is ${JSON.stringify(value)}; expected a path or several.`,
      );
    }
    return join(root, path);
  });
}

function parseTurns(conversations: unknown): Omit<Turn, 'pictures'>[] {
  if (!Array.isArray(conversations) || conversations.length === 0) {
    throw new DataProblem('malformed record', '"conversations" is missing or empty.');
  }
  const turns = conversations.map((turn: unknown, index) => {
    const { from, value } = (turn ?? {}) as Readonly<Record<string, unknown>>;
    const role = typeof from === 'string' ? ROLES[from] : undefined;
    if (role === undefined || typeof value !== 'string') {
      throw new DataProblem(
        'malformed record',
        `turn ${index} needs "from" (human, gpt or system) and a text "value", got from ${JSON.stringify(from)}.`,
      );
    }
    return { role, text: value };
  });
  const spoken = turns[0].role === 'system' ? turns.slice(1) : turns;
  spoken.forEach(({ role }, index) => {
    const expected = index % 2 === 0 ? 'user' : 'assistant';
    if (role !== expected) {
      throw new DataProblem(
        'malformed record',
        `turn ${index} is the ${role}'s; human and gpt must take turns.`,
      );
    }
  });
  if (!turns.some(({ role, text }) => role === 'assistant' && text !== '')) {
    throw new DataProblem('no answer', 'it has no gpt turn to learn from.');
  }
  return turns;
}

function placePictures(turns: readonly Omit<Turn, 'pictures'>[], pictures: number): Turn[] {
  const placed = turns.map((turn) => ({
    ...turn,
    pictures: turn.role === 'user' ? turn.text.split(IMAGE_PLACEHOLDER).length - 1 : 0,
  }));
  const total = placed.reduce((sum, turn) => sum + turn.pictures, 0);
  if (total === 0 && pictures === 1) {
    const first = placed.findIndex(({ role }) => role === 'user');
    placed[first].pictures = 1;
  } else if (total !== pictures) {
    throw new DataProblem(
      'placeholder mismatch',
      `${total} ${IMAGE_PLACEHOLDER} in the questions for ${pictures} pictures.`,
    );
  }
  return placed;
}
