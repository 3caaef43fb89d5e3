import { describe, expect, it, vi } from 'vitest';
import { cachePictures } from './picture-cache.ts';

const reader = () => vi.fn(() => Promise.resolve({ tiles: 1, pixels: new Float32Array(1) }));

describe('cachePictures', () => {
  it('one content is one picture, in whatever Blob it comes', async () => {
    const read = reader();
    const cached = cachePictures(read);
    const first = await cached(new Blob(['cat']));
    expect(await cached(new Blob(['c', 'at']))).toBe(first);
    expect(await cached(new Blob(['dog']))).not.toBe(first);
    expect(read).toHaveBeenCalledTimes(2);
  });

  it('keeps the four last used', async () => {
    const read = reader();
    const cached = cachePictures(read);
    for (const name of ['a', 'b', 'c', 'd', 'a', 'e']) await cached(new Blob([name]));
    expect(read).toHaveBeenCalledTimes(5);
    await cached(new Blob(['a']));
    expect(read).toHaveBeenCalledTimes(5);
    await cached(new Blob(['b']));
    expect(read).toHaveBeenCalledTimes(6);
  });

  it('does not remember a failure', async () => {
    const read = reader();
    read.mockRejectedValueOnce(new Error('unreadable'));
    const cached = cachePictures(read);
    await expect(cached(new Blob(['x']))).rejects.toThrow('unreadable');
    await expect(cached(new Blob(['x']))).resolves.toMatchObject({ tiles: 1 });
  });
});
