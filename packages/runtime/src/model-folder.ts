/** Packed models from a folder on disk, for the command line and for tests. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MANIFEST_FILE, parseManifest, SpeedqError, verifyFile } from '@speedq/format';
import type { ModelFiles } from './loading/model-files.ts';

/**
 * Files are read and verified when they are asked for.
 * @throws {SpeedqError} `not-a-model`, `invalid-manifest`.
 */
export async function openModelFolder(folder: string): Promise<ModelFiles> {
  const text = await readFile(join(folder, MANIFEST_FILE), 'utf8').catch((cause: unknown) => {
    throw new SpeedqError(
      'not-a-model',
      `${folder} has no readable ${MANIFEST_FILE}: expected the folder of a packed model. ` +
        'Pack one with `speedq quantize` or `speedq export --to packed`.',
      { cause },
    );
  });
  const manifest = parseManifest(text);
  return {
    manifest,
    async read(name) {
      const bytes = await readFile(join(folder, name)).catch((cause: unknown) => {
        throw new SpeedqError('not-a-model', `${folder} lacks ${name}, which its manifest lists.`, { cause });
      });
      // Small files come as views into Node's shared pool and are copied; a shard is there once.
      const isWhole = bytes.byteLength === bytes.buffer.byteLength;
      const data = isWhole ? new Uint8Array(bytes.buffer) : new Uint8Array(bytes);
      await verifyFile(manifest, name, data);
      return data;
    },
  };
}
