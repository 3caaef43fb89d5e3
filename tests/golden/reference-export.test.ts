import { unpackBilevel, unpackSymmetric, isPackedBilevel, isPackedSymmetric } from '@speedq/format';
import type { BilevelTensor, SymmetricTensor } from '@speedq/format';
import { canonicalNames } from '@speedq/model';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requirePacked, withModelFolder } from '../../tools/src/model-folder.ts';
import { speedq } from '../support/run-command.ts';
import { goldenCases, goldenPath } from './folder.ts';
import { openTensorFile } from './internvl-folder.ts';

/**
 * Tiny models trained and exported by the reference implementation itself (tests/outside/make_reference_export.py):
 * its checkpoint, its folder of codes, and both as torch reads them.
 */
const FOLDER = 'reference-export';
/** Theirs are rounded to bfloat16 three times on the way, ours have fp16 minima. */
const RELATIVE = 0.012;

/** Where the codes of a case end: what our own export of its checkpoint needs to be told. */
const RECIPES: Readonly<Record<string, unknown>> = {
  '2bit': { extends: '2bit', schemes: { vision: 'float' } },
  '4bit': { extends: '4bit', schemes: { vision: 'float' } },
  '2bit-vision': { extends: '2bit' },
};

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-import-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each(goldenCases(FOLDER))('the export of the reference, %s', (name) => {
  const golden = openTensorFile(FOLDER, name, 'expected.safetensors');
  const checkpoint = goldenPath(FOLDER, name, 'checkpoint');
  const codes = goldenPath(FOLDER, name, 'quant_details');

  it('is packed from its integer codes', async () => {
    const packed = join(folder, `${name}-codes`);
    const run = await speedq('export', checkpoint, '--to', 'packed', '--codes', codes, '--out', packed);
    expect(run.exitCode, run.stderr).toBe(0);
    await expectCodes(packed);
  });

  it('is packed from its checkpoint, rounded as its export does', async () => {
    const recipe = join(folder, `${name}.json`);
    await writeFile(recipe, JSON.stringify(RECIPES[name]));
    const packed = join(folder, `${name}-rounded`);
    const argv = ['--to', 'packed', '--reference', '--recipe', recipe, '--out', packed];
    const run = await speedq('export', checkpoint, ...argv);
    expect(run.exitCode, run.stderr).toBe(0);
    await expectCodes(packed);
  });

  async function expectCodes(packed: string): Promise<void> {
    await withModelFolder(packed, async (opened) => {
      const { weights, tensors } = requirePacked(opened);
      const expected = new Map(expectedTensors(golden));
      const quantized: string[] = [];
      for (const { name: parameter } of tensors.parameters) {
        const tensor = await weights.readPacked(parameter);
        if (isPackedBilevel(tensor))
          checkBilevel(unpackBilevel(tensor), golden, expected.get(parameter)!, parameter);
        else if (isPackedSymmetric(tensor)) {
          checkTable(unpackSymmetric(tensor), golden, expected.get(parameter)!, parameter);
        } else continue;
        quantized.push(parameter);
        checkValues(await tensors.read(parameter), expected.get(parameter)!.values, parameter);
      }
      expect(quantized.sort()).toEqual([...expected.keys()].sort());
    });
  }
});

interface Expected {
  /** Name of what the file of codes holds under a key. */
  readonly entry: (key: string) => string;
  readonly values: Float32Array;
  /** Rows of the file before this tensor's, and all of them. */
  readonly firstRow: number;
  readonly storedRows: number;
}

type Golden = ReturnType<typeof openTensorFile>;

/** Every quantized tensor under its canonical name, with the file of codes it lies in. */
function* expectedTensors(golden: Golden): Generator<[string, Expected]> {
  for (const stored of golden.names.filter((name) => name.endsWith('.weight'))) {
    const [storedRows, columns] = golden.shape(stored);
    const prefix = golden.names.find((name) => name.includes(':') && isFileOf(name, stored))!.split(':')[0];
    for (const { name, block } of canonicalNames(stored)) {
      const rows = storedRows / (block?.of ?? 1);
      const firstRow = rows * (block?.index ?? 0);
      yield [
        name,
        {
          entry: (key) => `${prefix}:${key}`,
          values: golden.floats(stored).subarray(firstRow * columns, (firstRow + rows) * columns),
          firstRow,
          storedRows,
        },
      ];
    }
  }
}

/** Language layers come first; these models have one, so the vision layer, where it has codes, is number 1. */
function isFileOf(key: string, stored: string): boolean {
  const [file] = key.split(':');
  const layer = /layers\.(\d+)\.(.+)\.weight$/.exec(stored);
  if (layer === null) return stored.includes(file.split('/')[0]);
  const number = Number(layer[1]) + (stored.startsWith('vision_model.') ? 1 : 0);
  return file === `${number}/${layer[2]}`;
}

function checkBilevel(
  tensor: BilevelTensor,
  golden: Golden,
  { entry, firstRow, storedRows }: Expected,
  name: string,
): void {
  const { rows, columns, scheme, codes, zero, scaleCode } = tensor;
  const groups = columns / scheme.groupSize;
  const theirs = golden
    .integers(entry('quant_weights'))
    .subarray(firstRow * columns, (firstRow + rows) * columns);
  expect(Array.from(codes), `codes of ${name}`).toEqual(Array.from(theirs));
  const byRow = (values: Int32Array) =>
    Array.from({ length: rows * groups }, (_, i) => {
      const group = i % groups;
      return values[group * storedRows + firstRow + (i - group) / groups];
    });
  expect(Array.from(zero), `zero points of ${name}`).toEqual(
    byRow(golden.integers(entry('quant_layer_zeros'))),
  );
  expect(Array.from(scaleCode), `scale codes of ${name}`).toEqual(
    byRow(golden.integers(entry('quant_layer_scale'))),
  );
}

function checkTable({ codes }: SymmetricTensor, golden: Golden, { entry }: Expected, name: string): void {
  // As fp16, with zeros of either sign.
  const theirs = Array.from(Int32Array.from(golden.floats(entry('weight'))));
  expect(Array.from(codes), `codes of ${name}`).toEqual(theirs);
}

function checkValues(ours: Float32Array, theirs: Float32Array, name: string): void {
  const wrong = ours.findIndex(
    (value, i) => !(Math.abs(value - theirs[i]) <= RELATIVE * Math.abs(theirs[i]) + 1e-6),
  );
  expect(wrong, `${name}: ${ours[wrong]}, theirs ${theirs[wrong]}`).toBe(-1);
}
