/**
 * A stranger's path, timed (`npm run test:stranger`; figures in docs/quick-start.md): a fresh clone to the first answer,
 * an empty folder to an embedded chat, and pico quantized, served and asked. Minutes; the registry is asked for what
 * npm's cache lacks.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { findBrowser } from './find-browser.mjs';
import { createStaticServer, listen } from './static-server.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'speedq-stranger-'));
const PATIENCE = { timeout: 400_000 };
const servers = [];
let last = performance.now();

try {
  const clone = join(folder, 'speedq');
  run(folder, 'git', 'clone', '--quiet', root, clone);
  lap('git clone');
  const app = await started(clone, 'npm', ['start']);
  lap('npm start, until it prints its address (installs and builds)');
  await firstAnswer(app);
  lap('open the page, download pico, first answer');

  run(clone, 'npm', 'run', '--silent', 'build:packages');
  const archives = ['runtime', 'element'].map((name) => {
    const dist = join(clone, 'packages', name, 'dist');
    run(dist, 'npm', 'pack', '--silent');
    return join(
      dist,
      readdirSync(dist).find((file) => file.endsWith('.tgz')),
    );
  });
  lap('npm run build:packages, npm pack');
  const site = join(folder, 'site');
  mkdirSync(site);
  writeFileSync(join(site, 'package.json'), '{ "private": true, "type": "module" }');
  run(site, 'npm', 'install', '--no-audit', '--no-fund', '--omit=peer', ...archives);
  lap('npm install of the archives in an empty folder');
  await embeddedAnswer(site, clone);
  lap('a plain page with <speedq-chat>: load pico, first answer');

  run(clone, 'npx', 'speedq', 'quantize', 'tools/models/pico', '--method', 'rtn', '--out', 'packed');
  lap('speedq quantize --method rtn, pico');
  const packed = await started(clone, 'npx', ['speedq', 'serve', 'packed']);
  lap('speedq serve, until it prints its address');
  await firstAnswer(packed);
  lap('open the page, download, first answer');
} finally {
  for (const stop of servers) stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

function lap(what) {
  const now = performance.now();
  console.log(`${((now - last) / 1000).toFixed(1).padStart(7)} s  ${what}`);
  last = performance.now();
}

function run(cwd, command, ...args) {
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' };
  execFileSync(command, args, { cwd, env, stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Starts a server in a process group of its own; resolves to the address that it prints. */
async function started(cwd, command, args) {
  const env = { ...process.env, PORT: '18600' };
  const child = spawn(command, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${command} cannot be started`);
  servers.push(() => {
    try {
      process.kill(-pid);
    } catch {
      // It has ended.
    }
  });
  const lines = createInterface({ input: child.stdout });
  for (;;) {
    const [line] = await once(lines, 'line');
    const address = /http:\/\/localhost\S*/.exec(line)?.[0];
    if (address) return address;
  }
}

async function withPage(address, use, options = {}) {
  const browser = await chromium.launch({
    executablePath: findBrowser(),
    args: ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'],
  });
  try {
    const page = await browser.newPage(options);
    await page.goto(address);
    await use(page);
  } finally {
    await browser.close();
  }
}

function firstAnswer(address) {
  return withPage(address, async (page) => {
    await page.getByRole('button', { name: /^Download/ }).click();
    await page.getByLabel('Question', { exact: true }).and(page.locator(':enabled')).waitFor(PATIENCE);
    await page
      .getByRole('button', { name: 'Choose pictures' })
      .and(page.locator(':enabled'))
      .waitFor(PATIENCE);
    await page.getByLabel('Picture file').setInputFiles(join(root, 'web/public/samples/farm.png'));
    await page.getByLabel('Question', { exact: true }).fill('Where is the cow?');
    await page.keyboard.press('Enter');
    await page.locator('[data-status=done]').waitFor(PATIENCE);
  });
}

async function embeddedAnswer(site, clone) {
  const served = join(site, 'public');
  cpSync(join(site, 'node_modules/@speedq/element/standalone'), join(served, 'speedq'), { recursive: true });
  cpSync(join(clone, 'web/public/models/pico-2bit'), join(served, 'model'), { recursive: true });
  writeFileSync(
    join(served, 'index.html'),
    '<!doctype html><title>Site</title><script type="module" src="/speedq/speedq-chat.js"></script><speedq-chat src="/model/"></speedq-chat>',
  );
  const server = createStaticServer({ root: served });
  const address = await listen(server, { port: 18650 });
  servers.push(() => server.close());
  await withPage(
    address,
    async (page) => {
      await page.getByRole('button', { name: 'Load the model' }).click();
      await page.getByLabel('Question').waitFor(PATIENCE);
      await page.getByLabel('Question').fill('What colour is a lemon usually?');
      await page.keyboard.press('Enter');
      await page
        .locator('speedq-chat[data-state=ready] .answer')
        .filter({ hasText: /yellow/i })
        .waitFor(PATIENCE);
      // The server's policy is the app's own.
    },
    { bypassCSP: true },
  );
}
