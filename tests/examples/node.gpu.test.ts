/** The examples as their readers run them, with the model that comes with the repository. */
import { requestTestDevice } from '@speedq/kernels/node';
import { LanguageModel } from '@speedq/runtime/node';
import { describe, expect, it } from 'vitest';
import { streamAnswer } from '../../examples/node/ai-sdk.ts';
import { countAnimals } from '../../examples/node/chat-completions.ts';
import { describePicture } from '../../examples/node/describe-picture.ts';

const gpu = await requestTestDevice();
gpu?.device.destroy();

/** GPU bytes of the cache at the full context. */
async function cacheBytes(keyValueFormat: 'f16' | 'q8'): Promise<number> {
  const model = new URL('../../web/public/models/pico-2bit/', import.meta.url).href;
  const session = await LanguageModel.create({ model, engine: 'webgpu', contextWindow: 512, keyValueFormat });
  const { kvCache } = session.info.memoryBudget.full;
  session.destroy();
  return kvCache;
}

describe.skipIf(gpu === null)('the examples in Node', () => {
  it('describe-picture, and ai-sdk streams the same answer', async () => {
    const answer = await describePicture();
    expect(answer).toMatch(/cow/);
    let streamed = '';
    await streamAnswer((text) => (streamed += text));
    expect(streamed).toBe(answer);
  });

  it('keeps keys and values as create was told', async () => {
    const [half, bytes] = [await cacheBytes('f16'), await cacheBytes('q8')];
    expect(bytes).toBeLessThan(0.6 * half);
    await expect(cacheBytes('q4' as 'q8')).rejects.toThrow(/keyValueFormat must be one of/);
  });

  it('chat-completions keeps to its schema', async () => {
    const { animal, count } = await countAnimals();
    expect(['cow', 'pig']).toContain(animal);
    expect(count).toBeGreaterThanOrEqual(0);
    expect(count).toBeLessThanOrEqual(9);
  });
});
