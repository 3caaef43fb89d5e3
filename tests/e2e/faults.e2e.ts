import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createRandom } from '../../tools/src/data/random.ts';
import { FaultApp } from './support/fault-app.ts';

/** `npm run test:faults` asks for 20. */
const ROUNDS = Number(process.env.FAULT_ROUNDS ?? 1);
/** Of the order of the faults in a round, and of the moments they come at. */
const SEED = Number(process.env.FAULT_SEED ?? 1);

const SHORT = 'What colour is a lemon usually?';
/** Of all questions the one with the longest answer: there is time for something to happen in its middle. */
const LONG = 'What can you do?';
/** Some hundred tokens, which the model reads in several steps. */
const LONG_QUESTION = Array.from({ length: 90 }, (_, i) => `Is there a pig in picture ${i}?`).join(' ');

const EVERYTHING = /./;
const SHARD = /\.safetensors$/;

const random = createRandom(SEED);
let app: FaultApp;
/** What the model says when nothing happens. */
let longAnswer: string;
/** What a first visit fetches. */
let wholeModel: string[];

const moment = (most: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, random.int(most)));

async function visit(): Promise<void> {
  app = await FaultApp.open();
  wholeModel = await app.fetchedDuring(async () => {
    await app.chat.download();
    await app.chat.ready();
  });
  expect(wholeModel.filter((name) => SHARD.test(name))).toHaveLength(1);
  longAnswer = await app.ask(LONG);
}

/** Every one begins and ends with the model open and kept, and the page online. */
const FAULTS: Readonly<Record<string, () => Promise<void>>> = {
  async 'two tabs download a model once'() {
    await app.faults.changeKept(EVERYTHING, 'remove');
    await app.reload();
    const other = await app.otherTab();
    const fetched = await app.fetchedDuring(async () => {
      await Promise.all([app.chat.download(), other.download()]);
      await Promise.all([app.chat.ready(), other.ready()]);
    });
    expect(fetched.toSorted()).toEqual(wholeModel.toSorted());
    expect(await other.ask(SHORT)).toBe(await app.ask(SHORT));
    await other.page.close();
  },

  async 'a device is destroyed in the middle of an answer'() {
    const devices = await app.faults.devices();
    const answer = await app.askThrough(LONG, async () => {
      await moment(100);
      await app.faults.destroyDevice();
    });
    expect(answer).toBe(longAnswer);
    expect(await app.faults.devices()).toBe(devices + 1);
  },

  async 'the GPU process crashes in the middle of an answer'() {
    const answer = await app.askThrough(LONG, async () => {
      await moment(100);
      await app.faults.crashGpuProcess();
    });
    expect(answer).toBe(longAnswer);
  },

  async 'the worker is killed in the middle of an answer'() {
    const answer = await app.askThrough(LONG, async () => {
      await moment(100);
      await app.faults.killWorker();
    });
    expect(answer).toBe(longAnswer);
    // The new one stays.
    await app.ask(SHORT);
    expect(await app.faults.devices()).toBe(1);
  },

  async 'the worker is killed while nobody asks'() {
    await app.faults.killWorker();
    expect(await app.ask(LONG)).toBe(longAnswer);
    expect(await app.faults.devices()).toBe(1);
  },

  async 'an answer is stopped while the question is read'() {
    await app.askAndStop(LONG_QUESTION, random.int(200));
    expect(await app.ask(LONG)).toBe(longAnswer);
  },

  async 'the service worker is stopped in the middle of an answer'() {
    expect(await app.ask(LONG, () => app.faults.stopServiceWorker())).toBe(longAnswer);
    await app.reload();
    await app.chat.ready();
  },

  async 'a new version comes in the middle of an answer'() {
    const { page } = app.chat;
    await appendFile(join(app.folder, 'service-worker.js'), `\n// ${random.next()}\n`);
    const answer = await app.ask(LONG, () => app.faults.lookForNewVersion());
    expect(answer).toBe(longAnswer);
    await page.getByText('A new version is ready.').waitFor();
    await page.getByRole('button', { name: 'Reload' }).click();
    await page.getByText('A new version is ready.').waitFor({ state: 'detached' });
    await app.everythingIsThere();
    await app.chat.ready();
  },

  async 'the model is evicted in the middle of an answer, and the device lost'() {
    const fetched = await app.fetchedDuring(async () => {
      const answer = await app.askThrough(LONG, async () => {
        expect(await app.faults.changeKept(EVERYTHING, 'remove')).toBeGreaterThanOrEqual(wholeModel.length);
        await app.faults.destroyDevice();
      });
      expect(answer).toBe(longAnswer);
    });
    // The weights are needed again at once, the rest at the next visit.
    expect(fetched).toEqual(wholeModel.filter((name) => SHARD.test(name)));
    await app.reload();
    const rest = await app.fetchedDuring(async () => {
      await app.chat.download();
      await app.chat.ready();
    });
    expect(rest).toEqual(wholeModel.filter((name) => !SHARD.test(name)));
  },

  async 'there is no room for a shard'() {
    const notKept = app.chat.page.getByText('The model could not be kept on this device');
    expect(await app.faults.changeKept(SHARD, 'remove')).toBe(1);
    // Chromium's estimate knows nothing of it: there seems to be room, and writing fails.
    await app.faults.setQuota(1000);
    await app.reload();
    await app.chat.download();
    await app.chat.ready();
    await notKept.waitFor();
    expect(await app.ask(LONG)).toBe(longAnswer);
    await app.faults.setQuota(undefined);
    // Messages that found no room are kept with the next change.
    await app.ask(SHORT);
    await app.reload();
    const fetched = await app.fetchedDuring(async () => {
      await app.chat.download();
      await app.chat.ready();
    });
    expect(fetched).toEqual(wholeModel.filter((name) => SHARD.test(name)));
    expect(await notKept.count()).toBe(0);
  },

  async 'a shard is missing'() {
    expect(await app.faults.changeKept(SHARD, 'remove')).toBe(1);
    await app.reload();
    const fetched = await app.fetchedDuring(async () => {
      await app.chat.download();
      await app.chat.ready();
    });
    expect(fetched).toEqual(wholeModel.filter((name) => SHARD.test(name)));
    expect(await app.ask(LONG)).toBe(longAnswer);
  },

  async 'a shard is damaged'() {
    expect(await app.faults.changeKept(SHARD, 'damage')).toBe(1);
    const fetched = await app.fetchedDuring(async () => {
      await app.reload();
      await app.chat.ready();
    });
    expect(fetched).toEqual(wholeModel.filter((name) => SHARD.test(name)));
    expect(await app.ask(LONG)).toBe(longAnswer);
  },

  async 'the network is gone'() {
    await app.faults.stopServiceWorker();
    await app.offline(async () => {
      await app.reload();
      await app.chat.ready();
      expect(await app.ask(LONG)).toBe(longAnswer);
    });
  },
};

beforeAll(visit);
afterAll(() => app?.close());

// One browser for all: every fault meets what the earlier ones left.
describe.each(Array.from({ length: ROUNDS }, (_, i) => i + 1))('round %i', (round) => {
  beforeAll(async () => {
    if (round > 1) await app.startNewChat();
  });

  afterEach(async ({ task }) => {
    if (task.result?.state !== 'fail') return;
    // The rounds go on, and not with what a failure left.
    await app.close();
    await visit();
  });

  for (const name of round === 1 ? Object.keys(FAULTS) : random.shuffle(Object.keys(FAULTS))) {
    it(name, async () => {
      await FAULTS[name]();
      await app.everythingIsThere();
    });
  }
});
