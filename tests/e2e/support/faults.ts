import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CDPSession, Page, Worker } from 'playwright-core';

/** In front of the engine's script: a page of tests can get at the device only through the worker's globals. */
const REMEMBER_DEVICES = `
globalThis.devices = [];
{
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    const device = await requestDevice.call(this, descriptor);
    globalThis.devices.push(device);
    return device;
  };
}
`;

/** Lets the engine of a built app tell its devices. @param folder a copy of the app */
export async function rememberDevices(folder: string): Promise<void> {
  const assets = join(folder, 'assets');
  const name = (await readdir(assets)).find((file) => /^worker-.*\.js$/.test(file));
  if (name === undefined) throw new Error(`No engine worker in ${assets}`);
  await writeFile(join(assets, name), REMEMBER_DEVICES + (await readFile(join(assets, name), 'utf8')));
}

/** Ways to break things under a page, as the world would. */
export class Faults {
  private readonly page: Page;
  private readonly origin: string;
  private cdp: CDPSession | undefined;
  private engine: Worker | undefined;

  constructor(page: Page) {
    this.page = page;
    this.origin = new URL(page.url()).origin;
    page.on('worker', (worker) => {
      if (!worker.url().includes('model-worker')) this.engine = worker;
    });
  }

  async destroyDevice(): Promise<void> {
    await this.engine!.evaluate(() =>
      (globalThis as unknown as { devices: GPUDevice[] }).devices.at(-1)!.destroy(),
    );
  }

  /** How many devices the engine has had. */
  devices(): Promise<number> {
    return this.engine!.evaluate(() => (globalThis as unknown as { devices: GPUDevice[] }).devices.length);
  }

  async crashGpuProcess(): Promise<void> {
    await (await this.session()).send('Browser.crashGpuProcess');
  }

  async killWorker(): Promise<void> {
    await this.engine!.evaluate(() => close());
  }

  /** Resolves once no service worker of the page runs. */
  async stopServiceWorker(): Promise<void> {
    const cdp = await this.session();
    const running = new Set<string>();
    let stopped = (): void => {};
    const allStopped = new Promise<void>((resolve) => (stopped = resolve));
    const follow = ({ versions }: { versions: { versionId: string; runningStatus: string }[] }): void => {
      for (const { versionId, runningStatus } of versions) {
        if (runningStatus === 'stopped') running.delete(versionId);
        else running.add(versionId);
      }
      if (versions.length > 0 && running.size === 0) stopped();
    };
    cdp.on('ServiceWorker.workerVersionUpdated', follow);
    await cdp.send('ServiceWorker.enable');
    await cdp.send('ServiceWorker.stopAllWorkers');
    await allStopped;
    await cdp.send('ServiceWorker.disable');
    cdp.off('ServiceWorker.workerVersionUpdated', follow);
  }

  /** As the browser does by itself when a page is opened, or once a day. */
  async lookForNewVersion(): Promise<void> {
    await this.page.evaluate(() =>
      navigator.serviceWorker.getRegistration().then(async (known) => void (await known?.update())),
    );
  }

  /** The page believes to be offline. Playwright's own way waits for service workers, also for stopped ones. */
  async setOffline(offline: boolean): Promise<void> {
    const cdp = await this.session();
    await cdp.send('Network.enable');
    const noLimits = { latency: 0, downloadThroughput: -1, uploadThroughput: -1 };
    await cdp.send('Network.emulateNetworkConditions', { offline, ...noLimits });
  }

  async setQuota(bytes: number | undefined): Promise<void> {
    const cdp = await this.session();
    await cdp.send('Storage.overrideQuotaForOrigin', { origin: this.origin, quotaSize: bytes });
  }

  /** Changes what is kept of the model: of every file whose name matches. Resolves to how many there were. */
  async changeKept(pattern: RegExp, change: 'damage' | 'remove'): Promise<number> {
    return await this.page.evaluate(
      async ([source, how]) => {
        const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('speedq');
        let count = 0;
        for await (const folder of root.values()) {
          if (!(folder instanceof FileSystemDirectoryHandle)) continue;
          const names: string[] = [];
          for await (const name of folder.keys()) if (new RegExp(source).test(name)) names.push(name);
          for (const name of names) {
            count++;
            if (how === 'remove') {
              await folder.removeEntry(name);
              continue;
            }
            const file = await folder.getFileHandle(name);
            const bytes = new Uint8Array(await (await file.getFile()).arrayBuffer());
            bytes[bytes.length >> 1] ^= 1;
            const writable = await file.createWritable();
            await writable.write(bytes);
            await writable.close();
          }
        }
        return count;
      },
      [pattern.source, change] as const,
    );
  }

  private async session(): Promise<CDPSession> {
    return (this.cdp ??= await this.page.context().newCDPSession(this.page));
  }
}
