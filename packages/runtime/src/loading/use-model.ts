import { claimModel } from './model-claim.ts';
import { openModelFiles } from './model-files.ts';
import type { FetchedModelFiles, LoadProgress, OpenOptions } from './model-files.ts';
import { checkRoom } from './room.ts';
import type { EstimateRoom } from './room.ts';
import type { ModelSource } from './source.ts';
import { loadedFiles } from './wanted-files.ts';

export interface UseModelOptions extends OpenOptions {
  /** Where the files come from; default: the address. */
  readonly source?: ModelSource;
  /** Whether `storage` is on this device, where others want it too and room is limited. */
  readonly isShared: boolean;
  readonly estimate?: EstimateRoom;
}

/**
 * Runs `use` with the files of the model at `url`: alone where something must be downloaded, so that no other
 * tab downloads it too, and after making sure that there is room.
 *
 * @throws {SpeedqError} `out-of-space`, and what `openModelFiles` and `use` throw.
 */
export async function useModel<T>(
  url: string,
  { source, isShared, estimate, onProgress, ...options }: UseModelOptions,
  use: (files: FetchedModelFiles) => Promise<T>,
): Promise<T> {
  const { signal } = options;
  let furthest = -1;
  let announce: (progress: LoadProgress) => void = () => {};
  const report = (progress: LoadProgress): void => {
    // Another tab's download, followed by one's own reading, must not look like a step back.
    if (progress.loaded <= furthest) return;
    furthest = progress.loaded;
    onProgress?.(progress);
    announce(progress);
  };
  let release: () => void = () => {};
  const files = await openModelFiles(source ?? url, {
    ...options,
    onProgress: report,
    // What is left to be done with the files in memory keeps nobody from reading them.
    onComplete: () => release(),
  });
  files.expect(loadedFiles(files.manifest).map(({ name }) => name));
  if (!isShared) return await use(files);
  const claim = await claimModel(url, {
    mode: (await files.missingBytes()) === 0 ? 'shared' : 'exclusive',
    signal,
    onWaiting: (progress) => report({ ...progress, source: 'network' }),
  });
  announce = (progress) => claim.announce(progress);
  release = () => claim.release();
  try {
    await checkRoom(files.manifest.name, await files.missingBytes(), estimate);
    return await use(files);
  } finally {
    claim.release();
  }
}
