/** The engine's worker: everything heavy happens here. The page talks to it through `EngineApi`. */
import type { MemoryBudget } from '@speedq/kernels';
import * as Comlink from 'comlink';
import { describeAdapter, requestAdapter, requestDevice } from './adapter.ts';
import { deviceLost } from './engine.ts';
import { EngineHost } from './engine-host.ts';
import type { OpenedEngine } from './engine-host.ts';
import { loadedFiles, openModelFiles } from './model-files.ts';
import type { LoadProgress } from './model-files.ts';
import { openEngine } from './open-engine.ts';
import { cachePictures } from './picture-cache.ts';
import { frameOptions, readPicture } from './picture.ts';
import { installErrorTransfer } from './protocol.ts';
import type { OpenRequest, ProgressMessage } from './protocol.ts';
import { opfsStorage } from './storage.ts';

async function open(
  { url, contextWindow, maxMemoryBytes }: OpenRequest,
  onProgress: (progress: ProgressMessage) => void,
): Promise<OpenedEngine> {
  // Without an adapter there is no use in downloading anything.
  const adapter = await requestAdapter();
  const description = describeAdapter(adapter);
  let memoryBudget: MemoryBudget | undefined;
  const files = await openModelFiles(url, {
    storage: await opfsStorage(url),
    onProgress: (loaded: LoadProgress) => onProgress({ ...loaded, adapter: description, memoryBudget }),
  });
  files.expect(loadedFiles(files.manifest).map(({ name }) => name));
  const device = await requestDevice(adapter);
  const lost = deviceLost(device);
  lost.catch(() => {});
  const engine = await Promise.race([
    openEngine(device, files, {
      contextWindow,
      maxMemoryBytes,
      onBudget: (budget) => (memoryBudget = budget),
    }),
    lost,
  ]);
  await files.finish();
  const { manifest } = files;
  const frame = frameOptions(manifest);
  return {
    engine,
    info: {
      model: manifest.name,
      adapter: description,
      contextWindow: engine.contextWindow,
      memoryBytes: engine.memoryBytes,
      memoryBudget: memoryBudget!,
      keptOffline: files.kept,
    },
    lost,
    readPicture: cachePictures((image) => readPicture(image, manifest)),
    readFrame: (image) => readPicture(image, frame),
  };
}

installErrorTransfer();
Comlink.expose(new EngineHost(open));
