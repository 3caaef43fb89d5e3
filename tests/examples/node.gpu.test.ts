/** The examples as their readers run them, with the model that comes with the repository. */
import { requestTestDevice } from '@speedq/kernels/node';
import { describe, expect, it } from 'vitest';
import { streamAnswer } from '../../examples/node/ai-sdk.ts';
import { countAnimals } from '../../examples/node/chat-completions.ts';
import { describePicture } from '../../examples/node/describe-picture.ts';

const gpu = await requestTestDevice();
gpu?.device.destroy();

describe.skipIf(gpu === null)('the examples in Node', () => {
  it('describe-picture, and ai-sdk streams the same answer', async () => {
    const answer = await describePicture();
    expect(answer).toMatch(/cow/);
    let streamed = '';
    await streamAnswer((text) => (streamed += text));
    expect(streamed).toBe(answer);
  });

  it('chat-completions keeps to its schema', async () => {
    const { animal, count } = await countAnimals();
    expect(['cow', 'pig']).toContain(animal);
    expect(count).toBeGreaterThanOrEqual(0);
    expect(count).toBeLessThanOrEqual(9);
  });
});
