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
    await this.send('Browser.crashGpuProcess');
  }

  async killWorker(): Promise<void> {
    await this.engine!.evaluate(() => close());
  }

  async stopServiceWorker(): Promise<void> {
    await this.send('ServiceWorker.enable');
    await this.send('ServiceWorker.stopAllWorkers');
  }

  async setQuota(bytes: number | undefined): Promise<void> {
    await this.send('Storage.overrideQuotaForOrigin', { origin: this.origin, quotaSize: bytes });
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

  private async send(method: string, params: object = {}): Promise<void> {
    this.cdp ??= await this.page.context().newCDPSession(this.page);
    await this.cdp.send(method as 'Browser.getVersion', params);
  }
}
