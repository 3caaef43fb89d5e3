import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { curriculumOrder } from './labels.ts';
import {
  createGenerator,
  defaultMix,
  emojiKinds,
  firstClass,
  patchClassCount,
  type TrainingSample,
} from './index.ts';

const everything = {
  ...defaultMix,
  scenes: { objects: 1, counting: 1, word: 1, chart: 1, text: 1, mosaic: 1, glyphs: 1 },
};

function plain(sample: TrainingSample): unknown {
  const { rgb, patchKinds, patchColours, patchObjects, ...rest } = sample;
  return {
    ...rest,
    rgb: Buffer.from(rgb).toString('base64'),
    labels: [patchKinds, patchColours, patchObjects].map(String),
  };
}

describe('createGenerator', () => {
  it('gives the same sample for the same seed and index, whatever was drawn before', () => {
    const one = createGenerator({ seed: 3, mix: everything });
    const other = createGenerator({ seed: 3, mix: everything });
    const forwards = Array.from({ length: 40 }, (_, i) => plain(one.sample(i)));
    const backwards = Array.from({ length: 40 }, (_, i) => plain(other.sample(39 - i))).reverse();
    expect(backwards).toEqual(forwards);
    const elsewhere = createGenerator({ seed: 4, mix: everything });
    const different = forwards.filter(
      (sample, i) => JSON.stringify(plain(elsewhere.sample(i))) !== JSON.stringify(sample),
    );
    expect(different.length).toBeGreaterThan(38);
  });

  it('labels patches with what their middle shows, and only inside the boxes', () => {
    const generator = createGenerator({ seed: 9, mix: everything });
    let filled = 0;
    for (let index = 0; index < 100; index++) {
      const { type, objects, patchKinds, patchColours, patchObjects, size } = generator.sample(index);
      if (type === 'text') continue;
      expect(patchKinds).toHaveLength(144);
      const shown = new Set<number>();
      for (let patch = 0; patch < 144; patch++) {
        const object = objects[patchObjects[patch]];
        const [left, top] = [(patch % 12) * 14, Math.floor(patch / 12) * 14];
        if (object === undefined) {
          expect([patchKinds[patch], patchColours[patch]]).toEqual([0, 0]);
          // A bar or a character that covers the whole patch would have claimed it.
          const covering = objects.find(
            ({ family, box }) =>
              (family === 'bar' || family === 'glyph') &&
              box[0] <= left &&
              box[1] <= top &&
              box[2] >= left + 14 &&
              box[3] >= top + 14,
          );
          expect(covering).toBeUndefined();
          continue;
        }
        shown.add(patchObjects[patch]);
        expect(patchKinds[patch]).toBe(object.kind);
        expect(patchKinds[patch]).toBeLessThan(patchClassCount);
        expect(patchColours[patch]).toBe(object.family === 'emoji' ? -1 : object.colour + 1);
        // Tilting by 0.2 rad lets a corner reach a tenth of the side beyond the box.
        const slack =
          object.family === 'emoji' || object.family === 'shape' ? 0.1 * (object.box[2] - object.box[0]) : 0;
        expect(object.box[0] - slack).toBeLessThan(left + 14);
        expect(object.box[2] + slack).toBeGreaterThan(left);
        expect(object.box[1] - slack).toBeLessThan(top + 14);
        expect(object.box[3] + slack).toBeGreaterThan(top);
      }
      filled += shown.size;
      if (type === 'objects') expect(shown.size).toBe(objects.length);
      for (const { box, place } of objects) {
        const cell = (value: number): number => Math.floor((3 * value) / size);
        expect(place).toBe(cell((box[1] + box[3]) / 2) * 3 + cell((box[0] + box[2]) / 2));
      }
    }
    expect(filled).toBeGreaterThan(450);
  });

  it('draws what it says: the pixels of a shape have its colour', () => {
    const generator = createGenerator({
      seed: 10,
      mix: { scenes: { objects: 1 }, questions: { what: 1 }, shapes: 1 },
    });
    for (let index = 0; index < 60; index++) {
      const { objects, rgb, size } = generator.sample(index);
      for (const { box, name } of objects) {
        const [x, y] = [Math.round((box[0] + box[2]) / 2), Math.round((box[1] + box[3]) / 2)];
        const [r, g, b] = rgb.subarray(3 * (y * size + x));
        const near = (a: number[]): boolean => Math.hypot(r - a[0], g - a[1], b - a[2]) < 8;
        if (name.startsWith('red ')) expect(near([222, 30, 38])).toBe(true);
        if (name.startsWith('blue ')) expect(near([36, 92, 226])).toBe(true);
        if (name.startsWith('black ')) expect(near([24, 24, 26])).toBe(true);
      }
    }
  });

  it('keeps test contents out of training', () => {
    const seen = new Set<string>();
    const seenText = new Set<string>();
    const train = createGenerator({ seed: 1, questionsOnly: true, mix: { ...defaultMix, casual: 0 } });
    for (let index = 0; index < 6_000; index++) {
      const sample = train.sample(index);
      if (sample.type === 'text') for (const { stem } of sample.questions) seenText.add(stem);
      else seen.add(sample.key);
    }
    const test = createGenerator({
      seed: 2,
      split: 'test',
      questionsOnly: true,
      mix: { ...defaultMix, casual: 0 },
    });
    for (let index = 0; index < 300; index++) {
      const sample = test.sample(index);
      if (sample.type === 'text')
        for (const { stem } of sample.questions) expect(seenText.has(stem), stem).toBe(false);
      else expect(seen.has(sample.key)).toBe(false);
    }
  });

  it('draws the types of a mix in proportion, in both splits', () => {
    for (const split of ['train', 'test'] as const) {
      const mix = { ...defaultMix, scenes: { objects: 0.5, text: 0.3, chart: 0.2 } };
      const generator = createGenerator({ seed: 11, split, questionsOnly: true, mix });
      const types = Array.from({ length: 600 }, (_, i) => generator.sample(i).type);
      const share = (type: string): number => types.filter((one) => one === type).length / types.length;
      expect(Math.abs(share('objects') - 0.5)).toBeLessThan(0.1);
      expect(Math.abs(share('text') - 0.3)).toBeLessThan(0.1);
    }
  });

  it('keeps to the kinds and questions asked for', () => {
    const mix = { scenes: { objects: 1 }, questions: { exists: 1, choice: 1 }, kinds: 8, casual: 0 };
    const generator = createGenerator({ seed: 12, questionsOnly: true, mix });
    const allowed = new Set(curriculumOrder.slice(0, 8).map((kind) => emojiKinds[kind].name));
    const met = new Set<string>();
    for (let index = 0; index < 400; index++) {
      const { objects, questions } = generator.sample(index);
      for (const { family, name, kind } of objects) {
        if (family !== 'emoji') continue;
        expect(allowed).toContain(name);
        expect(emojiKinds[kind - firstClass.emoji].name).toBe(name);
        met.add(name);
      }
      for (const { type, choices = [] } of questions) {
        expect(['exists', 'choice']).toContain(type);
        for (const option of choices)
          if (emojiKinds.some(({ name }) => name === option)) expect(allowed).toContain(option);
      }
    }
    expect(met.size).toBe(8);
  });

  it('scales the same scene to other sizes', () => {
    const small = createGenerator({ seed: 13, mix: defaultMix }).sample(1);
    const large = createGenerator({ seed: 13, size: 448, mix: defaultMix }).sample(1);
    expect(large.rgb).toHaveLength(448 * 448 * 3);
    expect(large.patchKinds).toHaveLength(32 * 32);
    expect(large.questions).toEqual(small.questions);
    expect(large.objects[0].box[0] / 448).toBeCloseTo(small.objects[0].box[0] / 168, 9);
  });

  it('draws the same in a worker thread', async () => {
    const tsx = createRequire(import.meta.url)
      .resolve('tsx/esm/api')
      .replace(/cjs$/, 'mjs');
    const source = `
      (async () => {
        const { register } = await import(${JSON.stringify(pathToFileURL(tsx).href)});
        register();
        const { createGenerator, defaultMix } = await import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)});
        const { rgb } = createGenerator({ seed: 14, mix: defaultMix }).sample(5);
        require('node:worker_threads').parentPort.postMessage(rgb);
      })();`;
    const worker = new Worker(source, { eval: true, execArgv: [] });
    const rgb = await new Promise<Uint8Array>((resolve, reject) =>
      worker.on('message', resolve).on('error', reject),
    );
    await worker.terminate();
    expect(
      Buffer.from(rgb).equals(Buffer.from(createGenerator({ seed: 14, mix: defaultMix }).sample(5).rgb)),
    ).toBe(true);
  });

  it('refuses what it cannot do', () => {
    const code = (call: () => unknown): unknown => {
      try {
        call();
      } catch (error) {
        return (error as { code?: unknown }).code;
      }
      return undefined;
    };
    expect(code(() => createGenerator({ seed: 1, size: 170, mix: defaultMix }))).toBe('invalid-argument');
    expect(code(() => createGenerator({ seed: 1, mix: { ...defaultMix, kinds: 97 } }))).toBe(
      'invalid-argument',
    );
    const impossible = createGenerator({
      seed: 1,
      questionsOnly: true,
      mix: { scenes: { chart: 1 }, questions: { read: 1 } },
    });
    expect(code(() => impossible.sample(0))).toBe('invalid-argument');
  });
});
