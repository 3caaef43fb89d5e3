import { scriptUrl } from '../trusted-scripts.ts';
import { ANSWERING_LOCK } from './answering.ts';
import { Store } from './store.ts';

export interface AppVersionState {
  /** A newer version is here and waits for a person's word. */
  readonly updateWaiting: boolean;
  /** The page opens without a server. */
  readonly keptOffline: boolean;
  readonly online: boolean;
}

/** The service worker's side of the page: offline use and updates. */
export class AppVersionStore extends Store<AppVersionState> {
  private registration: ServiceWorkerRegistration | undefined;
  private reloading = false;

  constructor() {
    super({ updateWaiting: false, keptOffline: false, online: navigator.onLine });
    addEventListener('online', () => this.update({ online: true }));
    addEventListener('offline', () => this.update({ online: false }));
  }

  async start(): Promise<void> {
    if (!('serviceWorker' in navigator)) return;
    navigator.serviceWorker.addEventListener('controllerchange', () => {
      if (this.reloading) location.reload();
    });
    const registration = await navigator.serviceWorker.register(scriptUrl('service-worker.js'));
    this.registration = registration;
    registration.addEventListener('updatefound', () => this.follow(registration.installing));
    this.follow(registration.installing);
    this.check();
    await navigator.serviceWorker.ready;
    this.update({ keptOffline: true });
  }

  /** Waits until no tab is answering, then lets the new version take over and shows it. */
  async reload(): Promise<void> {
    const waiting = this.registration?.waiting;
    if (!waiting) return;
    const takeOver = (): void => {
      this.reloading = true;
      waiting.postMessage('take-over');
    };
    if ('locks' in navigator) await navigator.locks.request(ANSWERING_LOCK, takeOver);
    else takeOver();
  }

  /** Keeps for offline use what is fetched only where it is needed. */
  async keepOnDemandFiles(): Promise<void> {
    if (!('serviceWorker' in navigator)) return;
    const { active } = await navigator.serviceWorker.ready;
    active?.postMessage('keep-on-demand');
  }

  private follow(worker: ServiceWorker | null): void {
    worker?.addEventListener('statechange', () => this.check());
  }

  /** The first version of all waits for nobody. */
  private check(): void {
    const { waiting, active } = this.registration ?? {};
    this.update({ updateWaiting: Boolean(waiting && active) });
  }
}
