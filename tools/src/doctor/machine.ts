import { listNodeAdapters } from '@speedq/kernels/node';
import type { NodeAdapter } from '@speedq/kernels/node';
import { execFile } from 'node:child_process';
import { readFile, statfs } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findBrowser } from '../../../scripts/find-browser.mjs';
import { version } from '../cli/version.ts';

/** What speedq runs on. */
export interface Machine {
  /** Of Node and packages; null where a package is not installed. */
  readonly versions: Readonly<
    Record<'speedq' | 'node' | 'onnxruntime-node' | 'webgpu' | 'sharp', string | null>
  >;
  readonly platform: string;
  readonly arch: string;
  readonly cpu: string;
  /** Those this process may use. */
  readonly cores: number;
  /** Bytes; a container's limit counts. */
  readonly memory: { readonly total: number; readonly available: number };
  /** Of the folder the command runs in. */
  readonly disk: { readonly folder: string; readonly freeBytes: number };
  readonly onnxruntime: { readonly backends: readonly string[] } | { readonly error: string };
  readonly webgpu: { readonly adapters: readonly NodeAdapter[] } | { readonly error: string };
  /** Chrome or Chromium; `version` is null where it cannot be asked. */
  readonly chromium: { readonly path: string; readonly version: string | null } | null;
}

export async function inspectMachine(): Promise<Machine> {
  const folder = process.cwd();
  const { bavail, bsize } = await statfs(folder);
  const limit = process.constrainedMemory();
  return {
    versions: {
      speedq: version(),
      node: process.versions.node,
      'onnxruntime-node': await packageVersion('onnxruntime-node'),
      webgpu: await packageVersion('webgpu'),
      sharp: await packageVersion('sharp'),
    },
    platform: process.platform,
    arch: process.arch,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory: {
      // Without a limit it is 0, or larger than any memory.
      total: limit > 0 ? Math.min(limit, totalmem()) : totalmem(),
      available: Math.min(process.availableMemory(), freemem()),
    },
    disk: { folder, freeBytes: bavail * bsize },
    onnxruntime: await attempt(async () => {
      const { listSupportedBackends } = await import('onnxruntime-node');
      return { backends: listSupportedBackends().map(({ name }) => name) };
    }),
    webgpu: await attempt(async () => ({ adapters: await listNodeAdapters() })),
    chromium: await findChromium(),
  };
}

async function attempt<T>(look: () => Promise<T>): Promise<T | { readonly error: string }> {
  try {
    return await look();
  } catch (error) {
    return { error: (error as Error).message };
  }
}

/** Of the package as Node would find it from here. Its exports may hide package.json from `resolve`. */
async function packageVersion(name: string): Promise<string | null> {
  for (const folder of createRequire(import.meta.url).resolve.paths(name) ?? []) {
    const text = await readFile(join(folder, name, 'package.json'), 'utf8').catch(() => undefined);
    if (text !== undefined) return (JSON.parse(text) as { version: string }).version;
  }
  return null;
}

async function findChromium(): Promise<Machine['chromium']> {
  const path = findBrowser();
  if (path === undefined) return null;
  // On Windows this would open a window.
  if (process.platform === 'win32') return { path, version: null };
  const asked = await promisify(execFile)(path, ['--version'], { timeout: 20_000 }).catch(() => undefined);
  return { path, version: asked?.stdout.trim() ?? null };
}
