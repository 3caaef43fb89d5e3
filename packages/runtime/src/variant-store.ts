import type { VariantStore } from '@speedq/kernels';
import type { ModelStorage } from './loading/storage.ts';
import { writeWhole } from './loading/storage.ts';

/**
 * Which kernels are fastest on an adapter, one small JSON file for each. One that cannot be read, or be written, costs
 * a measurement at the next load.
 */
export function variantStore(storage: ModelStorage): VariantStore {
  const fileOf = (adapter: string): string => `${adapter.replace(/[^\w.-]+/g, '_').slice(0, 100)}.json`;
  return {
    async read(adapter) {
      try {
        const bytes = await storage.read(fileOf(adapter));
        return bytes ? entriesOf(JSON.parse(new TextDecoder().decode(bytes))) : {};
      } catch {
        return {};
      }
    },
    async write(adapter, entries) {
      try {
        await writeWhole(storage, fileOf(adapter), new TextEncoder().encode(JSON.stringify(entries)));
      } catch {
        // No room: measured again next time.
      }
    },
  };
}

function entriesOf(value: unknown): Record<string, string> {
  if (typeof value !== 'object' || value === null) return {};
  const entries = Object.entries(value).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return Object.fromEntries(entries);
}
