import { floatToBfloat, bfloatToFloat } from '@speedq/format';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommandLine } from '../cli.ts';
import { withModelFolder } from '../model-folder.ts';
import type { ModelFolder } from '../model-folder.ts';
import { SafetensorsFile } from '../safetensors-file.ts';

const goldens = fileURLToPath(new URL('../../../tests/goldens/internvl/', import.meta.url));
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-export-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function exportTo(source: string, name: string, ...more: string[]): Promise<string> {
  const out = join(folder, name);
  let stderr = '';
  const terminal = { stdout: () => undefined, stderr: (text: string) => (stderr += text) };
  const argv = ['export', source, '--out', out, ...more];
  const code = await runCommandLine(argv, { ...terminal, interactive: false, colour: false });
  expect(code, stderr).toBe(0);
  return out;
}

async function readAll({ tensors }: ModelFolder): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const { name } of tensors.parameters) values.set(name, await tensors.read(name));
  return values;
}

async function storedNames(path: string): Promise<string[]> {
  const file = await SafetensorsFile.open(join(path, 'model.safetensors'));
  const names = [...file.header.tensors].map(([name, { shape }]) => `${name} ${shape.join('×')}`);
  await file.close();
  return names.sort();
}

describe.each(['micro', 'micro-original-layout'])('%s packed and back to float', (name) => {
  it('has the layout it came from and the values that were packed', async () => {
    const packed = await exportTo(
      join(goldens, name),
      `${name}-packed`,
      '--to',
      'packed',
      '--recipe',
      '2bit',
    );
    const float = await exportTo(packed, `${name}-float`, '--to', 'float');
    expect(await storedNames(float)).toEqual(await storedNames(join(goldens, name)));
    const before = await withModelFolder(packed, readAll);
    const after = await withModelFolder(float, readAll);
    expect([...after.keys()]).toEqual([...before.keys()]);
    for (const [tensor, values] of before) expect(after.get(tensor), tensor).toEqual(values);
    const config = JSON.parse(await readFile(join(float, 'config.json'), 'utf8')) as Record<string, unknown>;
    expect(config).not.toHaveProperty('quantization_config');
    expect(config.dtype ?? config.torch_dtype).toBe('float32');

    const rounded = await exportTo(packed, `${name}-bf16`, '--to', 'float', '--dtype', 'bf16');
    const half = await withModelFolder(rounded, readAll);
    for (const [tensor, values] of before) {
      expect(half.get(tensor), tensor).toEqual(values.map((value) => bfloatToFloat(floatToBfloat(value))));
    }
  });
});
