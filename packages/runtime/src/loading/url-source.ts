import { MANIFEST_FILE, MAX_MANIFEST_BYTES } from '@speedq/format';
import type { RetryOptions } from './backoff.ts';
import { downloadFile, downloadWhole } from './download.ts';
import type { Fetch } from './download.ts';
import type { ModelSource } from './source.ts';

export interface UrlSourceOptions {
  readonly fetch?: Fetch;
  readonly retry?: RetryOptions;
}

/** Without a manifest there is no model, but nobody waits long to learn that a server is gone. */
const MANIFEST_ATTEMPTS = 3;
/** With a kept model there is no need to wait at all: a network that is there in name only must not delay it. */
const PATIENCE_WHEN_KEPT = 5_000;

/** A packed model's folder on a server. */
export function urlSource(
  url: string,
  { fetch = globalThis.fetch.bind(globalThis), retry }: UrlSourceOptions = {},
): ModelSource {
  const base = folderUrl(url);
  return {
    place: base,
    manifest: ({ isKept, signal }) =>
      downloadWhole(`${base}${MANIFEST_FILE}`, MAX_MANIFEST_BYTES, {
        fetch,
        signal,
        cache: 'no-cache',
        retry: isKept
          ? { ...retry, attempts: 1, stallMilliseconds: PATIENCE_WHEN_KEPT }
          : { attempts: MANIFEST_ATTEMPTS, ...retry },
      }),
    file: (file, transfer) => downloadFile(`${base}${file.name}`, file, transfer, { fetch, retry }),
  };
}

export function folderUrl(url: string): string {
  return url.endsWith('/') ? url : `${url}/`;
}

/**
 * The folder of a revision of a repository on a model hub, in the layout that huggingface.co made common:
 * `…/owner/name` and `main` are `…/owner/name/resolve/main/`. The address of a page that shows a revision
 * (`…/tree/main`) is understood too.
 */
export function hubFolderUrl(repository: string, revision?: string): string {
  const page = /^(.*?)\/(?:tree|resolve)\/([^/]+)\/?$/.exec(repository);
  const [root, shown] = page ? [page[1], page[2]] : [repository.replace(/\/+$/, ''), undefined];
  const wanted = revision === undefined ? shown : encodeURIComponent(revision);
  return wanted === undefined ? folderUrl(repository) : `${root}/resolve/${wanted}/`;
}
