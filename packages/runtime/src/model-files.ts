import {
  MANIFEST_FILE,
  MAX_MANIFEST_BYTES,
  parseManifest,
  sha256,
  SpeedqError,
  verifyFile,
} from '@speedq/format';
import type { ManifestFile, PackedManifest } from '@speedq/format';
import { downloadFile, request } from './download.ts';
import type { Fetch } from './download.ts';
import type { ModelStorage } from './storage.ts';

/** A packed model's folder, wherever it is. Bytes come verified against the manifest. */
export interface ModelFiles {
  readonly manifest: PackedManifest;
  /** @throws {SpeedqError} `checksum-mismatch`, `file-truncated`, `network`. */
  read(name: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
}

export interface LoadProgress {
  /** Bytes of the files read so far and in all. */
  readonly loaded: number;
  readonly total: number;
  /** Where the bytes come from: a first visit downloads, later ones read what was kept. */
  readonly source: 'network' | 'storage';
}

export interface OpenOptions {
  readonly storage?: ModelStorage;
  readonly fetch?: Fetch;
  readonly onProgress?: (progress: LoadProgress) => void;
  readonly signal?: AbortSignal;
}

/**
 * Opens the packed model at `url` (its folder). Files are fetched one at a time as they are read, checked,
 * and kept in `storage`; from then on they come from there, also when the server is gone.
 *
 * @throws {SpeedqError} `network`, `not-a-model`, `invalid-manifest`.
 */
export async function openModelFiles(url: string, options: OpenOptions = {}): Promise<FetchedModelFiles> {
  const base = folderUrl(url);
  const { storage, fetch = globalThis.fetch.bind(globalThis), signal } = options;
  let text: Uint8Array<ArrayBuffer>;
  try {
    const response = await request(`${base}${MANIFEST_FILE}`, fetch, { signal, cache: 'no-cache' });
    if (Number(response.headers.get('content-length')) > MAX_MANIFEST_BYTES) {
      throw new SpeedqError(
        'not-a-model',
        `${base}${MANIFEST_FILE} is too long to be a manifest. Check the address.`,
      );
    }
    text = new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    signal?.throwIfAborted();
    const kept = await storage?.read(MANIFEST_FILE);
    if (!kept) throw error;
    text = kept;
  }
  return new FetchedModelFiles(base, parse(text), text, { ...options, fetch });
}

export class FetchedModelFiles implements ModelFiles {
  readonly manifest: PackedManifest;
  /** False once a file could not be kept, for lack of room or of permission: offline use will not work. */
  kept: boolean;
  private readonly base: string;
  private readonly manifestBytes: Uint8Array<ArrayBuffer>;
  private readonly options: OpenOptions & { readonly fetch: Fetch };
  private readonly entries: ReadonlyMap<string, ManifestFile>;
  private loaded = 0;
  private total = 0;

  constructor(
    base: string,
    manifest: PackedManifest,
    manifestBytes: Uint8Array<ArrayBuffer>,
    options: OpenOptions & { readonly fetch: Fetch },
  ) {
    this.base = base;
    this.manifest = manifest;
    this.manifestBytes = manifestBytes;
    this.options = options;
    this.kept = options.storage !== undefined;
    this.entries = new Map(manifest.files.map((entry) => [entry.name, entry]));
  }

  /** Names the files that will be read, for the total of the progress. */
  expect(names: readonly string[]): void {
    this.total = names.reduce((sum, name) => sum + this.entry(name).bytes, 0);
  }

  async read(name: string, signal = this.options.signal): Promise<Uint8Array<ArrayBuffer>> {
    const entry = this.entry(name);
    const stored = await this.readStored(entry);
    if (stored) return stored;
    const before = this.loaded;
    const data = await downloadFile(`${this.base}${name}`, entry, {
      fetch: this.options.fetch,
      signal,
      onBytes: (count) => this.progress(count, 'network'),
    }).catch((error: unknown) => {
      this.loaded = before;
      throw error;
    });
    await verifyFile(this.manifest, entry.name, data);
    await this.store(entry, data);
    return data;
  }

