import { MANIFEST_FILE, MAX_MANIFEST_BYTES, SpeedqError } from '@speedq/format';
import { ByteCollector } from './collector.ts';
import { wrongSize } from './download.ts';
import type { ModelSource, Transfer } from './source.ts';
import { isZip, readZip } from './zip.ts';
import type { LocalFile } from './zip.ts';

/**
 * What a person dropped or chose: the files of a packed model's folder, or one zip archive with it. The folder is
 * wherever the manifest is.
 *
 * @throws {SpeedqError} `not-a-model`, `invalid-archive`.
 */
export async function localSource(files: readonly File[] | Blob): Promise<ModelSource> {
  const list = files instanceof Blob ? [files] : files;
  if (list.length === 1 && (await isZip(list[0]))) {
    const name = list[0] instanceof File ? list[0].name : 'the archive';
    return folderSource(await readZip(list[0], name), name);
  }
  const byPath = new Map(
    list.map((file) => [file instanceof File ? file.webkitRelativePath || file.name : '', file] as const),
  );
  return folderSource(byPath, 'the folder');
}

function folderSource(byPath: ReadonlyMap<string, LocalFile>, place: string): ModelSource {
  const root = folderOfManifest([...byPath.keys()]);
  if (root === undefined) {
    throw new SpeedqError(
      'not-a-model',
      `${place} holds no ${MANIFEST_FILE}: expected a packed model. Pack one with \`speedq quantize\` or ` +
        '`speedq export --to packed`.',
    );
  }
  return {
    place,
    manifest: async ({ signal }) => {
      const manifest = byPath.get(`${root}${MANIFEST_FILE}`)!;
      if (manifest.size > MAX_MANIFEST_BYTES) {
        throw new SpeedqError('not-a-model', `${MANIFEST_FILE} of ${place} is too long to be a manifest.`);
      }
      return await readAll({ name: MANIFEST_FILE, bytes: manifest.size }, manifest, { signal });
    },
    file: async (file, transfer) => {
      const local = byPath.get(`${root}${file.name}`);
      if (!local) {
        throw new SpeedqError(
          'not-a-model',
          `${place} lacks ${file.name}, which its manifest lists. Use a complete copy of the model.`,
        );
      }
      if (local.size !== file.bytes) throw wrongSize(file, local.size);
      await transfer.onStart(undefined);
      return await readAll(file, local, transfer);
    },
  };
}

/** The folder nearest to the root that has a manifest, with its slash. */
function folderOfManifest(paths: readonly string[]): string | undefined {
  return paths
    .filter((path) => path === MANIFEST_FILE || path.endsWith(`/${MANIFEST_FILE}`))
    .map((path) => path.slice(0, -MANIFEST_FILE.length))
    .sort((a, b) => a.split('/').length - b.split('/').length || (a < b ? -1 : 1))[0];
}

async function readAll(
  file: { readonly name: string; readonly bytes: number },
  local: LocalFile,
  { signal, onBytes }: Pick<Transfer, 'signal'> & Partial<Pick<Transfer, 'onBytes'>>,
): Promise<Uint8Array<ArrayBuffer>> {
  const received = new ByteCollector(file.bytes);
  const reader = local.stream().getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      signal?.throwIfAborted();
      if (received.length + next.value.length > file.bytes) {
        throw wrongSize(file, received.length + next.value.length);
      }
      received.add(next.value);
      await onBytes?.(next.value);
    }
  } catch (error) {
    await reader.cancel(error).catch(() => {});
    if (error instanceof SpeedqError || signal?.aborted) throw error;
    throw new SpeedqError(
      'not-a-model',
      `${file.name} could not be read: it was changed or removed meanwhile, or its compression is damaged. ` +
        'Choose the model again.',
      { cause: error },
    );
  }
  if (received.length !== file.bytes) throw wrongSize(file, received.length);
  return received.take();
}
