import type { MemoryBudget } from '@speedq/kernels';
import type { AdapterDescription, ProgressMessage } from './protocol.ts';

/**
 * `downloadprogress` of the Prompt API (`loaded` and `total` as fractions of 1), with what a page needs to
 * say more.
 */
export class DownloadProgressEvent extends Event {
  readonly lengthComputable = true;
  readonly loaded: number;
  readonly total = 1;
  /** Size of what is loaded; 0 in the first event, which may come before it is known. */
  readonly totalBytes: number;
  /** A first visit downloads, later ones read what was kept. */
  readonly source: ProgressMessage['source'] | undefined;
  readonly adapter: AdapterDescription | undefined;
  /** What the model will take of the GPU's memory; undefined until that is known, before the first shard. */
  readonly memoryBudget: MemoryBudget | undefined;

  constructor(loaded: number, progress?: ProgressMessage) {
    super('downloadprogress');
    this.loaded = loaded;
    this.totalBytes = progress?.total ?? 0;
    this.source = progress?.source;
    this.adapter = progress?.adapter;
    this.memoryBudget = progress?.memoryBudget;
  }
}

/** What `create`'s `monitor` is given. */
export class CreateMonitor extends EventTarget {
  private readonly handlers = new EventHandlers(this);

  get ondownloadprogress(): EventHandler {
    return this.handlers.get('downloadprogress');
  }

  set ondownloadprogress(handler: EventHandler) {
    this.handlers.set('downloadprogress', handler);
  }
}

/** Fires at a monitor what the specification promises: 0 first, 1 last, never less than before. */
export class ProgressReporter {
  private readonly monitor: CreateMonitor;
  private last = -1;
  private latest: ProgressMessage | undefined;

  constructor(monitor: CreateMonitor) {
    this.monitor = monitor;
  }

  begin(): void {
    this.fire(0);
  }

  report(progress: ProgressMessage): void {
    this.latest = progress;
    this.fire(progress.total > 0 ? progress.loaded / progress.total : 0);
  }

  /** Everything was loaded. */
  finish(): void {
    this.fire(1);
  }

  private fire(loaded: number): void {
    if (loaded <= this.last) return;
    this.last = loaded;
    this.monitor.dispatchEvent(new DownloadProgressEvent(loaded, this.latest));
  }
}

export type EventHandler = ((event: Event) => void) | null;

/** `on…` attributes of an EventTarget: at most one handler each, beside any listeners. */
export class EventHandlers {
  private readonly target: EventTarget;
  private readonly handlers = new Map<string, NonNullable<EventHandler>>();

  constructor(target: EventTarget) {
    this.target = target;
  }

  get(type: string): EventHandler {
    return this.handlers.get(type) ?? null;
  }

  set(type: string, handler: EventHandler): void {
    const before = this.handlers.get(type);
    if (before) this.target.removeEventListener(type, before);
    this.handlers.delete(type);
    // As for attributes of the web platform, what cannot be called is null.
    if (typeof handler !== 'function') return;
    this.handlers.set(type, handler);
    this.target.addEventListener(type, handler);
  }
}
