/** The engine's worker: everything heavy happens here. The page talks to it through `EngineApi`. */
import type { MemoryBudget, TuningOptions } from '@speedq/kernels';
import * as Comlink from 'comlink';
import { describeAdapter, newDevice, requestAdapter, requestDevice } from './adapter.ts';
import { chooseCompute } from './compute.ts';
import { EngineHost } from './engine-host.ts';
import type { OpenedEngine } from './engine-host.ts';
import { portFetch } from './fetch-port.ts';
import { localSource } from './loading/local-source.ts';
import type { LoadProgress } from './loading/model-files.ts';
import { opfsStorage } from './loading/opfs-storage.ts';
import { memoryStorage } from './loading/storage.ts';
import { useModel } from './loading/use-model.ts';
import { openEngine } from './open-engine.ts';
import { cachePictures } from './picture-cache.ts';
import { frameOptions, readPicture } from './picture.ts';
import { installErrorTransfer } from './protocol.ts';
import type { OpenRequest, ProgressMessage } from './protocol.ts';
import { variantStore } from './variant-store.ts';

/** Kernels are tried out once on a graphics card: what was found is kept, whatever becomes of the models. */
async function tuningOptions(): Promise<TuningOptions> {
  const storage = await opfsStorage('kernel variants');
  return {
    languageFeatures: navigator.gpu.wgslLanguageFeatures,
    store: storage && variantStore(storage),
  };
}

async function open(
  {
    url,
    files: local,
    fetch,
    storage = 'device',
    contextWindow,
    maxMemoryBytes,
    keyValueFormat,
    engine: choice,
  }: OpenRequest,
  onProgress: (progress: ProgressMessage) => void,
): Promise<OpenedEngine> {
  // Where nothing can compute there is no use in downloading anything.
  const { device, adapter } = await chooseCompute(choice, requestGpu);
  let memoryBudget: MemoryBudget | undefined;
  const isKept = local === undefined && storage === 'device';
  const { manifest, engine, keptOffline } = await useModel(
    url,
    {
      source: local && (await localSource(local)),
      fetch: fetch && portFetch(fetch),
      storage: isKept ? await opfsStorage(url) : local ? undefined : memoryStorage(),
      isShared: isKept,
      onProgress: (loaded: LoadProgress) => onProgress({ ...loaded, adapter, memoryBudget }),
    },
    async (files) => {
      const engine = await openEngine(device, files, {
        contextWindow,
        maxMemoryBytes,
        keyValueFormat,
        tuning: device === 'wasm' || adapter.isSoftware ? undefined : await tuningOptions(),
        onBudget: (budget) => (memoryBudget = budget),
        newDevice,
      });
      return { manifest: files.manifest, engine, keptOffline: isKept && files.kept };
    },
  );
  const frame = frameOptions(manifest);
  return {
    engine,
    info: {
      model: manifest.name,
      adapter,
      contextWindow: engine.contextWindow,
      memoryBytes: engine.memoryBytes,
      memoryBudget: memoryBudget!,
      keptOffline,
    },
    readPicture: cachePictures((image) => readPicture(image, manifest)),
    readFrame: (image) => readPicture(image, frame),
  };
}

async function requestGpu() {
  const adapter = await requestAdapter();
  return { device: await requestDevice(adapter), adapter: describeAdapter(adapter) };
}

installErrorTransfer();
Comlink.expose(new EngineHost(open));
