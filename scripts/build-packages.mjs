/**
 * Builds what is published: @speedq/runtime, @speedq/element and speedq (the command, with the chat app), each a
 * folder `dist` of its own with a package.json, ES modules, types and nothing that a bundler must know tricks for.
 * The packages they are made of (format, model, kernels, processor …) are bundled in.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('..', import.meta.url));
const { license, engines } = readJson(join(root, 'package.json'));
// Changesets gives all of them one version, in their own package.json files.
const { version } = readJson(join(root, 'packages/runtime/package.json'));

/** What stays an import: Node's own modules and optional peers. */
const EXTERNAL = [/^node:/, 'webgpu', 'sharp', '@ai-sdk/provider', /^onnxruntime-/];

const RUNTIME_ENTRIES = {
  index: 'index.ts',
  worker: 'worker.ts',
  node: 'node.ts',
  openai: 'openai/index.ts',
  'ai-sdk': 'ai-sdk/index.ts',
  catalogue: 'catalogue.ts',
};

/** Types of a published package come from these workspaces. */
const TYPED = ['format', 'model', 'kernels', 'processor', 'wasm', 'onnx', 'runtime', 'element', 'tools'];

const types = emitTypes();
try {
  await buildRuntime();
  await buildElement();
  await buildCommand();
} finally {
  rmSync(types, { recursive: true, force: true });
}

async function buildRuntime() {
  const source = join(root, 'packages/runtime');
  const dist = emptyFolder(join(source, 'dist'));
  await bundle(
    Object.fromEntries(
      Object.entries(RUNTIME_ENTRIES).map(([name, file]) => [name, join(source, 'src', file)]),
    ),
    dist,
    EXTERNAL,
  );
  cpSync(join(source, 'src/catalogue.json'), join(dist, 'catalogue.json'));
  copyTypes(dist, ['format', 'model', 'kernels', 'processor', 'runtime']);
  const { peerDependencies, peerDependenciesMeta } = readJson(join(source, 'package.json'));
  const exports = Object.fromEntries(
    Object.entries(RUNTIME_ENTRIES).map(([name, file]) => [
      name === 'index' ? '.' : `./${name}`,
      { types: `./types/runtime/${file.replace(/\.ts$/, '.d.ts')}`, default: `./${name}.js` },
    ]),
  );
  writePackage(dist, source, {
    name: '@speedq/runtime',
    description:
      'Small vision-language models, 2 bits a weight, offline in a web page: the Prompt API over WebGPU.',
    exports: { ...exports, './catalogue.json': './catalogue.json', './package.json': './package.json' },
    // The worker is the one module that does something by being loaded.
    sideEffects: ['./worker.js'],
    files: ['*.js', 'catalogue.json', 'types', 'LICENSE', 'README.md'],
    // Any minor version of a peer does; the workspace pins the one it is tested with.
    peerDependencies: Object.fromEntries(
      Object.entries(peerDependencies).map(([name, range]) => [name, range.replace(/^(?=\d)/, '^')]),
    ),
    peerDependenciesMeta,
  });
  writeFileSync(join(dist, 'README.md'), readFileSync(join(root, 'docs/api.md')));
}

async function buildElement() {
  const source = join(root, 'packages/element');
  const dist = emptyFolder(join(source, 'dist'));
  await bundle({ index: join(source, 'src/index.ts') }, dist, ['@speedq/runtime']);
  const standalone = join(dist, 'standalone');
  await bundle(
    {
      'speedq-chat': join(source, 'src/standalone.ts'),
      frame: join(source, 'src/frame.ts'),
      'engine-worker': join(root, 'packages/runtime/src/worker.ts'),
    },
    standalone,
    EXTERNAL,
    { minify: true },
  );
  for (const file of ['frame.html', 'frame.css']) cpSync(join(source, file), join(standalone, file));
  copyTypes(dist, ['element']);
  writePackage(dist, source, {
    name: '@speedq/element',
    description: '<speedq-chat>: a chat about pictures with a model that runs in the page, offline.',
    exports: {
      '.': { types: './types/element/index.d.ts', default: './index.js' },
      './standalone/*': './standalone/*',
      './package.json': './package.json',
    },
    sideEffects: ['./index.js', './standalone/*.js'],
    files: ['*.js', 'standalone', 'types', 'LICENSE', 'README.md'],
    dependencies: { '@speedq/runtime': `^${version}` },
  });
  writeFileSync(join(dist, 'README.md'), readFileSync(join(root, 'docs/element.md')));
}

async function buildCommand() {
  const source = join(root, 'tools');
  const dist = emptyFolder(join(source, 'dist'));
  const app = join(root, 'web/dist');
  if (!existsSync(join(app, 'index.html')))
    throw new Error('The chat app is not built: run `npm run build` first.');
  const { name, dependencies } = readJson(join(source, 'package.json'));
  const bundledOrUnused = /^(@speedq\/|tsx$)/;
  const kept = Object.entries(dependencies).filter(([dependency]) => !bundledOrUnused.test(dependency));
  await bundle(
    {
      speedq: join(source, 'bin/published.js'),
      index: join(source, 'src/index.ts'),
      'quantize-worker': join(source, 'src/quantize/worker.ts'),
      'train-worker': join(source, 'src/train/worker.ts'),
    },
    dist,
    [...EXTERNAL, ...kept.map(([dependency]) => dependency)],
    { platform: 'node', plugins: [publishedPlaces()] },
  );
  chmodSync(join(dist, 'speedq.js'), 0o755);
  cpSync(app, join(dist, 'app'), { recursive: true });
  copyTypes(dist, TYPED);
  writePackage(dist, source, {
    name,
    description: 'Quantize, judge and serve small vision-language models that run offline in a web page.',
    bin: { speedq: './speedq.js' },
    exports: {
      '.': { types: './types/tools/index.d.ts', default: './index.js' },
      './package.json': './package.json',
    },
    files: ['*.js', 'app', 'types', 'LICENSE', 'README.md'],
    dependencies: Object.fromEntries(kept),
  });
  writeFileSync(join(dist, 'README.md'), readFileSync(join(root, 'docs/cli.md')));
}

