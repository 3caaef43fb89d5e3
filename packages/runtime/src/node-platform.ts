import { MANIFEST_FILE } from '@speedq/format';
import type { MemoryBudget } from '@speedq/kernels';
import { requestNodeDevice } from '@speedq/kernels/node';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chooseCompute } from './compute.ts';
import type { OpenedEngine } from './engine-host.ts';
import { portFetch } from './fetch-port.ts';
import { inProcessEngine } from './in-process.ts';
import type { WireImage } from './messages.ts';
import { localSource } from './loading/local-source.ts';
import { openModelFiles } from './loading/model-files.ts';
import type { LoadProgress, ModelFiles, OpenOptions } from './loading/model-files.ts';
import type { ModelSource } from './loading/source.ts';
import { loadedFiles } from './loading/wanted-files.ts';
import { openModelFolder } from './model-folder.ts';
import { modelOf } from './model-option.ts';
import { openEngine } from './open-engine.ts';
import { cachePictures } from './picture-cache.ts';
import { frameOptions, toPicture } from './picture.ts';
import type { LanguageModelPlatform } from './platform.ts';
import type { OpenRequest, ProgressMessage } from './protocol.ts';

/** Node: the engine in this process on Dawn (the package `webgpu`), models from folders or by address. */
export const nodePlatform: LanguageModelPlatform = {
  startEngine: () => inProcessEngine(open),
  modelOf(option) {
    const { model, revision } = option;
    const isPath = typeof model === 'string' && revision === undefined && !/^https?:/.test(model);
    if (!isPath) return modelOf(option, 'file:///');
    return { url: pathToFileURL(model.startsWith('file:') ? fileURLToPath(model) : resolve(model)).href };
  },
  async availability({ url, files, engine }) {
    if (engine === 'webgpu') {
      try {
        (await requestNodeDevice()).device.destroy();
      } catch {
        return 'unavailable';
      }
    }
    if (files) return 'available';
    if (!isFolder(url)) return 'downloadable';
    return existsSync(join(fileURLToPath(url), MANIFEST_FILE)) ? 'available' : 'unavailable';
  },
};

async function open(
  { url, files: local, fetch, contextWindow, maxMemoryBytes, keyValueFormat, engine: choice }: OpenRequest,
  onProgress: (progress: ProgressMessage) => void,
): Promise<OpenedEngine> {
  const { device: first, adapter } = await chooseCompute(choice, requestDevice);
  let device = first;
  let memoryBudget: MemoryBudget | undefined;
  const report = (loaded: LoadProgress): void => onProgress({ ...loaded, adapter, memoryBudget });
  const files = isFolder(url)
    ? withProgress(await openModelFolder(fileURLToPath(url)), report)
    : await fetched(local ? await localSource(local) : url, {
        fetch: fetch && portFetch(fetch),
        onProgress: report,
      });
  const engine = await openEngine(device, files, {
    contextWindow,
    maxMemoryBytes,
    keyValueFormat,
    onBudget: (budget) => (memoryBudget = budget),
    newDevice: async () => (device = (await requestNodeDevice()).device),
  });
  const { manifest } = files;
  const frame = frameOptions(manifest);
  const read = async (image: WireImage, options: Parameters<typeof toPicture>[1]) => {
    // sharp is needed for pictures alone.
    const { decodeImage } = await import('@speedq/processor/node');
    return await toPicture(await decodeImage(image as Blob), options);
  };
  return {
    engine,
    info: {
      model: manifest.name,
      adapter,
      contextWindow: engine.contextWindow,
      memoryBytes: engine.memoryBytes,
      memoryBudget: memoryBudget!,
      keptOffline: isFolder(url),
    },
    readPicture: cachePictures((image) => read(image, manifest)),
    readFrame: (image) => read(image, frame),
    close: () => device !== 'wasm' && device.destroy(),
  };
}

async function requestDevice() {
  const { device, info, isSoftware } = await requestNodeDevice();
  const name = info.description || info.device || 'unnamed adapter';
  return { device, adapter: { engine: 'webgpu', name, isSoftware } } as const;
}

async function fetched(from: string | ModelSource, options: OpenOptions): Promise<ModelFiles> {
  const files = await openModelFiles(from, options);
  files.expect(loadedFiles(files.manifest).map(({ name }) => name));
  return files;
}

function withProgress(files: ModelFiles, onProgress: (progress: LoadProgress) => void): ModelFiles {
  const total = loadedFiles(files.manifest).reduce((sum, { bytes }) => sum + bytes, 0);
  let loaded = 0;
  return {
    manifest: files.manifest,
    async read(name, signal) {
      const data = await files.read(name, signal);
      loaded = Math.min(total, loaded + data.byteLength);
      onProgress({ loaded, total, source: 'storage' });
      return data;
    },
  };
}

function isFolder(url: string): boolean {
  return url.startsWith('file:');
}
