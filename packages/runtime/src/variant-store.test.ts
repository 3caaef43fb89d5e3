import { describe, expect, it } from 'vitest';
import { memoryStorage, writeWhole } from './loading/storage.ts';
import { variantStore } from './variant-store.ts';

describe('the store of variants', () => {
  it('keeps entries by adapter', async () => {
    const store = variantStore(memoryStorage());
    await store.write('intel / gen-12lp', { matvec: 'rows4-threads64' });
    expect(await store.read('intel / gen-12lp')).toEqual({ matvec: 'rows4-threads64' });
    expect(await store.read('apple / metal-3')).toEqual({});
  });

  it('takes what it cannot read, or not write, for nothing', async () => {
    const storage = memoryStorage();
    const write = (text: string) => writeWhole(storage, 'a.json', new TextEncoder().encode(text));
    const store = variantStore(storage);
    for (const text of ['not JSON', '[1, 2]', 'null', '{"matvec": 3}']) {
      await write(text);
      expect(await store.read('a')).toEqual({});
    }
    const full = variantStore({
      ...memoryStorage(),
      read: () => Promise.reject(new Error('gone')),
      append: () => Promise.reject(new DOMException('full', 'QuotaExceededError')),
    });
    await full.write('a', {});
    expect(await full.read('a')).toEqual({});
  });
});
