/**
 * What is published, as a stranger gets it: packed with `npm pack`, checked by publint and are-the-types-wrong,
 * installed from the archives, built by Vite and by webpack and served as plain files; each result is opened in
 * Chromium, where the engine's worker must start and answer. The command is installed into a folder of its own, with
 * onnxruntime-node's extra download blocked, and quantizes, answers and serves there. Only the command's own
 * dependencies are asked of the registry. Minutes, so not part of `npm test`: `npm run test:packaging`.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
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
  npm(root, 'run', '--silent', 'build');
  node(join(root, 'scripts/build-packages.mjs'));
  const folders = ['packages/runtime', 'packages/element', 'tools'].map((name) => join(root, name, 'dist'));
  for (const dist of folders) await check(`publint ${dist}`, () => npx('publint', dist, '--strict'));
  const archives = folders.map(pack);
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
      ...archives.slice(0, 2),
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
  await checkCommand(archives[2]);
  await check('changesets raise all versions together and write changelogs', checkVersions);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const failed = results.filter((passed) => !passed).length;
console.log(`${results.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

/** A stranger's folder: the command, a float model, and nothing of this checkout. */
async function checkCommand(archive) {
  const home = join(folder, 'command');
  mkdirSync(home);
  writeFileSync(join(home, 'package.json'), JSON.stringify({ name: 'home', private: true }));
  await check('npm install of the command, without the download of onnxruntime-node', () =>
    npm(home, 'install', '--prefer-offline', '--no-audit', '--no-fund', archive),
  );
  cpSync(join(root, 'tools/models/pico'), join(home, 'pico'), { recursive: true });
  const bin = join(home, 'node_modules/.bin', process.platform === 'win32' ? 'speedq.cmd' : 'speedq');
  const speedq = (...args) =>
    execFileSync(bin, args, {
      cwd: home,
      encoding: 'utf8',
      stdio: 'pipe',
      shell: process.platform === 'win32',
    });
  const result = (...args) =>
    JSON.parse(
      speedq(...args, '--json')
        .trim()
        .split('\n')
        .at(-1),
    );

  await check('speedq --help', () => expectMatch(speedq('--help'), /usage: speedq COMMAND/));
  await check('speedq --version', () => {
    const { version } = JSON.parse(readFileSync(join(home, 'node_modules/speedq/package.json'), 'utf8'));
    expectMatch(speedq('--version'), new RegExp(`^${version}\\s*$`));
  });
  await check('speedq doctor', () => expectMatch(speedq('doctor'), /ok {2}packages .*onnxruntime-node/));
  await check('speedq inspect', () =>
    expectMatch(speedq('inspect', 'node_modules/speedq/app/models/pico-2bit'), /Nothing is wrong with it/),
  );
  await check('speedq quantize', () => speedq('quantize', 'pico', '--method', 'rtn', '--out', 'packed'));
  await check('speedq generate', () => {
    const { text } = result('generate', 'packed', '--prompt', 'What colour is a lemon?');
    if (!text) throw new Error(`No answer: ${text}`);
  });
  await check('speedq serve', () => checkServe(bin, home));
}

async function checkServe(bin, cwd) {
  const server = spawn(bin, ['serve', 'packed', '--port', '18250', '--json'], { cwd });
  try {
    const [line] = await once(server.stdout, 'data');
    const { address } = JSON.parse(String(line).split('\n')[0]);
    for (const path of [address, new URL('models/packed/manifest.json', address)]) {
      const response = await fetch(path);
      if (!response.ok) throw new Error(`${path}: ${response.status}`);
    }
  } finally {
    server.kill('SIGINT');
  }
}

/** In a copy of what changesets reads: nothing here is changed. */
function checkVersions() {
  const copy = join(folder, 'versions');
  const workspaces = readdirSync(join(root, 'packages')).map((name) => `packages/${name}`);
  for (const name of ['.', 'tools', 'web', 'examples', ...workspaces]) {
    const target = join(copy, name, 'package.json');
    cpSync(join(root, name, 'package.json'), target);
  }
  cpSync(join(root, '.changeset'), join(copy, '.changeset'), { recursive: true });
  writeFileSync(join(copy, '.changeset/packaging.md'), "---\n'speedq': minor\n---\n\nA change.\n");
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction');
  execFileSync('git', ['init', '-q'], { cwd: copy });
  node(join(root, 'node_modules/@changesets/cli/bin.js'), 'version', { cwd: copy });
  const versions = ['packages/runtime', 'packages/element', 'tools'].map((name) => {
    if (!existsSync(join(copy, name, 'CHANGELOG.md'))) throw new Error(`${name} has no CHANGELOG.md`);
    return JSON.parse(readFileSync(join(copy, name, 'package.json'), 'utf8')).version;
  });
  const before = JSON.parse(readFileSync(join(root, 'tools/package.json'), 'utf8')).version;
  if (new Set(versions).size !== 1 || versions[0] === before)
    throw new Error(`${before} became ${versions.join(', ')}`);
}

function expectMatch(text, pattern) {
  if (!pattern.test(text)) throw new Error(`Expected ${pattern} in:\n${text}`);
}

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
    // onnxruntime-node would download CUDA libraries.
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
    shell: process.platform === 'win32',
  });
}
