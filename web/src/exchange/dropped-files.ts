/** A folder that was dropped, or the files of one. */
export interface DroppedModel {
  readonly name: string;
  /** Those beside its manifest; or one archive. */
  readonly files: readonly File[];
}

export interface Dropped {
  readonly files: readonly File[];
  readonly folders: readonly DroppedModel[];
}

const MANIFEST = 'manifest.json';
/** Nobody's model is deeper, and somebody may drop a whole disk. */
const MOST_FOLDERS = 200;

/**
 * What was dropped: files, and of each folder the files of the packed model in it, none where there is no model. To be
 * called while the event is handled: afterwards the browser gives nothing any more.
 */
export async function readDropped({ items, files }: DataTransfer): Promise<Dropped> {
  const entries = Array.from(items, (item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const folders = entries.filter((entry) => entry.isDirectory) as FileSystemDirectoryEntry[];
  const names = new Set(folders.map(({ name }) => name));
  return {
    // A folder is among the files too, as one that cannot be read.
    files: Array.from(files).filter(({ name }) => !names.has(name)),
    // What cannot be read is no model.
    folders: await Promise.all(
      folders.map((folder) => modelIn(folder).catch(() => ({ name: folder.name, files: [] }))),
    ),
  };
}

/** The model nearest to the folder's root. */
async function modelIn(folder: FileSystemDirectoryEntry): Promise<DroppedModel> {
  const waiting = [folder];
  for (let i = 0; i < waiting.length && i < MOST_FOLDERS; i++) {
    const entries = await entriesOf(waiting[i]);
    if (entries.some(({ name }) => name === MANIFEST)) {
      const files = entries.filter((entry) => entry.isFile) as FileSystemFileEntry[];
      return { name: waiting[i].name, files: await Promise.all(files.map(fileOf)) };
    }
    waiting.push(...(entries.filter((entry) => entry.isDirectory) as FileSystemDirectoryEntry[]));
  }
  return { name: folder.name, files: [] };
}

async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    // Chromium gives a hundred at a time.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (some.length === 0) return all;
    all.push(...some);
  }
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}
