import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { BrowserContext } from 'playwright-core';
import { findBrowser } from '../../../scripts/find-browser.mjs';

export interface TestBrowser {
  readonly context: BrowserContext;
  /** Hosts that anything in the browser tried to reach outside this machine. */
  readonly foreignHosts: readonly string[];
  close(): Promise<void>;
}

/**
 * Chromium itself asks these (updates, the clock, form filling), whatever page is open, and not every switch that
 * turns it off can be combined. The page could not: its requests are also watched one by one.
 */
const BROWSER_SERVICES = /(^|\.)(google|googleapis|gstatic|gvt1|gvt2)\.com$/;

/**
 * Zeros workgroup memory by a loop. SwiftShader's own way compiles a store for each word: 2 s for a matrix product
 * that compiles in 0.3 s.
 */
const ZERO_MEMORY_BY_LOOP = '--disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension';

/**
 * A real Chromium with a profile of its own and WebGPU on its software adapter, or without it. Everything that does not go
 * to localhost goes to a proxy that notes and refuses it: page, workers and service worker alike.
 */
export async function openBrowser({ webgpu = true }: { webgpu?: boolean } = {}): Promise<TestBrowser> {
  const executablePath = findBrowser();
  if (!executablePath) throw new Error('No Chrome or Chromium found: run `npm test`, or set CHROME_PATH.');
  const foreignHosts: string[] = [];
  const note = (url = '?'): void => {
    const { hostname } = new URL(url.includes('://') ? url : `https://${url}`);
    if (!BROWSER_SERVICES.test(hostname)) foreignHosts.push(hostname);
  };
  const proxy = createServer((request, response) => {
    note(request.url);
    response.writeHead(502).end();
  });
  proxy.on('connect', (request, socket) => {
    note(request.url);
    socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));

  const profile = await mkdtemp(join(tmpdir(), 'speedq-e2e-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    viewport: { width: 1100, height: 900 },
    args: [
      '--no-sandbox',
      ...(webgpu
        ? ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', ZERO_MEMORY_BY_LOOP]
        : ['--disable-features=WebGPU,WebGPUService', '--disable-blink-features=WebGPU']),
      // A camera that films a test picture, and a person who allows it.
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      // A GPU process that crashes for a test is started again, however often.
      '--disable-gpu-process-crash-limit',
      '--disable-domain-blocking-for-3d-apis',
      '--disable-background-networking',
      '--disable-component-update',
      '--no-default-browser-check',
      `--proxy-server=http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    ],
  });
  return {
    context,
    foreignHosts,
    async close() {
      await context.close();
      await new Promise((resolve) => proxy.close(resolve));
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
