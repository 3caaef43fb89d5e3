import type { Problem } from '../chat/types.ts';
import { isModelId, MODELS } from '../models.ts';
import type { ModelChoice } from '../models.ts';
import { absoluteAddress, ModelJobError, runModelJob } from '../storage/model-jobs.ts';
import type { ModelReport } from '../storage/model-report.ts';
import { toProblem } from './problem.ts';
import type { SettingsStore } from './settings.ts';
import { Store } from './store.ts';

export interface ModelEntry {
  readonly choice: ModelChoice;
  readonly wasAdded: boolean;
  /** Absent until it was looked at. */
  readonly report?: ModelReport;
  readonly problem?: Problem;
  /** What is being done with it, from 0 to 1. */
  readonly progress?: number;
  readonly verified?: boolean;
}

export interface ModelLibraryState {
  readonly entries: readonly ModelEntry[];
  readonly storage: { readonly used: number; readonly available: number } | undefined;
}

/** The models a person can choose, and what of them is on this device. */
export class ModelLibraryStore extends Store<ModelLibraryState> {
  private readonly settings: SettingsStore;

  constructor(settings: SettingsStore, inUse: ModelChoice) {
    const added = settings.state.addedModels;
    const known = [...MODELS, ...added];
    const choices = known.some(({ id }) => id === inUse.id) ? known : [inUse, ...known];
    super({
      entries: choices.map((choice) => ({ choice, wasAdded: added.includes(choice) })),
      storage: undefined,
    });
    this.settings = settings;
  }

  /** Looks at every model without opening it. */
  async refresh(): Promise<void> {
    await Promise.all([...this.state.entries.map(({ choice }) => this.describe(choice)), this.measure()]);
  }

  async verify(choice: ModelChoice): Promise<void> {
    const report = await this.run(choice, (url, onProgress) =>
      runModelJob({ kind: 'verify', url, online: false }, onProgress),
    );
    if (report) this.change(choice, { report, verified: true });
  }

  async remove(choice: ModelChoice): Promise<void> {
    await this.run(choice, (url) => runModelJob({ kind: 'remove', url }));
    this.change(choice, { verified: undefined });
    await Promise.all([this.describe(choice), this.measure()]);
  }

  /** Takes an added model from the list, and from this device. */
  async forget(choice: ModelChoice): Promise<void> {
    await this.run(choice, (url) => runModelJob({ kind: 'remove', url }));
    this.settings.set({
      addedModels: this.settings.state.addedModels.filter(({ id }) => id !== choice.id),
    });
    this.update({ entries: this.state.entries.filter((entry) => entry.choice.id !== choice.id) });
    await this.measure();
  }

  /**
   * Keeps a packed model from this device: the files of its folder, or one archive. Resolves to its name; undefined
   * when it failed.
   */
  async importFolder(files: readonly File[], name?: string): Promise<string | undefined> {
    const [first] = files;
    const folder =
      (name ?? (first.webkitRelativePath.split('/')[0] || first.name)).replace(
        /\.zip$|^manifest\.json$/i,
        '',
      ) || 'model';
    const id = this.freeId(folder.replaceAll(/[^\w.-]/g, '-'));
    // The address belongs to nobody: what is kept under it is found before anybody is asked.
    const choice = { id, label: folder, address: `./models/${id}/` };
    this.add(choice);
    const report = await this.run(choice, (url, onProgress) =>
      runModelJob({ kind: 'import', url, files }, onProgress),
    );
    if (!report) return undefined;
    this.remember(choice);
    this.change(choice, { report, verified: true });
    await this.measure();
    return choice.label;
  }

  /**
   * Adds a model by its folder's address.
   * @throws TypeError for an address that is none or not of this site.
   */
  async addAddress(address: string): Promise<string> {
    const url = new URL(address, document.baseURI);
    if (url.origin !== location.origin) throw new TypeError(`Not of this site: ${url.origin}`);
    const folder = url.pathname.split('/').filter(Boolean).at(-1) ?? 'model';
    const id = this.freeId(decodeURIComponent(folder).replaceAll(/[^\w.-]/g, '-'));
    const choice = { id, label: decodeURIComponent(folder), address: url.href };
    this.add(choice);
    this.remember(choice);
    await this.describe(choice, true);
    return choice.label;
  }

  private async describe(choice: ModelChoice, online = navigator.onLine): Promise<void> {
    try {
      const report = await runModelJob({ kind: 'describe', url: absoluteAddress(choice.address), online });
      this.change(choice, { report, problem: undefined });
    } catch (error) {
      this.change(choice, { problem: problemOf(error) });
    }
  }

  private async measure(): Promise<void> {
    const { usage, quota } = (await navigator.storage?.estimate?.()) ?? {};
    if (usage === undefined || !quota) return;
    this.update({ storage: { used: usage, available: quota } });
  }

  private async run(
    choice: ModelChoice,
    job: (url: string, onProgress: (fraction: number) => void) => Promise<ModelReport>,
  ): Promise<ModelReport | undefined> {
    this.change(choice, { progress: 0, problem: undefined, verified: undefined });
    try {
      return await job(absoluteAddress(choice.address), (progress) => this.change(choice, { progress }));
    } catch (error) {
      this.change(choice, { problem: problemOf(error) });
      return undefined;
    } finally {
      this.change(choice, { progress: undefined });
    }
  }

  private add(choice: ModelChoice): void {
    this.update({ entries: [...this.state.entries, { choice, wasAdded: true }] });
  }

  private remember(choice: ModelChoice): void {
    this.settings.set({ addedModels: [...this.settings.state.addedModels, choice] });
  }

  private change({ id }: ModelChoice, change: Partial<ModelEntry>): void {
    this.update({
      entries: this.state.entries.map((entry) => (entry.choice.id === id ? { ...entry, ...change } : entry)),
    });
  }

  private freeId(wanted: string): string {
    const base = isModelId(wanted) ? wanted : 'model';
    const taken = new Set(this.state.entries.map(({ choice }) => choice.id));
    for (let i = 1; ; i++) {
      const id = i === 1 ? base : `${base}-${i}`;
      if (!taken.has(id)) return id;
    }
  }
}

export function isArchive({ name }: File): boolean {
  return /\.zip$/i.test(name);
}

function problemOf(error: unknown): Problem {
  return error instanceof ModelJobError ? error.problem : toProblem(error);
}
