import { parseManifest, sha256, SpeedqError, verifyFile } from '@speedq/format';
import type { ManifestFile, PackedManifest } from '@speedq/format';
import { KeptFiles } from './kept-files.ts';
import type { FilePart } from './kept-files.ts';
import type { ModelSource } from './source.ts';
import type { ModelStorage } from './storage.ts';
import { urlSource } from './url-source.ts';
import type { UrlSourceOptions } from './url-source.ts';
import { loadedFiles } from './wanted-files.ts';

/** A packed model's folder, wherever it is. Bytes come verified against the manifest. */
export interface ModelFiles {
  readonly manifest: PackedManifest;
  /** @throws {SpeedqError} `checksum-mismatch`, `file-truncated`, `network`. */
  read(name: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>>;
}

export interface LoadProgress {
  /** Bytes of the files read so far and in all; `loaded` never becomes less. */
  readonly loaded: number;
  readonly total: number;
  /** Where the bytes come from: a first visit downloads, later ones read what was kept. */
  readonly source: 'network' | 'storage';
}

export interface OpenOptions extends UrlSourceOptions {
  readonly storage?: ModelStorage;
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Called once every file that was expected is read, and kept if anything is. */
  readonly onComplete?: () => void;
  readonly signal?: AbortSignal;
}

/**
 * Opens a packed model: the address of its folder, or another source of its files. Each file is got when it is
 * read, checked, and kept in `storage`; from then on it comes from there, also when the source is gone.
 *
 * @throws {SpeedqError} `network`, `not-a-model`, `invalid-manifest`.
 */
export async function openModelFiles(
  from: string | ModelSource,
  options: OpenOptions = {},
): Promise<FetchedModelFiles> {
  const source = typeof from === 'string' ? urlSource(from, options) : from;
  const { storage, signal } = options;
  const kept = await (storage && new KeptFiles(storage))?.manifest();
  let text: Uint8Array<ArrayBuffer>;
  try {
    text = await source.manifest({ isKept: kept !== undefined, signal });
  } catch (error) {
    signal?.throwIfAborted();
    if (!kept) throw error;
    text = kept;
  }
  return new FetchedModelFiles(source, parse(text), text, options);
}

export class FetchedModelFiles implements ModelFiles {
  readonly manifest: PackedManifest;
  /** False once a file could not be kept, for lack of room or of permission: offline use will not work. */
  kept: boolean;
  private readonly source: ModelSource;
  private readonly manifestBytes: Uint8Array<ArrayBuffer>;
  private readonly options: OpenOptions;
  private readonly keptFiles: KeptFiles | undefined;
  private readonly entries: ReadonlyMap<string, ManifestFile>;
  /** Bytes of the files that were read to their ends. */
  private finished = 0;
  private reported = 0;
  private readonly unread = new Set<string>();
  private total = 0;

  constructor(
    source: ModelSource,
    manifest: PackedManifest,
    manifestBytes: Uint8Array<ArrayBuffer>,
    options: OpenOptions,
  ) {
    this.source = source;
    this.manifest = manifest;
    this.manifestBytes = manifestBytes;
    this.options = options;
    this.keptFiles = options.storage && new KeptFiles(options.storage);
    this.kept = options.storage !== undefined;
    this.entries = new Map(manifest.files.map((entry) => [entry.name, entry]));
  }

  /** Names the files that will be read, for the total of the progress. */
  expect(names: readonly string[]): void {
    this.total = names.reduce((sum, name) => sum + this.entry(name).bytes, 0);
    for (const name of names) this.unread.add(name);
  }

  /** Bytes of the files that opening reads which are not kept yet. */
  async missingBytes(): Promise<number> {
    let missing = 0;
    for (const file of loadedFiles(this.manifest)) {
      missing += file.bytes - ((await this.keptFiles?.bytesOf(file)) ?? 0);
    }
    return missing;
  }

  async read(name: string, signal = this.options.signal): Promise<Uint8Array<ArrayBuffer>> {
    const file = this.entry(name);
    const data = (await this.readKept(file)) ?? (await this.get(file, signal));
    this.finished += file.bytes;
    if (this.unread.delete(name) && this.unread.size === 0) {
      await this.finish();
      this.options.onComplete?.();
    }
    return data;
  }

