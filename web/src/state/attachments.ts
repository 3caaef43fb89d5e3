import type { Picture, Problem } from '../chat/types.ts';
import { pictureId } from '../storage/picture-id.ts';
import { toProblem } from './problem.ts';
import { Store } from './store.ts';

export interface Attachment {
  readonly key: number;
  readonly name: string;
  /** Absent while the picture is read. */
  readonly picture: Picture | undefined;
  /** Tokens it takes of the conversation. */
  readonly tokens: number;
}

export interface AttachmentsState {
  readonly attached: readonly Attachment[];
  /** Why the last picture was refused. */
  readonly problem: Problem | undefined;
}

/** More pictures than a conversation has room for help nobody. */
export const MOST_PICTURES = 8;

/** The pictures that the next question is about. */
export class AttachmentsStore extends Store<AttachmentsState> {
  private readonly measure: (blob: Blob) => Promise<number>;
  private reading: Promise<unknown> = Promise.resolve();
  private nextKey = 1;

  constructor(measure: (blob: Blob) => Promise<number>) {
    super({ attached: [], problem: undefined });
    this.measure = measure;
  }

  /** Reads a file and attaches it, or says why not. */
  async add(blob: Blob, name: string): Promise<void> {
    const { attached } = this.state;
    if (attached.length >= MOST_PICTURES) return;
    const key = this.nextKey++;
    this.update({
      attached: [...attached, { key, name, picture: undefined, tokens: 0 }],
      problem: undefined,
    });
    const read = this.read(key, blob, name);
    this.reading = Promise.allSettled([this.reading, read]);
    await read;
  }

  remove(key: number): void {
    this.update({ attached: this.state.attached.filter((entry) => entry.key !== key), problem: undefined });
  }

  replaceBy(pictures: readonly Picture[]): void {
    const attached = pictures.map((picture) => {
      return { key: this.nextKey++, name: picture.name, picture, tokens: 0 };
    });
    this.update({ attached, problem: undefined });
  }

  dismissProblem(): void {
    this.update({ problem: undefined });
  }

  get isReading(): boolean {
    return this.state.attached.some(({ picture }) => picture === undefined);
  }

  /**
   * Waits for every picture chosen so far: a question is never asked about the pictures before. Undefined
   * when one of them was refused.
   */
  async settled(): Promise<readonly Picture[] | undefined> {
    while (this.isReading) await this.reading;
    if (this.state.problem) return undefined;
    return this.state.attached.map(({ picture }) => picture).filter((picture) => picture !== undefined);
  }

  private async read(key: number, blob: Blob, name: string): Promise<void> {
    try {
      const tokens = await this.measure(blob);
      const picture = { id: await pictureId(blob), name, blob };
      this.update({
        attached: this.state.attached
          // The same picture twice is once.
          .filter((entry) => entry.key === key || entry.picture?.id !== picture.id)
          .map((entry) => (entry.key === key ? { key, name, picture, tokens } : entry)),
      });
    } catch (error) {
      this.update({
        attached: this.state.attached.filter((entry) => entry.key !== key),
        problem: toProblem(error),
      });
    }
  }
}
