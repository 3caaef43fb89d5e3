import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readRecord } from './record.ts';
import { sampleFrames } from './video.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'speedq-video-'));
  await mkdir(join(root, 'film'));
  await mkdir(join(root, 'empty'));
  for (const name of [...Array.from({ length: 12 }, (_, i) => `film_${i}.jpg`), 'notes.txt', '.x.jpg']) {
    await writeFile(join(root, 'film', name), '');
  }
  await writeFile(join(root, 'film.mp4'), '');
  await writeFile(join(root, 'empty', 'notes.txt'), '');
});
afterAll(() => rm(root, { recursive: true, force: true }));

const read = (
  record: object,
  question = '<video>\nWhat happens?',
  choose: (frames: readonly string[]) => readonly string[] = (frames) => frames.slice(0, 2),
) => {
  const conversations = [
    { from: 'human', value: question },
    { from: 'gpt', value: 'a cat' },
  ];
  return readRecord(JSON.stringify({ conversations, ...record }), root, choose);
};
const inFilm = (...numbers: number[]) => numbers.map((number) => join(root, 'film', `film_${number}.jpg`));

test('a folder is its pictures, by number, each on a line of its own in front of the question', async () => {
  expect(await read({ video: 'film' }, undefined, (frames) => frames)).toMatchObject({
    pictures: inFilm(...Array.from({ length: 12 }, (_, i) => i)),
    isVideo: true,
  });
  const { pictures, turns } = await read({ video: 'film' });
  expect(pictures).toEqual(inFilm(0, 1));
  expect(turns[0]).toEqual({
    role: 'user',
    text: 'Frame-1: <image>\nFrame-2: <image>\nWhat happens?',
    pictures: 2,
  });
  expect((await read({ video: 'film' }, 'What happens?')).turns).toEqual(turns);
  expect((await read({ video: 'film' }, 'In <video>, who?')).turns[0].text).toBe(
    'In Frame-1: <image>\nFrame-2: <image>, who?',
  );
});

test('a list is its frames in its own order; a picture goes before a video', async () => {
  const listed = await read({ video: ['film/film_3.jpg', 'film/film_1.jpg', 'film/film_2.jpg'] });
  expect(listed.pictures).toEqual(inFilm(3, 1));
  const pictured = await read({ video: 'film', image: 'film/film_5.jpg' }, '<image>\nWhat?');
  expect(pictured).toMatchObject({ pictures: inFilm(5), isVideo: false });
});

test.each([
  [{ video: 'film.mp4' }, undefined, 'unsupported video', /ffmpeg -i film\.mp4 -vf fps=1 film\/%05d\.jpg/],
  [{ video: 'gone' }, undefined, 'missing video', /gone does not exist/],
  [{ video: 'empty' }, undefined, 'missing video', /no pictures/],
  [{ video: 7 }, undefined, 'malformed record', /"video" is 7/],
  [{ video: 'film', clip: [1, 2] }, undefined, 'malformed record', /ffmpeg -ss START -to END/],
  [{ video: 'film' }, '<video> and <video>', 'placeholder mismatch', /one <video>/],
  [{ video: 'film' }, '<video> and <image>', 'placeholder mismatch', /3 <image> .* 2 pictures/],
])('refuses %j', async (record, question, kind, message) => {
  await expect(read(record, question)).rejects.toMatchObject({
    kind,
    message: expect.stringMatching(message) as string,
  });
});

test('a number of frames between the least and the most, one of each stretch, by the seed', () => {
  const frames = Array.from({ length: 100 }, (_, i) => i);
  const draw = (seed: number) => sampleFrames(frames, { minFrames: 8, maxFrames: 11 }, [seed]);
  const counts = new Set<number>();
  const firsts = new Set<number>();
  for (let seed = 0; seed < 200; seed++) {
    const drawn = draw(seed);
    expect(drawn).toEqual(draw(seed));
    const count = drawn.length;
    counts.add(count);
    firsts.add(drawn[0]);
    drawn.forEach((frame, i) => {
      expect(frame).toBeGreaterThanOrEqual(Math.floor((100 * i) / count));
      expect(frame).toBeLessThan(Math.floor((100 * (i + 1)) / count));
    });
  }
  expect([...counts].sort((a, b) => a - b)).toEqual([8, 9, 10, 11]);
  // Every frame of the shortest first stretch can be the first.
  expect([...firsts].filter((frame) => frame < 9)).toHaveLength(9);
  expect(sampleFrames([1, 2, 3], { minFrames: 8, maxFrames: 11 }, [0])).toEqual([1, 2, 3]);
});
