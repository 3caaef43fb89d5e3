import { SpeedqError } from '@speedq/format';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Reporter } from './reporter.ts';
import { interrupted } from './reporter.ts';
import { loadState, saveState } from './state-file.ts';
import type { State } from './state-file.ts';

/** Writing checkpoints may take at most this share of the time. */
const SHARE_OF_TIME = 0.05;

/** The states of a run on disk: one that is under way, and one per finished piece of work. */
export class Checkpoints {
  private lastStep = 0;
  private lastEnd = performance.now();
  private lastDuration = 0;

  constructor(
    private readonly folder: string,
    private readonly steps: number,
    private readonly reporter: Reporter,
  ) {}

  /** A finished piece, by its name. */
  finished(name: string): Promise<State | undefined> {
    return loadState(join(this.folder, `${name}.safetensors`));
  }

  async finish(name: string, state: State): Promise<void> {
    await saveState(join(this.folder, `${name}.safetensors`), state);
    // After the rename: a kill in between finds the piece finished.
    await rm(this.underWayFile, { force: true });
    this.saved(0, name);
  }

  /** The state of the piece `name` if it was the one under way. */
  async underWay(name: string): Promise<{ readonly step: number; readonly state: State } | undefined> {
    const state = await loadState(this.underWayFile);
    if (state?.metadata.piece !== name) return undefined;
    const step = Number(state.metadata.step);
    this.lastStep = step;
    return { step, state };
  }

  /** After each update. Saves when it is time to, or when asked to stop, and then throws `aborted`. */
  async step(name: string, step: number, state: () => State | Promise<State>): Promise<void> {
    const stop = this.reporter.stopRequested();
    const elapsed = performance.now() - this.lastEnd;
    const due = step - this.lastStep >= this.steps && this.lastDuration <= elapsed * SHARE_OF_TIME;
    if (!stop && !due) return;
    const begin = performance.now();
    const { metadata, tensors } = await state();
    await saveState(this.underWayFile, { metadata: { ...metadata, piece: name, step: `${step}` }, tensors });
    this.lastDuration = performance.now() - begin;
    this.saved(step, name);
    if (stop) throw interrupted(`${name}, step ${step}`);
  }

  private saved(step: number, piece: string): void {
    this.lastStep = step;
    this.lastEnd = performance.now();
    this.reporter.event('checkpoint', { piece, step });
  }

  private get underWayFile(): string {
    return join(this.folder, 'under-way.safetensors');
  }
}

/** Before an update is applied: a loss or gradient that is not a number must reach neither weights nor disk. */
export function requireFinite(value: number, where: string, trace = ''): void {
  if (Number.isFinite(value)) return;
  throw new SpeedqError(
    'training-diverged',
    `${where}: the loss or its gradient is ${value}. ${trace === '' ? '' : `${trace} `}The last good checkpoint is kept. ` +
      'Lower the learning rate of this stage in the recipe and start anew with --force.',
  );
}
