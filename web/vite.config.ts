import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import type { Plugin } from 'vite';

/** The engine for browsers without WebGPU: fetched, and then kept, where it is needed. */
const ON_DEMAND = /^assets\/wasm-engine-.*\.js$/;

const publicFolder = fileURLToPath(new URL('./public/', import.meta.url));

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  // Relative addresses: the page works from any folder of any static server.
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: 'es2022',
    // A data: address would need a hole in the Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: {
        index: 'web/index.html',
        bench: 'web/bench.html',
        'service-worker': 'web/src/service-worker.ts',
      },
      output: {
        // A service worker's address must not change from build to build.
        entryFileNames: ({ name }) => (name === 'service-worker' ? '[name].js' : 'assets/[name]-[hash].js'),
      },
    },
  },
  worker: { format: 'es' },
  plugins: [precacheList()],
});

/** Replaces `PRECACHE_LIST` in the service worker by all files of the shell and a version made of their content. */
function precacheList(): Plugin {
  return {
    name: 'speedq-precache',
    apply: 'build',
    enforce: 'post',
    generateBundle: {
      order: 'post',
      handler(_options, bundle) {
        const files = new Map<string, string>();
        for (const [name, output] of Object.entries(bundle)) {
          // The benchmark is no part of the app, and is not kept for use without a network.
          if (name === 'service-worker.js' || /^(assets\/)?bench\b/.test(name)) continue;
          files.set(name, hash(output.type === 'chunk' ? output.code : output.source));
        }
        for (const name of shellFiles('')) files.set(name, hash(readFileSync(join(publicFolder, name))));
        const worker = bundle['service-worker.js'];
        if (worker?.type !== 'chunk') throw new Error('The service worker was not built');
        const names = [...files.keys()].sort();
        const isOnDemand = (name: string): boolean => ON_DEMAND.test(name);
        const version = hash(worker.code + names.map((name) => `${name} ${files.get(name)}\n`).join(''));
        const precache = JSON.stringify({
          version: version.slice(0, 16),
          files: names.filter((name) => !isOnDemand(name)),
          onDemand: names.filter(isOnDemand),
        });
        if (!worker.code.includes('PRECACHE_LIST')) throw new Error('The service worker lacks PRECACHE_LIST');
        worker.code = worker.code.replace('PRECACHE_LIST', () => precache);
      },
    },
  };
}

/** Public files other than models, which the app keeps itself, verified. */
function shellFiles(folder: string): string[] {
  return readdirSync(join(publicFolder, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = posix.join(folder, entry.name);
    if (!entry.isDirectory()) return [name];
    return name === 'models' ? [] : shellFiles(name);
  });
}

function hash(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