  /** Everything was read: remembers the manifest last, so that a remembered model is whole. */
  async finish(): Promise<void> {
    const { storage } = this.options;
    if (!storage || !this.kept) return;
    try {
      const before = await storage.read(MANIFEST_FILE);
      if (before && (await sha256(before)) === (await sha256(this.manifestBytes))) return;
      await storage.write(MANIFEST_FILE, this.manifestBytes);
      await storage.keepOnly(new Set([MANIFEST_FILE, ...this.manifest.files.map(storedName)]));
    } catch {
      this.kept = false;
    }
  }

  private async readStored(entry: ManifestFile): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const { storage } = this.options;
    if (!storage || !(await storage.has(storedName(entry), entry.bytes))) return undefined;
    const data = await storage.read(storedName(entry));
    if (data === undefined) return undefined;
    try {
      await verifyFile(this.manifest, entry.name, data);
    } catch {
      // A damaged copy is as good as none: it is fetched again.
      return undefined;
    }
    this.progress(entry.bytes, 'storage');
    return data;
  }

  private async store(entry: ManifestFile, data: Uint8Array<ArrayBuffer>): Promise<void> {
    try {
      await this.options.storage?.write(storedName(entry), data);
    } catch {
      // No room, or another tab is writing the same file: this visit works, a later one may have to fetch.
      this.kept = false;
    }
  }

  private progress(bytes: number, source: LoadProgress['source']): void {
    this.loaded += bytes;
    this.options.onProgress?.({ loaded: this.loaded, total: Math.max(this.total, this.loaded), source });
  }

  private entry(name: string): ManifestFile {
    const entry = this.entries.get(name);
    if (!entry) {
      throw new SpeedqError(
        'not-a-model',
        `The manifest of ${this.base} lists no file ${name}: the model is not complete. Pack it again.`,
      );
    }
    return entry;
  }
}

/** Whether every file of the model at `url` is kept, judged by name and size. */
export async function isKept(storage: ModelStorage): Promise<boolean> {
  const text = await storage.read(MANIFEST_FILE);
  if (!text) return false;
  try {
    const manifest = parse(text);
    const present = await Promise.all(
      loadedFiles(manifest).map((entry) => storage.has(storedName(entry), entry.bytes)),
    );
    return present.every(Boolean);
  } catch {
    return false;
  }
}

export const CONFIG_FILE = 'config.json';
const TOKENIZER_FILES = [
  'tokenizer.json',
  'vocab.json',
  'merges.txt',
  'added_tokens.json',
  'tokenizer_config.json',
] as const;

/** The files that opening a model reads: not, for example, the index that only other tools want. */
export function loadedFiles(manifest: PackedManifest): ManifestFile[] {
  const shards = [...manifest.tensors.values()].flatMap(({ parts }) => parts.map(({ file }) => file));
  const wanted = new Set([CONFIG_FILE, ...tokenizerFiles(manifest), ...shards]);
  return manifest.files.filter(({ name }) => wanted.has(name));
}

/** tokenizer.json, or what it can be made from where a folder has none. */
export function tokenizerFiles({ files }: PackedManifest): string[] {
  const present = TOKENIZER_FILES.filter((name) => files.some((file) => file.name === name));
  return present[0] === 'tokenizer.json' ? ['tokenizer.json'] : present;
}

/** Content-addressed: a new version of a model fetches only the files that changed. */
function storedName({ name, sha256 }: ManifestFile): string {
  return `${sha256.slice(0, 32)}-${name}`;
}

export function folderUrl(url: string): string {
  return url.endsWith('/') ? url : `${url}/`;
}

function parse(bytes: Uint8Array<ArrayBuffer>): PackedManifest {
  return parseManifest(new TextDecoder().decode(bytes));
}
