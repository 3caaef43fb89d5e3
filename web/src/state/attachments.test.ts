import { SpeedqError } from '@speedq/runtime';
import { describe, expect, it } from 'vitest';
import { AttachmentsStore, MOST_PICTURES } from './attachments.ts';

/** Measures when told to; 'broken' files are refused. */
function slowStore(): { store: AttachmentsStore; proceed: () => void } {
  const waiting: (() => void)[] = [];
  const store = new AttachmentsStore(async (blob) => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    if ((await blob.text()) === 'broken') throw new SpeedqError('invalid-image', 'Cannot be read.');
    return 36;
  });
  return { store, proceed: () => waiting.splice(0).forEach((resolve) => resolve()) };
}

const names = (store: AttachmentsStore): string[] => store.state.attached.map(({ name }) => name);

describe('attached pictures', () => {
  it('are waited for while they are read', async () => {
    const { store, proceed } = slowStore();
    const adding = store.add(new Blob(['cat']), 'cat.png');
    let settled = false;
    const waiting = store.settled().then((pictures) => {
      settled = true;
      return pictures;
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(settled).toBe(false);
    expect(store.isReading).toBe(true);
    const more = store.add(new Blob(['dog']), 'dog.png');
    proceed();
    await Promise.all([adding, more]);
    expect((await waiting)?.map(({ name }) => name)).toEqual(['cat.png', 'dog.png']);
    expect(store.state.attached[0].tokens).toBe(36);
  });

  it('that are refused leave the others and stop the question', async () => {
    const { store, proceed } = slowStore();
    const adding = [store.add(new Blob(['cat']), 'cat.png'), store.add(new Blob(['broken']), 'x.png')];
    proceed();
    await Promise.all(adding);
    expect(names(store)).toEqual(['cat.png']);
    expect(store.state.problem?.code).toBe('invalid-image');
    expect(await store.settled()).toBeUndefined();
    store.dismissProblem();
    expect(await store.settled()).toHaveLength(1);
  });

  it('are each there once, and no more than fit', async () => {
    const store = new AttachmentsStore(() => Promise.resolve(1));
    await store.add(new Blob(['cat']), 'cat.png');
    await store.add(new Blob(['cat']), 'the same.png');
    expect(names(store)).toEqual(['the same.png']);
    for (let i = 0; i < MOST_PICTURES + 2; i++) await store.add(new Blob([`${i}`]), `${i}`);
    expect(store.state.attached).toHaveLength(MOST_PICTURES);
    store.remove(store.state.attached[0].key);
    expect(names(store)[0]).toBe('0');
  });
});
