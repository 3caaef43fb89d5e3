import { SpeedqError } from '@speedq/format';
import { folderUrl, hubFolderUrl } from './loading/url-source.ts';
import type { OpenRequest } from './protocol.ts';

/** Which model, and what becomes of its files. */
export interface ModelOption {
  /**
   * Address of the packed model's folder, relative to the page (in Node, its path too); of its repository on a hub, with `revision`; or
   * the folder's files, or a zip archive of it, that a person dropped or chose.
   */
  readonly model: string | readonly File[] | Blob;
  /** Branch, tag or commit of a repository on a hub: `model` is `https://…/owner/name` then. */
  readonly revision?: string;
  /**
   * 'device': downloaded files are kept for later visits, which need no server; without room for them, opening is
   * refused (`out-of-space`). 'memory': they are not kept. Default: 'device'.
   */
  readonly storage?: 'device' | 'memory';
}

/**
 * @param base what addresses are relative to
 * @throws {SpeedqError} `invalid-argument`.
 */
export function modelOf(
  { model, revision, storage }: ModelOption,
  base: string,
): Pick<OpenRequest, 'url' | 'files' | 'storage'> {
  if (typeof model !== 'string') return { url: localName(model), files: model, storage };
  try {
    const url = new URL(revision === undefined ? model : hubFolderUrl(model, revision), base);
    return { url: folderUrl(url.href), storage };
  } catch (cause) {
    throw new SpeedqError(
      'invalid-argument',
      `model must be the address of a packed model, or its files; got '${model}'.`,
      { cause },
    );
  }
}

const localNames = new WeakMap<object, string>();

/** The same files are the same model, whoever opens them again. */
function localName(files: readonly File[] | Blob): string {
  let name = localNames.get(files);
  if (name === undefined) {
    name = `local:${crypto.randomUUID()}`;
    localNames.set(files, name);
  }
  return name;
}
