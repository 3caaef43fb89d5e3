import { canCompute } from './capability.ts';
import { isKept } from './loading/model-files.ts';
import { opfsStorage } from './loading/opfs-storage.ts';
import { requestPersistence } from './loading/room.ts';
import { modelOf } from './model-option.ts';
import type { LanguageModelPlatform } from './platform.ts';

/** Pages: the engine in a worker, models by address, kept in the origin private file system. */
export const browserPlatform: LanguageModelPlatform = {
  startEngine: () => new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'speedq' }),
  modelOf: (option) => modelOf(option, document.baseURI),
  async availability({ url, files, engine }) {
    if (!(await canCompute(engine))) return 'unavailable';
    if (files) return 'available';
    const storage = await opfsStorage(url);
    return storage && (await isKept(storage)) ? 'available' : 'downloadable';
  },
  // The engine's worker cannot ask; no answer, which a person may have to give, is waited for.
  willKeep: () => void requestPersistence(),
};
