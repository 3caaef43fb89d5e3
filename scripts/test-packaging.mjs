/**
 * What is published, as a stranger gets it: packed with `npm pack`, checked by publint and are-the-types-wrong,
 * installed from the archives alone (no registry is asked), built by Vite and by webpack and served as plain
 * files; each result is opened in Chromium, where the engine's worker must start and answer. Minutes, so not part of
 * `npm test`: `npm run test:packaging`.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { build } from 'vite';
import webpack from 'webpack';
import { findBrowser } from './find-browser.mjs';
import { createStaticServer, listen } from './static-server.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
const folder = mkdtempSync(join(tmpdir(), 'speedq-packaging-'));
const results = [];

/** Without a model there is an error; that it is the worker's shows that the worker runs. */
const MAIN = `
import '@speedq/element';
import { LanguageModel } from '@speedq/runtime';
customElements.whenDefined('speedq-chat').then(async () => {
  const { code } = await LanguageModel.create({ model: './no-model/' }).catch((error) => error);
  document.title = 'code: ' + code;
});
`;

const NODE_MAIN = `
const { errorCode, LanguageModel } = await import('@speedq/runtime');
const { OpenAI } = await import('@speedq/runtime/openai');
const { createSpeedq } = await import('@speedq/runtime/ai-sdk');
const { CATALOGUE } = await import('@speedq/runtime/catalogue');
await import('@speedq/element');
for (const value of [errorCode, LanguageModel, OpenAI, createSpeedq]) if (typeof value !== 'function') throw value;
if (CATALOGUE.length === 0) throw new Error('no models');
`;

try {
  node(join(root, 'scripts/build-packages.mjs'));
  const archives = ['runtime', 'element'].map((name) => pack(join(root, 'packages', name, 'dist')));
  for (const name of ['runtime', 'element']) {
    const dist = join(root, 'packages', name, 'dist');
    await check(`publint ${name}`, () => npx('publint', dist, '--strict'));
  }
  for (const archive of archives) {
    // Types of ES modules only: who still requires them gets Node's own way of requiring one.
    await check(`are the types wrong: ${archive}`, () =>
      npx('attw', archive, '--profile', 'esm-only', '--exclude-entrypoints', 'catalogue.json'),
    );
  }

  const app = join(folder, 'app');
  mkdirSync(app);
  writeFileSync(join(app, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }));
  await check('npm install of the archives, offline, without scripts', () =>
    npm(
      app,
      'install',
      '--offline',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--omit=peer',
      ...archives,
    ),
  );
  writeFileSync(join(app, 'main.js'), MAIN);
  writeFileSync(join(app, 'index.html'), page('/main.js'));

  await check('Vite', async () => {
    await build({
      root: app,
      configFile: false,
      logLevel: 'warn',
      base: './',
      build: { outDir: 'dist-vite' },
    });
    await engineAnswers(join(app, 'dist-vite'));
  });
  await check('webpack', async () => {
    await runWebpack(app);
    writeFileSync(join(app, 'dist-webpack/index.html'), page('./main.js'));
    await engineAnswers(join(app, 'dist-webpack'));
  });
  await check('a plain page', async () => {
    const plain = join(folder, 'plain');
    cpSync(join(app, 'node_modules/@speedq/element/standalone'), join(plain, 'speedq'), { recursive: true });
    cpSync(join(app, 'node_modules/@speedq/runtime'), join(plain, 'runtime'), { recursive: true });
    writeFileSync(
      join(plain, 'main.js'),
      MAIN.replace('@speedq/element', './speedq/speedq-chat.js').replace(
        '@speedq/runtime',
        './runtime/index.js',
      ),
    );
    writeFileSync(join(plain, 'index.html'), page('./main.js'));
    await engineAnswers(plain);
  });
  await check('Node', () => node('--input-type=module', '--eval', NODE_MAIN, { cwd: app }));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const failed = results.filter((passed) => !passed).length;
console.log(`${results.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function page(script) {
  return `<!doctype html><html lang="en"><title>…</title><script type="module" src="${script}"></script><speedq-chat src="./no-model/"></speedq-chat></html>`;
}

async function engineAnswers(served) {
  const server = createStaticServer({ root: served });
  const url = await listen(server, { port: 18200 });
  const browser = await chromium.launch({
    executablePath: findBrowser(),
    args: ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'],
  });
  try {
    // The server's policy allows the app's own Trusted Types policy alone; a bundler's worker has none.
    const context = await browser.newContext({ bypassCSP: true });
    const tab = await context.newPage();
    await tab.goto(url);
    await tab.waitForFunction(() => document.title.startsWith('code: '), undefined, { timeout: 120_000 });
    const title = await tab.title();
    if (title !== 'code: network') throw new Error(`Expected the engine's "code: network", got "${title}"`);
    await tab.getByRole('button', { name: 'Load the model' }).waitFor();
  } finally {
    await browser.close();
    server.close();
    server.closeAllConnections();
  }
}

function runWebpack(app) {
  return new Promise((resolve, reject) => {
    webpack(
      {
        context: app,
        mode: 'production',
        entry: './main.js',
        output: { path: join(app, 'dist-webpack'), filename: 'main.js', publicPath: 'auto' },
        performance: { hints: false },
      },
      (error, stats) => {
        if (error) reject(error);
        else if (stats.hasErrors()) reject(new Error(stats.toString({ all: false, errors: true })));
        else resolve();
      },
    );
  });
}

function pack(dist) {
  const before = new Set(readdirSync(folder));
  npm(dist, 'pack', '--pack-destination', folder, '--silent');
  return join(
    folder,
    readdirSync(folder).find((name) => !before.has(name)),
  );
}

async function check(name, run) {
  try {
    await run();
    console.log(`ok   ${name}`);
    results.push(true);
  } catch (error) {
    console.log(`FAIL ${name}\n${error.stdout ?? ''}${error.stderr ?? ''}${error.message}`);
    results.push(false);
  }
}

function node(...args) {
  const options = typeof args.at(-1) === 'object' ? args.pop() : {};
  return execFileSync(process.execPath, args, { encoding: 'utf8', stdio: 'pipe', ...options });
}

function npx(name, ...args) {
  const packageName = { attw: '@arethetypeswrong/cli' }[name] ?? name;
  const { bin } = require(`${join(root, 'node_modules', packageName)}/package.json`);
  return node(join(root, 'node_modules', packageName, typeof bin === 'string' ? bin : bin[name]), ...args);
}

function npm(cwd, ...args) {
  return execFileSync('npm', args, {
    cwd,
    encoding: 'utf8',
    stdio: 'pipe',
    shell: process.platform === 'win32',
  });
}