  /** Everything was read: remembers the manifest last, so that a remembered model is whole. */
  async finish(): Promise<void> {
    if (!this.keptFiles || !this.kept) return;
    try {
      const before = await this.keptFiles.manifest();
      if (before && (await sha256(before)) === (await sha256(this.manifestBytes))) return;
      await this.keptFiles.keepManifest(this.manifestBytes);
      await this.keptFiles.keepOnly(this.manifest.files);
    } catch {
      this.kept = false;
    }
  }

  private async readKept(file: ManifestFile): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const data = await this.keptFiles?.read(file);
    if (data === undefined) return undefined;
    try {
      await verifyFile(this.manifest, file.name, data);
    } catch {
      // A damaged copy is as good as none: it is fetched again. It must not count as kept until then.
      await this.keptFiles?.remove(file).catch(() => {});
      return undefined;
    }
    this.progress(file.bytes, 'storage');
    return data;
  }

  /** From the source, after what an earlier visit got of it. */
  private async get(file: ManifestFile, signal: AbortSignal | undefined): Promise<Uint8Array<ArrayBuffer>> {
    const beginning = await this.keptFiles?.beginning(file).catch(() => undefined);
    try {
      return await this.transfer(file, { signal, beginning });
    } catch (error) {
      // The pieces were not of one file, or what a cache on the way holds is damaged: once more, whole.
      if (!(error instanceof SpeedqError) || error.code !== 'checksum-mismatch') throw error;
      return await this.transfer(file, { signal, fresh: true });
    }
  }

  private async transfer(
    file: ManifestFile,
    {
      signal,
      beginning,
      fresh,
    }: { signal?: AbortSignal; beginning?: Awaited<ReturnType<KeptFiles['beginning']>>; fresh?: boolean },
  ): Promise<Uint8Array<ArrayBuffer>> {
    let received = beginning?.bytes.length ?? 0;
    let part: FilePart | undefined;
    const keep = async (length: number, validator?: string): Promise<void> => {
      await part?.close();
      part = undefined;
      part = await this.keptFiles?.part(file, length, validator);
    };
    // Where keeping fails this visit works; a later one may have to fetch.
    const trying = async (work: () => Promise<void> | undefined): Promise<void> => {
      if (!this.kept) return;
      await work()?.catch(async () => {
        this.kept = false;
        await part?.close().catch(() => {});
        part = undefined;
        await this.keptFiles?.discardPart(file).catch(() => {});
      });
    };
    this.progress(received, 'storage');
    if (beginning) await trying(() => keep(received));
    let data: Uint8Array<ArrayBuffer>;
    try {
      data = await this.source.file(file, {
        signal,
        resume: beginning,
        fresh,
        onStart: async (validator) => {
          received = 0;
          await trying(() => keep(0, validator));
        },
        onBytes: async (bytes) => {
          received += bytes.length;
          await trying(() => part?.write(bytes));
          this.progress(received, 'network');
        },
      });
    } finally {
      await trying(() => part?.close());
    }
    try {
      await verifyFile(this.manifest, file.name, data);
    } catch (error) {
      await this.keptFiles?.discardPart(file).catch(() => {});
      throw error;
    }
    await trying(() => part?.complete());
    return data;
  }

  /** `bytes` of the file that is being read are here. What is fetched a second time counts once. */
  private progress(bytes: number, source: LoadProgress['source']): void {
    const loaded = this.finished + bytes;
    if (loaded <= this.reported) return;
    this.reported = loaded;
    this.options.onProgress?.({ loaded, total: Math.max(this.total, loaded), source });
  }

  private entry(name: string): ManifestFile {
    const entry = this.entries.get(name);
    if (!entry) {
      throw new SpeedqError(
        'not-a-model',
        `The manifest of ${this.source.place} lists no file ${name}: the model is not complete. Pack it again.`,
      );
    }
    return entry;
  }
}

/** Whether every file of a model is kept, judged by name and size. */
export async function isKept(storage: ModelStorage): Promise<boolean> {
  const kept = new KeptFiles(storage);
  const text = await kept.manifest();
  if (!text) return false;
  try {
    const present = await Promise.all(loadedFiles(parse(text)).map((file) => kept.has(file)));
    return present.every(Boolean);
  } catch {
    return false;
  }
}

function parse(bytes: Uint8Array<ArrayBuffer>): PackedManifest {
  return parseManifest(new TextDecoder().decode(bytes));
}