async function bundle(input, dir, external, { minify = false, platform = 'neutral', plugins = [] } = {}) {
  const build = await rolldown({
    input,
    external,
    platform,
    resolve: { mainFields: ['module', 'main'] },
    plugins: [workerAddress(), ...plugins],
  });
  await build.write({
    dir,
    format: 'esm',
    // A licence in a comment stays.
    minify: minify ? { compress: true, mangle: true, codegen: { removeWhitespace: true } } : false,
    entryFileNames: '[name].js',
    chunkFileNames: 'chunk-[name]-[hash].js',
  });
  await build.close();
}

/** `new Worker(new URL('./worker.ts', import.meta.url))` is what bundlers of pages look for: with the built name. */
function workerAddress() {
  return {
    name: 'speedq-worker-address',
    transform(code, id) {
      if (!/browser-platform\.ts$/.test(id)) return undefined;
      if (!code.includes("new URL('./worker.ts'")) throw new Error(`${id} starts no worker any more`);
      return { code: code.replace("new URL('./worker.ts'", "new URL('./worker.js'"), map: null };
    },
  };
}

/** The published command finds its parts beside itself. */
function publishedPlaces() {
  return {
    name: 'speedq-published-places',
    load(id) {
      if (!/tools[\\/]src[\\/]places\.ts$/.test(id)) return undefined;
      return readFileSync(id.replace(/\.ts$/, '.published.ts'), 'utf8');
    },
  };
}

/** The folder of a workspace: the command's is not among the packages. */
function workspace(name) {
  return name === 'tools' ? name : `packages/${name}`;
}

/** Declarations of all typed workspaces, in node_modules/.cache. */
function emitTypes() {
  const folder = join(root, 'node_modules/.cache/package-types');
  rmSync(folder, { recursive: true, force: true });
  const config = join(root, 'node_modules/.cache/tsconfig.package-types.json');
  mkdirSync(dirname(config), { recursive: true });
  writeFileSync(
    config,
    JSON.stringify({
      extends: '../../tsconfig.json',
      compilerOptions: {
        noEmit: false,
        declaration: true,
        emitDeclarationOnly: true,
        incremental: false,
        tsBuildInfoFile: null,
        stripInternal: true,
        rootDir: '../..',
        outDir: folder,
        typeRoots: ['../../node_modules/@types', '../../node_modules'],
      },
      // All of them are roots: what is found through node_modules gets no declarations.
      include: TYPED.map((name) => `../../${workspace(name)}/src/**/*.ts`),
      exclude: ['**/*.test.ts', '**/*.bench.ts', '**/testing/**'].map((glob) => `../../${glob}`),
    }),
  );
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  execFileSync(process.execPath, [tsc, '--project', config], { stdio: 'inherit' });
  return folder;
}

/** Relative imports with the built extension; those of bundled workspaces become relative ones. */
function copyTypes(dist, names) {
  for (const name of names) {
    const from = join(types, workspace(name), 'src');
    for (const file of readdirSync(from, { recursive: true }).map(String)) {
      if (!file.endsWith('.d.ts')) continue;
      const target = join(dist, 'types', name, file);
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, withBuiltImports(readFileSync(join(from, file), 'utf8'), target, dist, names));
    }
  }
}

function withBuiltImports(code, file, dist, names) {
  return code
    .replaceAll(/(from\s+|import\(\s*|import\s+)'(\.{1,2}\/[^']+)\.ts'/g, "$1'$2.js'")
    .replaceAll(/(from\s+|import\(\s*)'@speedq\/([\w-]+)(\/[\w-]+)?'/g, (whole, before, name, entry = '') => {
      if (!names.includes(name)) return whole;
      const exported = readJson(join(root, 'packages', name, 'package.json')).exports[`.${entry}`];
      const target = join(dist, 'types', name, exported.replace('./src/', '').replace(/\.ts$/, '.js'));
      const path = relative(dirname(file), target).replaceAll('\\', '/');
      return `${before}'${path.startsWith('.') ? path : posix.join('.', path).replace(/^(?!\.)/, './')}'`;
    });
}

function writePackage(dist, source, fields) {
  const { name, description, files, ...rest } = fields;
  // There is none before the first release.
  const changelog = ['CHANGELOG.md'].filter((file) => existsSync(join(source, file)));
  for (const file of changelog) cpSync(join(source, file), join(dist, file));
  const content = {
    name,
    version,
    description,
    license,
    type: 'module',
    engines,
    files: [...files, ...changelog],
    ...rest,
  };
  writeFileSync(join(dist, 'package.json'), `${JSON.stringify(content, null, 2)}\n`);
  cpSync(join(root, 'LICENSE'), join(dist, 'LICENSE'));
}

function emptyFolder(folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}
