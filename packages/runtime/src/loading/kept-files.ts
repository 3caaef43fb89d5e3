import { MANIFEST_FILE } from '@speedq/format';
import type { ManifestFile } from '@speedq/format';
import { writeWhole } from './storage.ts';
import type { FileAppender, ModelStorage } from './storage.ts';
import type { Transfer } from './source.ts';

/** Names what is being downloaded, and which version of it: written before the first byte is. */
const JOURNAL_FILE = 'journal.json';
const PART = '.part';

interface Journal {
  readonly part: string;
  readonly validator?: string;
}

/**
 * The files of one model in a storage, by name and content. A file that is coming grows under the name of a part
 * and gets its own once it is whole and verified, so that a crash at any moment leaves either the file, or a
 * beginning that the next visit goes on with. The manifest comes last.
 */
export class KeptFiles {
  private readonly storage: ModelStorage;

  constructor(storage: ModelStorage) {
    this.storage = storage;
  }

  async has(file: ManifestFile): Promise<boolean> {
    return (await this.storage.size(keptName(file))) === file.bytes;
  }

  /** Unverified. */
  async read(file: ManifestFile): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return (await this.has(file)) ? await this.storage.read(keptName(file)) : undefined;
  }

  remove(file: ManifestFile): Promise<void> {
    return this.storage.remove(keptName(file));
  }

  /** The beginning of a file that a visit was cut short in. */
  async beginning(file: ManifestFile): Promise<Transfer['resume']> {
    const part = partName(file);
    const size = await this.storage.size(part);
    if (!size || size > file.bytes) return undefined;
    const bytes = await this.storage.read(part);
    const journal = await this.journal();
    return bytes && { bytes, validator: journal?.part === part ? journal.validator : undefined };
  }

  /** Bytes of it that need not come any more. */
  async bytesOf(file: ManifestFile): Promise<number> {
    if (await this.has(file)) return file.bytes;
    return Math.min((await this.storage.size(partName(file))) ?? 0, file.bytes);
  }

  /** Goes on with the part of a file behind its first `length` bytes. */
  async part(file: ManifestFile, length: number, validator?: string): Promise<FilePart> {
    const part = partName(file);
    if (length === 0) {
      await writeWhole(this.storage, JOURNAL_FILE, toBytes({ part, validator } satisfies Journal));
    }
    const appender = await this.storage.append(part, length);
    return new FilePart(this.storage, part, keptName(file), appender);
  }

  async discardPart(file: ManifestFile): Promise<void> {
    await this.storage.remove(partName(file));
  }

  manifest(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.storage.read(MANIFEST_FILE);
  }

  async keepManifest(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await writeWhole(this.storage, MANIFEST_FILE, bytes);
  }

  /** Removes everything but the manifest and these files: what an earlier version or an interrupted visit left. */
  async keepOnly(files: readonly ManifestFile[]): Promise<void> {
    const wanted = new Set([MANIFEST_FILE, ...files.map(keptName)]);
    for (const name of await this.storage.names()) if (!wanted.has(name)) await this.storage.remove(name);
  }

  private async journal(): Promise<Journal | undefined> {
    const bytes = await this.storage.read(JOURNAL_FILE);
    try {
      return bytes && (JSON.parse(new TextDecoder().decode(bytes)) as Journal);
    } catch {
      return undefined;
    }
  }
}

/** A file that is coming. */
export class FilePart {
  private readonly storage: ModelStorage;
  private readonly name: string;
  private readonly finalName: string;
  private readonly appender: FileAppender;

  constructor(storage: ModelStorage, name: string, finalName: string, appender: FileAppender) {
    this.storage = storage;
    this.name = name;
    this.finalName = finalName;
    this.appender = appender;
  }

  write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    return this.appender.write(bytes);
  }

  close(): Promise<void> {
    return this.appender.close();
  }

  /** After `close`: the file was verified and has its name from now on. */
  async complete(): Promise<void> {
    await this.storage.rename(this.name, this.finalName);
    await this.storage.remove(JOURNAL_FILE);
  }
}

/** By content: a new version of a model fetches only the files that changed. */
function keptName({ name, sha256 }: ManifestFile): string {
  return `${sha256.slice(0, 32)}-${name}`;
}

function partName(file: ManifestFile): string {
  return `${keptName(file)}${PART}`;
}

function toBytes(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value));
}
