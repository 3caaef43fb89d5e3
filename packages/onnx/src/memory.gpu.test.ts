import ort from 'onnxruntime-node';
import { roundToHalf } from '@speedq/format';
import { afterAll, describe, expect, it } from 'vitest';
import { DeviceMemory } from './memory.ts';
import { hasHalfStorage, hasWebgpuProvider } from './providers.ts';
import { randomNormals } from './testing/random.ts';

/** Where a GPU is required, its absence must fail, not skip. */
const required = process.env.REQUIRE_GPU === '1';

describe.skipIf(!required && !(await hasWebgpuProvider(ort)))('DeviceMemory', async () => {
  const memory = new DeviceMemory(ort);
  afterAll(() => memory.release());
  const values = randomNormals(60, 5);
  const feeds = new Map([['x', new ort.Tensor('float32', values, [3, 4, 5])]]);

  it('gives back what it was given, and zeros', async () => {
    const tensor = (await memory.upload(feeds)).get('x')!;
    expect(tensor.location).toBe('gpu-buffer');
    expect(tensor.dims).toEqual([3, 4, 5]);
    expect(await memory.download(tensor)).toEqual(values);
    memory.free(tensor);
    const [one, other] = await Promise.all([memory.zeros([2, 3]), memory.zeros([2, 3])]);
    expect(await memory.download(one)).toEqual(new Float32Array(6));
    memory.free(one);
    expect(await memory.download(other)).toEqual(new Float32Array(6));
    memory.free(other);
  });

  it('adds up', async () => {
    const tensor = (await memory.upload(feeds)).get('x')!;
    let sum = await memory.accumulate(undefined, tensor);
    for (let i = 0; i < 3; i++) sum = await memory.accumulate(sum, tensor);
    expect(await memory.download(sum)).toEqual(values.map((value) => 4 * value));
    expect(await memory.download(tensor)).toEqual(values);
    memory.free(sum);
    memory.free(tensor);
  });

  it('leaves what is there already', async () => {
    const once = await memory.upload(feeds);
    expect(await memory.upload(once)).toEqual(once);
    memory.free(once.get('x')!);
  });

  it.skipIf(!(await hasHalfStorage(ort)))('keeps floats in float16', async () => {
    const tensor = (await memory.upload(feeds, 'float16')).get('x')!;
    expect(tensor.type).toBe('float16');
    expect(await memory.download(tensor)).toEqual(values.map(roundToHalf));
    memory.free(tensor);
  });
});
