import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTsv, writeDataset } from './index.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'speedq-data-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface JsonlRecord {
  readonly id: string;
  readonly image?: string;
  readonly width?: number;
  readonly conversations: readonly { readonly from: string; readonly value: string }[];
}

describe('writeDataset', () => {
  it('writes the same questions as JSONL, pictures and TSV', async () => {
    const [out, tsv] = [join(folder, 'set'), join(folder, 'set.tsv')];
    const summary = await writeDataset({ seed: 21, count: 80, out, tsv, questionsPerPicture: 2 });
    expect(summary.questions).toBe(80);
    const meta = JSON.parse(readFileSync(join(out, 'meta.json'), 'utf8')) as {
      pico: Record<string, unknown>;
    };
    expect(meta.pico).toMatchObject({
      annotation: 'data.jsonl',
      data_augment: false,
      repeat_time: 1,
      length: 80,
    });
    const lines = readFileSync(join(out, 'data.jsonl'), 'utf8').trimEnd().split('\n');
    const records = lines.map((line) => JSON.parse(line) as JsonlRecord);
    const rows = readTsv(readFileSync(tsv, 'utf8'));
    expect(rows).toHaveLength(80);
    expect(new Set(records.map(({ id }) => id)).size).toBe(80);
    expect(readdirSync(join(out, 'images'))).toHaveLength(summary.pictures);

    for (const [i, { image, conversations }] of records.entries()) {
      const row = rows[i];
      const [human, gpt] = conversations;
      expect([human.from, gpt.from]).toEqual(['human', 'gpt']);
      expect(gpt.value).toBe(row.answer);
      const options = Object.entries(row.options);
      const listed = options.map(([letter, text]) => `\n${letter}. ${text}`).join('');
      const instruction = /[\u4e00-\u9fff]/.test(listed)
        ? '\n请直接回答选项字母。'
        : "\nAnswer with the option's letter from the given choices directly.";
      const prefix = image === undefined ? '' : '<image>\n';
      expect(human.value).toBe(prefix + row.question + listed + (options.length > 0 ? instruction : ''));
      expect(row.images).toHaveLength(image === undefined ? 0 : 1);
      if (image === undefined) continue;
      const png = readFileSync(join(out, image));
      expect(row.images[0]).toBe(png.toString('base64'));
      const { width, height, channels } = await sharp(png).metadata();
      expect([width, height, channels]).toEqual([168, 168, 3]);
    }
    expect(rows.some(({ images }) => images.length === 0)).toBe(true);
    // The share of references shows that pictures are not written twice.
    expect(new Set(rows.flatMap(({ images }) => images)).size).toBe(summary.pictures);
  });

  it('is repeatable to the byte, and never replaces files unasked', async () => {
    const [a, b] = [join(folder, 'a'), join(folder, 'b')];
    await writeDataset({ seed: 22, count: 12, out: a });
    await writeDataset({ seed: 22, count: 12, out: b });
    for (const file of ['data.jsonl', 'meta.json', 'images/000000.png']) {
      expect(readFileSync(join(b, file)).equals(readFileSync(join(a, file)))).toBe(true);
    }
    await expect(writeDataset({ seed: 23, count: 12, out: a })).rejects.toMatchObject({
      code: 'output-exists',
    });
    await writeDataset({ seed: 23, count: 12, out: a, force: true });
    expect(readFileSync(join(a, 'data.jsonl')).equals(readFileSync(join(b, 'data.jsonl')))).toBe(false);
  });

  it('leaves nothing behind when it fails', async () => {
    const out = join(folder, 'never');
    const mix = { scenes: { chart: 1 }, questions: { read: 1 } };
    await expect(writeDataset({ seed: 1, count: 5, out, mix })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(folder).some((name) => name.includes('partial'))).toBe(false);
    await expect(writeDataset({ seed: 1, count: 0, out })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
  });
});
