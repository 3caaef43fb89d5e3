import { DownloadProgressEvent, errorCode, LanguageModel } from '@speedq/runtime';
import type { AdapterDescription, LanguageModelCreateOptions, SessionInfo } from '@speedq/runtime';
import type { Problem } from '../chat/types.ts';
import type { ModelChoice } from '../models.ts';
import { DownloadRate } from './download-rate.ts';
import { toProblem } from './problem.ts';
import { Store } from './store.ts';

export type ModelStatus =
  /** Looking whether the model is on this device. */
  | { readonly status: 'checking' }
  /** It is not: nothing is downloaded before a person says so. */
  | { readonly status: 'absent' }
  | { readonly status: 'loading'; readonly progress: LoadingProgress | undefined }
  | { readonly status: 'ready'; readonly info: SessionInfo }
  | { readonly status: 'unavailable' }
  | { readonly status: 'failed'; readonly problem: Problem };

export interface LoadingProgress {
  readonly fraction: number;
  readonly bytes: number;
  readonly source: 'network' | 'storage';
  readonly adapter: AdapterDescription;
  readonly bytesPerSecond: number | undefined;
  readonly secondsLeft: number | undefined;
}

export interface ModelState {
  readonly choice: ModelChoice;
  readonly loading: ModelStatus;
}

type SessionOptions = Omit<
  LanguageModelCreateOptions,
  'model' | 'expectedInputs' | 'createWorker' | 'monitor'
>;

const PICTURES: LanguageModelCreateOptions['expectedInputs'] = [{ type: 'image' }];

/** The model in use: whether it is here, how its loading goes, and sessions with it. */
export class ModelStore extends Store<ModelState> {
  private readonly createWorker: () => Worker;
  /** Keeps the engine while no answer is given. */
  private base: LanguageModel | undefined;
  private opening: AbortController | undefined;
  /** 'memory' once a person has said so, where the model does not fit this device. */
  private storage: LanguageModelCreateOptions['storage'];

  constructor(choice: ModelChoice, createWorker: () => Worker) {
    super({ choice, loading: { status: 'checking' } });
    this.createWorker = createWorker;
  }

  /** Opens the model if it is on this device. */
  async start(): Promise<void> {
    this.update({ loading: { status: 'checking' } });
    const { choice } = this.state;
    const availability = await LanguageModel.availability({ model: choice.address }).catch(
      () => 'unavailable' as const,
    );
    // Another one was chosen meanwhile.
    if (this.state.choice !== choice) return;
    if (availability === 'available') await this.load();
    else this.update({ loading: { status: availability === 'unavailable' ? 'unavailable' : 'absent' } });
  }

  /** Downloads what is missing and opens the model. */
  async load({ storage }: Pick<LanguageModelCreateOptions, 'storage'> = {}): Promise<void> {
    this.storage = storage;
    this.opening?.abort();
    const opening = new AbortController();
    this.opening = opening;
    this.update({ loading: { status: 'loading', progress: undefined } });
    const rate = new DownloadRate();
    try {
      const base = await LanguageModel.create({
        model: this.state.choice.address,
        storage,
        expectedInputs: PICTURES,
        createWorker: this.createWorker,
        signal: opening.signal,
        monitor: (monitor) =>
          monitor.addEventListener('downloadprogress', (event) => {
            if (!opening.signal.aborted) this.progress(event, rate);
          }),
      });
      if (opening.signal.aborted) return base.destroy();
      this.base = base;
      this.update({ loading: { status: 'ready', info: base.info } });
    } catch (error) {
      if (opening.signal.aborted) return;
      this.update({ loading: { status: 'failed', problem: toProblem(error) } });
    }
  }

  /** Stops a download; what has arrived whole is kept. */
  cancel(): void {
    this.close();
    this.update({ loading: { status: 'absent' } });
  }

  async choose(choice: ModelChoice): Promise<void> {
    this.close();
    this.update({ choice });
    await this.start();
  }

  /** A new session with the open model. @throws {SpeedqError} of `LanguageModel.create`. */
  async session(options: SessionOptions): Promise<LanguageModel> {
    await this.replaceEnded();
    return await LanguageModel.create({
      // A long chat goes on; its beginning is read by people alone then.
      contextOverflow: 'drop-oldest',
      ...options,
      model: this.state.choice.address,
      storage: this.storage,
      expectedInputs: PICTURES,
      createWorker: this.createWorker,
    });
  }

  /** Tokens of a picture. Reading it is the test that counts: the same code reads it for the answer. */
  async measurePicture(blob: Blob): Promise<number> {
    await this.settled();
    await this.replaceEnded();
    if (!this.base) return 0;
    return await this.base.measureContextUsage([{ role: 'user', content: [{ type: 'image', value: blob }] }]);
  }

  /** Opens the model again where its engine has ended: a browser may take memory back while nobody asks. */
  private async replaceEnded(): Promise<void> {
    try {
      await this.base?.measureMemory();
    } catch (error) {
      if (errorCode(error) === 'worker-died') await this.load({ storage: this.storage });
    }
  }

  private close(): void {
    this.opening?.abort();
    this.base?.destroy();
    this.base = undefined;
  }

  /** Resolves when the model is open or will not be without a person's doing. */
  private settled(): Promise<void> {
    const waiting = (): boolean => ['checking', 'loading'].includes(this.state.loading.status);
    if (!waiting()) return Promise.resolve();
    return new Promise((resolve) => {
      const stop = this.subscribe(() => {
        if (waiting()) return;
        stop();
        resolve();
      });
    });
  }

  private progress(event: Event, rate: DownloadRate): void {
    if (!(event instanceof DownloadProgressEvent)) return;
    const { loaded: fraction, totalBytes: bytes, source, adapter } = event;
    // The first one, before anything is known.
    if (source === undefined || adapter === undefined) return;
    rate.add(performance.now(), fraction * bytes);
    const { bytesPerSecond } = rate;
    const secondsLeft = rate.secondsLeft(bytes);
    const progress = { fraction, bytes, source, adapter, bytesPerSecond, secondsLeft };
    this.update({ loading: { status: 'loading', progress } });
  }
}
