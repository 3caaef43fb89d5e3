import { memoryBudget } from '@speedq/kernels';
import { parameterInventory, parseConfig } from '@speedq/model';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { CATALOGUE } from './catalogue.ts';
import { CONFIG_FILE, loadedFiles } from './loading/wanted-files.ts';
import { openModelFolder } from './model-folder.ts';
import { DEFAULT_KEY_VALUE_FORMAT } from './open-engine.ts';
import { listTensors } from './packed-weights.ts';

const webFolder = fileURLToPath(new URL('../../../web/public/', import.meta.url));

describe('the catalogue', () => {
  it.each(CATALOGUE.filter(({ path }) => path !== undefined))(
    'says of $id what is true of its files',
    async (entry) => {
      const files = await openModelFolder(webFolder + entry.path);
      const { manifest } = files;
      const text = new TextDecoder().decode(await files.read(CONFIG_FILE));
      const config = parseConfig(JSON.parse(text));
      const maxContext = config.language.maxPositionEmbeddings;
      const maxTiles = manifest.tiling.maxTiles + 1;
      const options = { maxContext, maxTiles, keyValueFormat: DEFAULT_KEY_VALUE_FORMAT };
      const { loaded, full } = memoryBudget(config, listTensors(manifest), options);
      const parameters = parameterInventory(config).reduce(
        (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
        0,
      );
      expect(entry).toMatchObject({
        id: manifest.name,
        parameters,
        contextWindow: maxContext,
        downloadBytes: loadedFiles(manifest).reduce((sum, { bytes }) => sum + bytes, 0),
        memoryBytes: { loaded: loaded.total, full: full.total },
      });
    },
  );

  it('is consistent', () => {
    expect(new Set(CATALOGUE.map(({ id }) => id)).size).toBe(CATALOGUE.length);
    for (const { path, source, memoryBytes, downloadBytes, contextWindow } of CATALOGUE) {
      expect(path ?? source).toBeDefined();
      expect(memoryBytes.full).toBeGreaterThanOrEqual(memoryBytes.loaded);
      expect(memoryBytes.loaded).toBeGreaterThan(downloadBytes);
      expect(contextWindow).toBeGreaterThan(0);
    }
  });
});
